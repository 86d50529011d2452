// Checked views as the plain structs that kernels take.
#pragma once
#include "base/check.h"
#include "cuda/ops/launch.h"
#include "ops/ops.h"

namespace tutti::cuda {

inline ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return ElementType::kF32;
    case DType::kBF16:
      return ElementType::kBF16;
    case DType::kF16:
      return ElementType::kF16;
    case DType::kF8E4M3:
      return ElementType::kE4M3;
    default:
      check_failed(__FILE__, __LINE__, dtype_name(dtype));
  }
}

/// A rank 2 or 3 view.
template <class Void>
BasicRows<Void> rows(const BasicTensorView<Void>& view) {
  const bool three = view.rank() == 3;
  return {.data = view.raw(),
          .type = element_type(view.dtype()),
          .n0 = view.dim(0),
          .n1 = three ? view.dim(1) : 1,
          .width = view.dim(-1),
          .stride0 = view.stride(0),
          .stride1 = three ? view.stride(1) : 0};
}

inline ConstRows const_rows(const ConstTensorView& view) {
  return rows<const void>(view);
}

inline Sequences sequences(const AttentionBatch& batch) {
  return {.query_begin = batch.query_begin.data<int32_t>(),
          .context_before = batch.context_before.data<int32_t>(),
          .block_table = batch.block_table.data<int32_t>(),
          .table_stride = batch.block_table.stride(0),
          .count = static_cast<int>(batch.context_before.dim(0)),
          .block_size = static_cast<int>(batch.block_size)};
}

/// Null for an undefined view.
inline const float* floats(const ConstTensorView& view) {
  return view.defined() ? view.data<float>() : nullptr;
}

}  // namespace tutti::cuda
