// y[t, :] = sum over a token's experts of weight * (x[row] w^T): the last product of a mixture and
// its combining in one pass, for few tokens.
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

#include "cuda/kernels/few_rows_gemm.h"

namespace tutti::cuda {

/// Tokens up to which one pass per token beats sorting them by expert.
inline constexpr int kCombineTokens = 4;

struct CombineGemm {
  void* y = nullptr;        ///< [tokens, n] bf16
  const void* x = nullptr;  ///< [.., k] bf16
  const void* w = nullptr;  ///< [experts, n, k] bf16 or e4m3, contiguous
  BlockScales scales;
  const int32_t* experts = nullptr;   ///< [tokens, top_k]
  const float* weights = nullptr;     ///< [tokens, top_k]
  const int32_t* pair_row = nullptr;  ///< [tokens, top_k]: rows of x
  /// One more matrix of the shape, format and scale layout of the others, or nullptr: of row t of
  /// `shared_x`, with weight 1.
  const void* shared_w = nullptr;
  const float* shared_scales = nullptr;
  const void* shared_x = nullptr;
  int64_t y_stride = 0;         ///< elements between rows, of all that follow
  int64_t x_stride = 0;         ///< a multiple of 8; x and w 16-byte aligned
  int64_t shared_x_stride = 0;  ///< a multiple of 8
  int64_t expert_stride = 0;
  int64_t weight_stride = 0;
  int64_t pair_stride = 0;
  int tokens = 0;
  int top_k = 0;
  int n = 0;
  int k = 0;  ///< a multiple of 16 bytes
};

/// Sums in f32, one rounding at the store; x beside e4m3 weights as few_rows_gemm takes it. A
/// row's bits do not depend on the other rows. The kernel may start while its predecessor runs
/// (programmatic dependent launch) and reads weights, `experts`, `weights` and `pair_row` ahead:
/// what made these must lie behind a product, which lets nobody start before it has waited itself.
cudaError_t combine_gemm(const CombineGemm& problem, cudaStream_t stream);

}  // namespace tutti::cuda
