// What a kernel launch needs to know of a tensor. Free of the core's headers, which nvcc's front
// end need not read; cuda_ops.cc fills these from checked views.
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

namespace tutti::cuda {

enum class ElementType : uint8_t { kF32, kBF16, kF16, kE4M3 };

/// [n0, n1, width]; the last dimension is contiguous, strides are in elements. Rank 2 has n1 = 1.
template <class Void>
struct BasicRows {
  Void* data = nullptr;
  ElementType type = ElementType::kF32;
  int64_t n0 = 0;
  int64_t n1 = 1;
  int64_t width = 0;
  int64_t stride0 = 0;
  int64_t stride1 = 0;

  bool empty() const { return n0 * n1 * width == 0; }
};

using Rows = BasicRows<void>;
using ConstRows = BasicRows<const void>;

/// [n, ..] of one type, rows `stride` elements apart.
template <class T>
struct TypedRows {
  T* data = nullptr;
  int64_t stride = 0;
};

/// AttentionBatch (ops/ops.h) on the device.
struct Sequences {
  const int32_t* query_begin = nullptr;     ///< [count + 1]
  const int32_t* context_before = nullptr;  ///< [count]
  const int32_t* block_table = nullptr;     ///< [count, table_stride]
  int64_t table_stride = 0;
  int count = 0;
  int block_size = 0;
};

}  // namespace tutti::cuda
