// Row pointers into strided host views. The last dimension is contiguous by the contract of ops.h.
#pragma once
#include <cstdint>

#include "tensor/tensor_view.h"

namespace tutti {

/// Start of row i of a [rows, w] view.
template <class T, class Void>
auto* row_of(const BasicTensorView<Void>& view, int64_t i) {
  return view.template data<T>() + i * view.stride(0);
}

/// Start of row (i, j) of a [n, m, w] view.
template <class T, class Void>
auto* row_of(const BasicTensorView<Void>& view, int64_t i, int64_t j) {
  return view.template data<T>() + i * view.stride(0) + j * view.stride(1);
}

/// A rank 2 view as rank 3 with a middle dimension of 1, so one loop serves both.
template <class Void>
BasicTensorView<Void> as_rank3(const BasicTensorView<Void>& view) {
  if (view.rank() == 3) {
    return view;
  }
  return {view.raw(),
          view.dtype(),
          {view.dim(0), 1, view.dim(1)},
          {view.stride(0), view.dim(1), view.stride(1)}};
}

/// Cached row of `position` in a [blocks, block_size, w] cache; `blocks` is the sequence's row of
/// the block table.
template <class Void>
auto* cached_row(const BasicTensorView<Void>& cache, const int32_t* blocks, int64_t position) {
  const int64_t block_size = cache.dim(1);
  return row_of<float>(cache, blocks[position / block_size], position % block_size);
}

}  // namespace tutti
