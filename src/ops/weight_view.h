// A weight matrix in the form it is stored in, as the linear ops read it. Quantisation is a
// property of this view, so models and nn modules never ask for it.
#pragma once
#include <cstdint>

#include "tensor/tensor_view.h"

namespace tutti {

/// Dense (f32, f16, bf16) or e4m3 with one f32 scale per block (DeepSeek's 128x128
/// `weight_scale_inv`).
///
/// A view may be a shard that starts inside a block, or several fused matrices whose scale grids
/// follow one another. So rows find their scale row through a table, columns through a phase:
///   w[n, k] = float(data[n, k]) * scales[scale_row[n], (k + phase_k) / block_k]
struct WeightView {
  ConstTensorView data;  ///< [n, k], or [g, n, k] for g stacked matrices (experts, heads)
  ConstTensorView
      scales;  ///< f32 [scale_rows, scale_cols] or [g, scale_rows, scale_cols]; undefined = dense
  ConstTensorView scale_row;  ///< i32 [n], shared by all g; defined iff scales is
  int64_t block_k = 0;        ///< columns per scale; > 0 iff scales is defined
  int64_t phase_k =
      0;  ///< columns of the first block that lie before this shard, 0 <= phase_k < block_k

  bool quantized() const { return scales.defined(); }

  int64_t rows() const { return data.dim(-2); }

  int64_t cols() const { return data.dim(-1); }

  int64_t groups() const { return data.rank() == 3 ? data.dim(0) : 1; }
};

}  // namespace tutti
