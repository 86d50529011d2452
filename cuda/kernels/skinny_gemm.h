// y = x w^T for a handful of rows: a pass over the weights at memory speed.
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

namespace tutti::cuda {

inline constexpr int kSkinnyMaxRows = 16;

struct SkinnyGemm {
  void* y = nullptr;            ///< [rows, n] bf16, or f32 with f32_out; gated: [rows, n / 2]
  const void* x = nullptr;      ///< [rows, k] bf16
  const void* w = nullptr;      ///< [n, k] bf16, contiguous
  const float* bias = nullptr;  ///< [n] or nullptr; not with `gated`
  int64_t y_stride = 0;         ///< elements between rows
  int64_t x_stride = 0;         ///< a multiple of 8; x and w 16-byte aligned
  int rows = 0;                 ///< 0 .. kSkinnyMaxRows
  int n = 0;
  int k = 0;  ///< a multiple of 8
  bool f32_out = false;
  bool gated = false;  ///< the first half of w is a gate, the second goes up: y = silu(gate) * up
};

/// Sums in f32, one rounding at the store. A row's bits do not depend on the other rows. The kernel
/// may start while its predecessor runs (programmatic dependent launch): it then reads ahead in w
/// only.
cudaError_t skinny_gemm(const SkinnyGemm& problem, cudaStream_t stream);

}  // namespace tutti::cuda
