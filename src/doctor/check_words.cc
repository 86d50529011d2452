#include "doctor/check_words.h"

#include <charconv>

#include "inventory/nvml_query.h"

namespace tutti {

std::string remedy_for(const Inventory& inventory, const Remedies& remedies) {
  const std::string kind = inventory.host.kind.value_or("bare");
  const char* chosen = kind == "docker" || kind == "podman" ? remedies.docker
                       : kind == "kubernetes"               ? remedies.kubernetes
                       : kind == "vm"                       ? remedies.vm
                       : kind == "wsl"                      ? remedies.wsl
                                                            : remedies.bare;
  std::string text = chosen != nullptr ? chosen : remedies.bare;
  if (kind == "podman") {
    for (size_t at = text.find("docker run"); at != std::string::npos;
         at = text.find("docker run", at)) {
      text.replace(at, 10, "podman run");
    }
  }
  return text;
}

bool in_container(const Inventory& inventory) {
  const std::string kind = inventory.host.kind.value_or("bare");
  return kind == "docker" || kind == "podman" || kind == "kubernetes";
}

void GpuSet::add(const Inventory& inventory, size_t position) {
  const Gpu& gpu = inventory.gpus[position];
  if (gpu.nvml_index) {
    numbers_.insert(*gpu.nvml_index);
  } else {
    names_.insert(gpu.pci.value_or(fmt::format("number {} of the list", position)));
  }
}

std::string GpuSet::text() const {
  std::string out;
  if (!numbers_.empty()) {
    out = fmt::format("GPU{} {}", numbers_.size() == 1 ? "" : "s", ranges(numbers_));
  }
  for (const std::string& name : names_) {
    out += (out.empty() ? "the GPU at " : ", the one at ") + name;
  }
  return out;
}

Json GpuSet::json() const {
  JsonArray out(numbers_.begin(), numbers_.end());
  out.insert(out.end(), names_.begin(), names_.end());
  return Json(std::move(out));
}

GpuSet gpus_with(const Inventory& inventory, const std::function<bool(const Gpu&)>& wanted) {
  GpuSet set;
  for (size_t i = 0; i < inventory.gpus.size(); ++i) {
    if (wanted(inventory.gpus[i])) {
      set.add(inventory, i);
    }
  }
  return set;
}

std::string errors_from(const Inventory& inventory, std::string_view source) {
  std::string out;
  for (const InventoryError& error : inventory.errors) {
    if (error.source == source) {
      out += (out.empty() ? "" : "; ") + error.text;
    }
  }
  return out;
}

std::string variable(const Inventory& inventory, const std::string& name) {
  const auto found = inventory.env.find(name);
  return found == inventory.env.end() ? "" : found->second;
}

std::optional<std::pair<int, int>> version_of(const std::optional<std::string>& text) {
  if (!text) {
    return std::nullopt;
  }
  std::pair<int, int> version{0, 0};
  const char* end = text->data() + text->size();
  const auto [dot, code] = std::from_chars(text->data(), end, version.first);
  if (code != std::errc()) {
    return std::nullopt;
  }
  if (dot != end && *dot == '.') {
    std::from_chars(dot + 1, end, version.second);
  }
  return version;
}

}  // namespace tutti
