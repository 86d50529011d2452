// All that NVML tells of one GPU.
#pragma once
#include "inventory/nvml_query.h"

namespace tutti {

/// `index`: NVML's. Facts that could not be had stay empty and are noted in `errors`.
Gpu read_gpu(const nvml::Functions& functions,
             nvml::Device device,
             int64_t index,
             NvmlErrors& errors);

/// "0000:18:00.0", as sysfs writes it.
std::string pci_address(const nvml::PciInfo& pci);

}  // namespace tutti
