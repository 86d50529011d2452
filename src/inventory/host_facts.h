// Facts about the host: processors, memory, limits, /dev/shm.
#pragma once
#include "inventory/inventory.h"
#include "inventory/system.h"

namespace tutti {

/// Fills host, shm and limits; what cannot be known is named in `errors`.
void add_host_facts(const System& system, Inventory& inventory);

/// "0-3,8" -> 5; empty if it is no such list.
std::optional<int64_t> count_of_list(std::string_view list);

}  // namespace tutti
