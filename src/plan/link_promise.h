// What links between GPUs promise by their kind: data sheets, not measurements.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "inventory/inventory.h"

namespace tutti {

/// Bytes per second, one way, of the slowest pair among `gpus` (CUDA's indices). Empty: fewer than
/// two, or a link that is not known.
std::optional<double> promised_rate(const Inventory& inventory, const std::vector<int64_t>& gpus);

}  // namespace tutti
