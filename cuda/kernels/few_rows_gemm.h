// y = x w^T for few rows of x per matrix: experts of a mixture, matrices per head, and matrices of
// scaled e4m3 blocks.
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

namespace tutti::cuda {

/// Rows of one matrix that share a pass over its weights. More rows are legal and read them again;
/// so do fewer where k is long (few_rows_gemm.cu, kStagedBytes).
inline constexpr int kFewRows = 8;

/// Columns of e4m3 values that share a factor; also rows that do, from row 0 on (DeepSeek-V3,
/// arXiv:2412.19437, section 3.3).
inline constexpr int kScaleColumns = 128;

struct BlockScales {
  const float* data =
      nullptr;     ///< [groups, ceil(n / rows), ceil(k / 128)]; nullptr: the weights are bf16
  int rows = 128;  ///< that share a factor
  int64_t row_stride = 0;    ///< elements between rows of factors
  int64_t group_stride = 0;  ///< elements between matrices
};

/// One more matrix of the shape, format and scale layout of the others, beside experts: of all rows
/// of x as they lie.
struct SharedExpert {
  void* y = nullptr;  ///< [rows, n], strides and type as the others'; nullptr: there is none
  const void* w = nullptr;
  const float* scales = nullptr;
  int rows = 0;
};

struct FewRowsGemm {
  void* y = nullptr;        ///< [rows, n] bf16, or f32; gated: [rows, n / 2]
  const void* x = nullptr;  ///< [.., k] bf16
  const void* w = nullptr;  ///< [groups, n, k] bf16 or e4m3, contiguous
  BlockScales scales;
  /// [rows]: the row of x behind each row of y; nullptr: the same.
  const int32_t* x_rows = nullptr;
  /// [groups + 1]: where the rows of y of each matrix begin; nullptr: every matrix takes all rows.
  const int32_t* offsets = nullptr;
  int64_t y_stride = 0;  ///< elements between rows
  int64_t x_stride = 0;  ///< a multiple of 8; x and w 16-byte aligned
  /// Elements between matrices, without offsets; of x a multiple of 8.
  int64_t y_group = 0;
  int64_t x_group = 0;
  int rows = 0;
  int most_rows = 0;  ///< of one matrix; 0: rows
  int groups = 1;
  int n = 0;
  int k = 0;  ///< a multiple of 16 bytes
  /// The first half of a matrix is a gate, the second goes up: y = silu(gate) * up.
  bool gated = false;
  bool f32_out = false;
  int share = 0;  ///< warps of a block that share a sum: 1, 4 or 8; 0: this and split by the size
  int split = 0;  ///< with share 8: blocks that share a sum, 1, 2, 4 or 8
  SharedExpert beside;  ///< with offsets only
};

/// Sums in f32, one rounding at the store. e4m3 values are taken exactly; the row of x beside them
/// becomes f16 behind a power of two for each 128 columns, which is exact for values above 2^-31 of
/// the largest of those columns, and off by at most 2^-39 of that one below. A row's bits do not
/// depend on the other rows. The kernel may start while its predecessor runs (programmatic
/// dependent launch); weights that need no offsets are then read ahead.
cudaError_t few_rows_gemm(const FewRowsGemm& problem, cudaStream_t stream);

}  // namespace tutti::cuda
