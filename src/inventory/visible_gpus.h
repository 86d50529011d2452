// CUDA_VISIBLE_DEVICES, worked out from what NVML shows.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inventory/inventory.h"

namespace tutti {

/// A GPU of an inventory, or a part of one.
struct GpuRef {
  size_t gpu = 0;
  std::optional<size_t> mig;

  bool operator==(const GpuRef&) const = default;
};

struct VisibleGpus {
  /// By CUDA's index; empty optional: which GPU gets which index cannot be known without CUDA.
  std::optional<std::vector<GpuRef>> order;
  std::string problem;  ///< what is wrong with the variable, and what to type; empty: nothing
};

/// The rules of CUDA: a list of indices, UUIDs that may be cut short while they stay unique,
/// MIG-UUIDs and the older MIG-GPU-UUID/INSTANCE/INSTANCE; at the first that names nothing the list
/// ends. Indices count GPUs by bus address with CUDA_DEVICE_ORDER=PCI_BUS_ID or where all are of
/// one model; of unlike ones CUDA puts the fastest first. (The rules of --gpus differ: there a name
/// without a GPU is a refusal, backend/gpu_choice.h.)
/// `mask`: the value of CUDA_VISIBLE_DEVICES; unset is not the same as empty.
VisibleGpus resolve_visible(const std::optional<std::string>& mask,
                            bool by_bus,
                            const std::vector<Gpu>& gpus);

/// Fills `index` of all GPUs and their parts, from CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER of
/// `environment`.
void add_visible_indices(const std::map<std::string, std::string>& environment,
                         Inventory& inventory);

}  // namespace tutti
