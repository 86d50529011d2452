// How GPUs are linked: NVLinks, or the way over PCIe and processors.
#pragma once
#include <vector>

#include "inventory/nvml_query.h"

namespace tutti {

struct NvmlDevice {
  nvml::Device device = nullptr;
  int64_t index = 0;  ///< NVML's
  std::optional<std::string> pci;
};

/// Every pair once.
std::vector<GpuLink> read_links(const nvml::Functions& functions,
                                const std::vector<NvmlDevice>& devices,
                                NvmlErrors& errors);

}  // namespace tutti
