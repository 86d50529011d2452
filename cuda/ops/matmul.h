// Matrix products for every pair of compute and weight type, dense or e4m3 with block scales, one
// matrix or many: the path that is always there. cuda_linear.cc gives what it can to cuBLASLt.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// y[b][i, :] = x[b][i, :] * w[b]^T (+ bias) for `batches` matrices, or, with `offsets`, rows
/// [offsets[b], offsets[b + 1]) of x times w[b].
struct MatMul {
  void* y = nullptr;
  const void* x = nullptr;
  const void* w = nullptr;
  const float* bias = nullptr;       ///< [n] or null
  const float* scales = nullptr;     ///< e4m3: one for each block_n x block_k weights
  const int32_t* offsets = nullptr;  ///< [batches + 1] on the device, or null
  ElementType y_type = ElementType::kF32;
  ElementType x_type = ElementType::kF32;
  ElementType w_type = ElementType::kF32;
  int64_t m = 0;  ///< rows of x, over all batches if there are offsets
  int64_t n = 0;
  int64_t k = 0;
  int64_t batches = 1;
  int64_t y_stride = 0;  ///< elements from one row to the next
  int64_t x_stride = 0;
  int64_t w_stride = 0;
  int64_t scale_stride = 0;
  int64_t y_batch = 0;  ///< elements from one batch to the next
  int64_t x_batch = 0;
  int64_t w_batch = 0;
  int64_t scale_batch = 0;
  int64_t block_n = 1;
  int64_t block_k = 1;
};

/// f32 sums over ascending k, exact products of the stored values (a scaled e4m3 value is rounded
/// to f32 first). A row's bits do not depend on the other rows.
cudaError_t simple_matmul(const MatMul& problem, cudaStream_t s);

/// `to`: [n] bf16.
cudaError_t round_to_bf16(void* to, const float* from, int64_t n, cudaStream_t s);

}  // namespace tutti::cuda
