// A weight in device memory in the form it is stored in, as the operations read it. Quantisation is
// a property of this view, so models and nn modules never ask for it.
#pragma once
#include "tensor/tensor_view.h"
#include "tensor/weight_format.h"

namespace tutti {

/// A matrix [n, k], or g stacked ones [g, n, k] (experts, heads).
///
/// Plane p is [ceil(n / cell.rows), ceil(k / cell.cols) * elements], stacked as the weight is;
/// cells begin at row 0 and column 0 of this view, whatever the rank's share of the checkpoint's
/// matrix. So of E4M3 blocks values are [n, k] and scales f32 [ceil(n / 128), ceil(k / 128)], or
/// cells are a smaller divisor of the checkpoint's block where a shard or a fused matrix begins
/// inside one. Loaded planes have no gaps and begin at multiples of the format's alignment.
struct WeightView {
  WeightLayout layout;
  Shape shape;  ///< [n, k] or [g, n, k]
  std::array<ConstTensorView, kMaxWeightPlanes> planes{};
  const char* name = "";  ///< of the parameter, for messages

  WeightView() = default;

  WeightView(const WeightLayout& l, const Shape& s) : layout(l), shape(s) {}

  /// F32, F16 or BF16 values.
  static WeightView dense(ConstTensorView data);

  /// E4M3 values [n, k] or [g, n, k] and their scales.
  static WeightView e4m3_blocks(ConstTensorView values, ConstTensorView scales, WeightCell block);

  const WeightFormat& format() const { return *layout.format; }

  ConstTensorView values() const { return planes[0]; }

  ConstTensorView scales() const { return planes[1]; }

  const WeightCell& cell(int plane) const { return layout.cells[static_cast<size_t>(plane)]; }

  int64_t rows() const { return shape[shape.rank() - 2]; }

  int64_t cols() const { return shape[shape.rank() - 1]; }

  int64_t groups() const { return shape.rank() == 3 ? shape[0] : 1; }

  /// In device memory.
  int64_t bytes() const { return layout.bytes(shape); }

  /// Row n of matrix g from column `col` on, in memory that this program can read.
  WeightRow row(int64_t g, int64_t n, int64_t col = 0) const;
};

}  // namespace tutti
