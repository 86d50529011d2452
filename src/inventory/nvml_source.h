// What NVML tells.
#pragma once
#include <string>
#include <vector>

#include "inventory/inventory.h"

namespace tutti {

/// Where the library may lie, the loader's own path first.
std::vector<std::string> nvml_names();

/// Fills driver, counts.nvml, gpus and links from the first library of `names` that loads. Without
/// one, driver.nvml_error says why and nothing else changes.
void add_nvml_facts(const std::vector<std::string>& names, Inventory& inventory);

}  // namespace tutti
