// What prompt attention kernels have in common: the rows of a prompt in tiles, and the softmax of a
// warp group's 64 rows, tile of keys by tile of keys.
#pragma once
#include "cuda/kernels/ptx.h"

namespace tutti::cuda {

/// Sequences of a batch, as PagedAttention has them.
struct PromptSequences {
  const int32_t* query_begin;     // [count + 1]
  const int32_t* context_before;  // [count]
  int count;
};

// What one thread block computes.
struct PromptTile {
  int sequence;     // -1: nothing
  int query_begin;  // first token row of the sequence
  int queries;      // of the sequence
  int context;      // tokens before them
  int row0;         // first (token, head) row within the sequence
  int keys;         // that any row of the tile sees
};

// Tiles of kRows rows are numbered sequence after sequence; within one the last (longest) comes
// first, so that the short ones fill the end of the grid. A token has `group` rows.
template <int kRows>
__device__ PromptTile find_prompt_tile(const PromptSequences& p, int group, int index) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int before = 0;
  for (int base = 0; base < p.count; base += 32) {
    const int i = base + lane;
    int begin = 0;
    int count = 0;
    if (i < p.count) {
      begin = p.query_begin[i];
      count = p.query_begin[i + 1] - begin;
    }
    const int tiles = (count * group + kRows - 1) / kRows;
    int end = tiles;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xFFFFFFFF, end, step);
      end += lane >= step ? other : 0;
    }
    const bool mine = index >= before + end - tiles && index < before + end;
    const unsigned vote = __ballot_sync(0xFFFFFFFF, mine);
    if (vote != 0) {
      const int owner = __ffs(static_cast<int>(vote)) - 1;
      const int local = __shfl_sync(0xFFFFFFFF, index - (before + end - tiles), owner);
      const int of = __shfl_sync(0xFFFFFFFF, tiles, owner);
      PromptTile tile{};
      tile.sequence = base + owner;
      tile.query_begin = __shfl_sync(0xFFFFFFFF, begin, owner);
      tile.queries = __shfl_sync(0xFFFFFFFF, count, owner);
      tile.context = p.context_before[tile.sequence];
      tile.row0 = (of - 1 - local) * kRows;
      const int last = min((tile.row0 + kRows - 1) / group, tile.queries - 1);
      tile.keys = tile.context + last + 1;
      return tile;
    }
    before += __shfl_sync(0xFFFFFFFF, end, 31);
  }
  return {.sequence = -1};
}

// Rows of the warp group's 64 as seen by one thread: it holds two of each accumulator fragment.
struct ThreadRows {
  int limit[2];      // keys below it are visible
  float largest[2];  // running maximum, in units of the raw score
  float sum[2];      // this thread's part of the running sum
};

// Those that begin with row `first_row` of the sequence, eight apart; nothing is seen yet.
__device__ __forceinline__ ThreadRows thread_rows(const PromptTile& tile,
                                                  int group,
                                                  int first_row) {
  ThreadRows rows{};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int token = min((first_row + 8 * r) / group, tile.queries - 1);
    rows.limit[r] = tile.context + token + 1;
    rows.largest[r] = -INFINITY;
  }
  return rows;
}

// One over the sum of a row's weights, which four threads have parts of.
__device__ __forceinline__ float inverse_sum(const ThreadRows& rows, int r) {
  float sum = rows.sum[r];
  sum += __shfl_xor_sync(0xFFFFFFFF, sum, 1);
  sum += __shfl_xor_sync(0xFFFFFFFF, sum, 2);
  return 1.0F / sum;
}

// Masks, then turns the scores of kKeys keys into probabilities; returns the factors for what was
// summed before.
template <bool kMask, int kKeys>
__device__ __forceinline__ void softmax_step(
    float (&s)[kKeys / 2], ThreadRows& rows, float (&factor)[2], int key0, float scale_log2) {
  const int column0 = key0 + 2 * (static_cast<int>(threadIdx.x) % 4);
  if constexpr (kMask) {
#pragma unroll
    for (int i = 0; i < kKeys / 2; ++i) {
      const int key = column0 + (i / 4) * 8 + (i & 1);
      s[i] = key < rows.limit[(i >> 1) & 1] ? s[i] : -INFINITY;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = rows.largest[r];
#pragma unroll
    for (int i = 0; i < kKeys / 8; ++i) {
      largest = fmaxf(largest, fmaxf(s[i * 4 + 2 * r], s[i * 4 + 2 * r + 1]));
    }
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFF, largest, 2));
    // A row that has seen no key yet must not compute inf - inf.
    const float base = largest == -INFINITY ? 0.0F : largest * scale_log2;
    factor[r] = exp2_fast(rows.largest[r] * scale_log2 - base);
    rows.largest[r] = largest;
    float sum = rows.sum[r] * factor[r];
#pragma unroll
    for (int i = 0; i < kKeys / 8; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& value = s[i * 4 + 2 * r + j];
        value = exp2_fast(fmaf(value, scale_log2, -base));
        sum += value;
      }
    }
    rows.sum[r] = sum;
  }
}

template <int kCount>
__device__ __forceinline__ void to_bf16(uint32_t (&p)[kCount], const float (&s)[2 * kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    p[i] = pack_bf16(s[2 * i], s[2 * i + 1]);
  }
}

}  // namespace tutti::cuda
