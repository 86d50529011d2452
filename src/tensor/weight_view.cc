#include "tensor/weight_view.h"

namespace tutti {

WeightView WeightView::dense(ConstTensorView data) {
  const WeightFormat* format = dense_format(data.dtype());
  TUTTI_CHECK_MSG(format != nullptr, "dense weights of {}", dtype_name(data.dtype()));
  WeightView view(WeightLayout::of(*format), data.shape());
  view.planes[0] = data;
  return view;
}

WeightView WeightView::e4m3_blocks(ConstTensorView values,
                                   ConstTensorView scales,
                                   WeightCell block) {
  WeightView view(WeightLayout::of(kE4M3BlockWeights, block), values.shape());
  view.planes[0] = values;
  view.planes[1] = scales;
  return view;
}

WeightRow WeightView::row(int64_t g, int64_t n, int64_t col) const {
  WeightRow row{.cells = layout.cells, .row = n, .col = col};
  for (size_t p = 0; p < usize(format().plane_count); ++p) {
    const ConstTensorView& plane = planes[p];
    const int64_t at = (plane.rank() == 3 ? g * plane.stride(0) : 0) +
                       n / layout.cells[p].rows * plane.stride(-2) +
                       col / layout.cells[p].cols * format().planes[p].elements;
    row.planes[p] = static_cast<const std::byte*>(plane.raw()) + at * dtype_size(plane.dtype());
  }
  return row;
}

}  // namespace tutti
