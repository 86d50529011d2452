// GPUs as the PCI bus shows them: without a driver, and in containers that were given fewer.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "inventory/inventory.h"
#include "inventory/system.h"

namespace tutti {

struct PciGpu {
  std::string address;  ///< "0000:18:00.0"
  PcieLink link;
  std::optional<int64_t> numa_node;
};

/// Functions of class 0x03 (display controllers) and vendor 0x10de (NVIDIA), by address; empty if
/// sysfs is not there.
std::optional<std::vector<PciGpu>> pci_gpus(const System& system);

}  // namespace tutti
