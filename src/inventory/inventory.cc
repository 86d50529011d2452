#include "inventory/inventory.h"

#include <algorithm>
#include <utility>

namespace tutti {

Bytes HostFacts::usable_memory_bytes() const {
  if (memory_bytes && cgroup_memory_bytes) {
    return std::min(*memory_bytes, *cgroup_memory_bytes);
  }
  return memory_bytes ? memory_bytes : cgroup_memory_bytes;
}

void Inventory::add_error(std::string source, std::string text) {
  errors.push_back({.source = std::move(source), .text = std::move(text)});
}

}  // namespace tutti
