// y = x w^T for many rows of x: the experts of a mixture, and matrices of scaled e4m3 blocks, on
// the warp-group matrix units of compute capability 9.0.
#pragma once
#include <cstdint>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "cuda/kernels/few_rows_gemm.h"

namespace tutti::cuda {

/// Most matrices of one call.
inline constexpr int kGroupedMaxGroups = 384;

struct GroupedGemm {
  void* y = nullptr;        ///< [rows, n] bf16; gated: [rows, n / 2]
  const void* x = nullptr;  ///< [.., k] bf16; with `scales` e4m3
  /// With `scales`: the factors of x, [.., ceil(k / 128)] f32, of blocks of 128 columns.
  const float* x_scales = nullptr;
  BlockScales scales;  ///< of w
  const int32_t* x_rows =
      nullptr;  ///< [rows]: the row of x behind each row of y; nullptr: the same
  const int32_t* offsets =
      nullptr;           ///< [groups + 1]: rows of y of each matrix; nullptr: one matrix
  int64_t y_stride = 0;  ///< elements between rows
  int64_t x_stride = 0;  ///< rows of x are 16-byte aligned
  int64_t x_scale_stride = 0;
  int rows = 0;
  int groups = 1;
  int n = 0;
  int k = 0;           ///< a multiple of 16 bytes
  bool gated = false;  ///< as FewRowsGemm
  int tile_rows = 0;   ///< rows of y per tile: 16, 32, 64 or 128
  /// Of a single matrix: thread blocks that share a tile's sum, 1, 2, 4 or 8; 0: as many as a
  /// device that its tiles do not fill has room for.
  int split = 0;
};

/// Rows of a tile that the rows of most matrices fit into.
int grouped_tile_rows(int rows, int groups);

/// w_map: of [groups * n, k] in boxes of 64 rows and 128 bytes with the 128-byte swizzle; x_map: of
/// x [rows, k] in boxes of tile_rows rows, looked at only without x_rows.
/// Sums in f32, one rounding at the store. With `scales`, the sum of each block of 128 columns is
/// scaled in f32 (DeepSeek-V3, arXiv:2412.19437, section 3.3).
cudaError_t grouped_gemm(const GroupedGemm& problem,
                         const CUtensorMap& w_map,
                         const CUtensorMap& x_map,
                         cudaStream_t stream);

}  // namespace tutti::cuda
