// Weights as a checkpoint stores them: elements of any float type, and the scale grids of e4m3
// matrices.
#pragma once
#include <cstdint>
#include <vector>

#include "loader/checkpoint.h"
#include "loader/hf_config.h"
#include "loader/param_spec.h"

namespace tutti {

/// F32, F16, BF16 or F8_E4M3: what a weight may be stored as.
bool is_float(DType dtype);

/// Element `index` as f32, without its scale. `data` may have any alignment.
float element(const std::byte* data, DType dtype, int64_t index);

/// Rounds `value` to F32, F16 or BF16.
void store_dense(std::byte* data, DType dtype, int64_t index, float value);

/// Elements [0, count) as f32, without their scales. `data` may have any alignment.
void to_floats(const std::byte* data, DType dtype, int64_t count, float* out);

/// The blocks that a rank's rows and columns touch.
struct ScaleBlocks {
  Range rows;
  Range cols;

  int64_t count() const { return rows.count * cols.count; }
};

Range blocks_of(Range range, int64_t block);

ScaleBlocks scale_blocks(const ParamSpec& spec,
                         const ParamSource& source,
                         const QuantConfig& quant);

/// Appends the scales of `blocks`, row by row; kCorrupt if one is not a finite number, or on read
/// errors.
Status read_scales(const TensorRef& scale, const ScaleBlocks& blocks, std::vector<float>& out);

}  // namespace tutti
