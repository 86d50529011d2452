// The tiles of grouped_gemm_sm90.cu: what a thread block holds of one, and which it takes in turn.
#pragma once
#include "cuda/kernels/grouped_gemm_sm90.h"
#include "cuda/kernels/wgmma.cuh"

namespace tutti::cuda::grouped {

constexpr int kThreads = 384;
[[maybe_unused]] constexpr int kGroupThreads = 128;
constexpr int kRowBytes = 128;    // of a swizzled tile: the columns of one stage
constexpr int kWeightRows = 256;  // of a tile: two warp groups of 64 + 64
constexpr int kWeightBytes = kWeightRows * kRowBytes;
[[maybe_unused]] constexpr int kBothGroups = 3;  // named barrier of those that compute
[[maybe_unused]] constexpr int kProducerRegisters = 56;
[[maybe_unused]] constexpr int kConsumerRegisters = 224;  // 56 * 128 + 224 * 256 <= 65536

struct Params {
  __nv_bfloat16* y;
  const uint8_t* x;
  const float* x_scales;
  BlockScales scales;
  const int32_t* x_rows;
  const int32_t* offsets;
  int64_t y_stride;
  int64_t x_row_bytes;
  int64_t x_scale_stride;
  int rows;
  int groups;
  int n;
  int k_bytes;
  int split;  // blocks that share a tile's sum: a cluster, which then has one tile
};

template <int kTokens, bool kScaled>
struct alignas(1024) Shared {
  // What fits into 227 KiB.
  static constexpr int kStages = kTokens == 128 ? 4 : kTokens == 64 || kScaled ? 5 : 6;
  static constexpr int kOutTokens = kTokens < 64 ? kTokens : 64;  // stored at a time
  uint8_t w[kStages][kWeightBytes];
  uint8_t x[kStages][kTokens * kRowBytes];
  uint8_t out[2][kOutTokens * kRowBytes];  // 64 outputs of each warp group
  float x_scales[kStages][kScaled ? kTokens : 1];
  uint64_t full[kStages];
  uint64_t empty[kStages];
  int first_tile[kGroupedMaxGroups + 1];
};

#if TUTTI_HAS_WGMMA

__device__ __forceinline__ int group_begin(const Params& p, int group) {
  return p.offsets == nullptr ? group * p.rows : p.offsets[group];
}

// One warp: the number of tiles before each group.
template <int kTokens>
__device__ void count_tiles(const Params& p, int output_tiles, int* first_tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int before = 0;
  for (int base = 0; base < p.groups; base += 32) {
    const int group = base + lane;
    int tiles = 0;
    if (group < p.groups) {
      const int rows = group_begin(p, group + 1) - group_begin(p, group);
      tiles = (rows + kTokens - 1) / kTokens * output_tiles;
    }
    int end = tiles;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xFFFFFFFFU, end, step);
      end += lane >= step ? other : 0;
    }
    if (group < p.groups) {
      first_tile[group] = before + end - tiles;
    }
    before += __shfl_sync(0xFFFFFFFFU, end, 31);
  }
  if (lane == 0) {
    first_tile[p.groups] = before;
  }
}

// Which part of the sums is this block's, in steps of 128 bytes; the blocks of a cluster take equal
// stretches.
struct Steps {
  int first;
  int count;
};

__device__ __forceinline__ Steps steps_of(const Params& p) {
  const int steps = (p.k_bytes + kRowBytes - 1) / kRowBytes;
  const int rank = static_cast<int>(blockIdx.x) % p.split;
  const int first = steps * rank / p.split;
  return {.first = first, .count = steps * (rank + 1) / p.split - first};
}

// The number of this block's first tile; it goes on by as many as there are blocks or clusters.
__device__ __forceinline__ int first_index(const Params& p) {
  return static_cast<int>(blockIdx.x) / p.split;
}

__device__ __forceinline__ int index_stride(const Params& p) {
  return static_cast<int>(gridDim.x) / p.split;
}

// What one tile computes.
struct Tile {
  int group;
  int row;     // first row of y
  int rows;    // of it
  int output;  // number of the tile along the outputs
};

// Tiles with the same weights come one after another.
template <int kTokens>
__device__ Tile tile_at(const Params& p, const int* first_tile, int index, int& group) {
  while (index >= first_tile[group + 1]) {
    ++group;
  }
  const int begin = group_begin(p, group);
  const int end = group_begin(p, group + 1);
  const int row_tiles = (end - begin + kTokens - 1) / kTokens;
  const int local = index - first_tile[group];
  const int row = begin + local % row_tiles * kTokens;
  return {.group = group, .row = row, .rows = min(kTokens, end - row), .output = local / row_tiles};
}

// The first of the 64 weight rows of a part of a tile: (warp group, low or high).
template <bool kGated>
__device__ __forceinline__ int part_row(const Params& p, const Tile& tile, int part) {
  return kGated ? part % 2 * (p.n / 2) + tile.output * (kWeightRows / 2) + part / 2 * 64
                : tile.output * kWeightRows + part * 64;
}

#endif  // TUTTI_HAS_WGMMA

}  // namespace tutti::cuda::grouped
