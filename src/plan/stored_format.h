// How many bytes a weight takes in the formats that checkpoints come in, for those that the loader
// cannot read yet. What it reads is counted by the loader itself (WeightLoader::plan).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "loader/param_spec.h"

namespace tutti {

/// Bytes per weight as a fraction, scales and zero points included: 18/32 for 4 bits in groups of
/// 32 with a scale of 16 bits.
struct BytesPerWeight {
  int64_t bytes = 2;
  int64_t weights = 1;
};

struct StoredFormat {
  std::string name;        ///< "fp8"; see docs/planning.md
  BytesPerWeight experts;  ///< routed experts
  BytesPerWeight linear;   ///< other matrices of layers, but not routers
  BytesPerWeight other;    ///< embedding, head, routers
  bool readable = false;   ///< the loader reads it, and says how many bytes it takes
  bool cpu_only = false;   ///< it does, but GPUs have no kernels for it
};

/// Every format that plans know.
const std::vector<StoredFormat>& stored_formats();

/// kNotFound names the known ones.
Result<StoredFormat> find_format(const std::string& name);

/// Bytes on the device of a rank's part of a parameter. Vectors are f32, as the loader keeps them;
/// what is derived is in bf16 and takes the place of its source.
int64_t bytes_in(const StoredFormat& format, const Param& param);

}  // namespace tutti
