// Sorting (token, choice) pairs by expert within one thread block.
#pragma once
#include "cuda/ops/moe.h"

namespace tutti::cuda {

/// Of shared memory, for a block of so many threads: [warps][experts] counts, then totals
/// [experts].
inline size_t permute_count_bytes(int threads, int experts) {
  return static_cast<size_t>(threads / 32 + 1) * static_cast<size_t>(experts) * sizeof(int);
}

/// One block numbers all pairs. Each warp has a stretch of them: it counts how many go to each
// expert, learns where its own begin (behind those of smaller experts, and of earlier warps for the
// same one), and hands out rows in order. No atomics, so the order is the tokens'. Shared: i32
// counts [warps][experts], then totals [experts].
/// chosen_at(token, choice): the expert. `counts`: shared, permute_count_bytes() of it.
template <class ChosenAt>
__device__ void number_pairs(const PermuteProblem& p, int* counts, const ChosenAt& chosen_at) {
  const int warps = static_cast<int>(blockDim.x) / 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int pairs = p.tokens * p.top_k;
  int* mine = counts + warp * p.experts;
  int* totals = counts + warps * p.experts;
  for (int i = static_cast<int>(threadIdx.x); i < warps * p.experts;
       i += static_cast<int>(blockDim.x)) {
    counts[i] = 0;
  }
  __syncthreads();
  const int stretch = ((pairs + warps - 1) / warps + 31) / 32 * 32;
  const int begin = warp * stretch;
  const int end = min(pairs, begin + stretch);
  constexpr int kAtOnce = 4;  // loads under way
  // f(pair, its expert, the lanes of the warp with the same one)
  const auto for_pairs = [&](const auto& f) {
    for (int base = begin; base < end; base += 32 * kAtOnce) {
      int experts[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int pair = base + 32 * i + lane;
        experts[i] = pair < end ? chosen_at(pair / p.top_k, pair % p.top_k) : -1;
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const unsigned same = __match_any_sync(0xFFFFFFFFU, experts[i]);
        if (experts[i] >= 0) {
          f(base + 32 * i + lane, experts[i], same);
        }
        __syncwarp();
      }
    }
  };
  for_pairs([&](int, int expert, unsigned same) {
    if (lane == __ffs(static_cast<int>(same)) - 1) {
      mine[expert] += __popc(same);
    }
  });
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < p.experts; e += static_cast<int>(blockDim.x)) {
    int before = 0;
    for (int w = 0; w < warps; ++w) {
      const int count = counts[w * p.experts + e];
      counts[w * p.experts + e] = before;
      before += count;
    }
    totals[e] = before;
  }
  __syncthreads();
  if (warp == 0) {
    int before = 0;
    for (int base = 0; base < p.experts; base += 32) {
      const int total = base + lane < p.experts ? totals[base + lane] : 0;
      int sum = total;
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const int other = __shfl_up_sync(0xFFFFFFFFU, sum, step);
        sum += lane >= step ? other : 0;
      }
      if (base + lane < p.experts) {
        totals[base + lane] = before + sum - total;
        p.offsets[base + lane] = before + sum - total;
      }
      before += __shfl_sync(0xFFFFFFFFU, sum, 31);
    }
    if (lane == 0) {
      p.offsets[p.experts] = before;
    }
  }
  __syncthreads();
  for_pairs([&](int pair, int expert, unsigned same) {
    const int row = totals[expert] + mine[expert] + __popc(same & ((1U << lane) - 1U));
    p.row_token[row] = pair / p.top_k;
    p.pair_row[(pair / p.top_k) * p.pair_stride + pair % p.top_k] = row;
    __syncwarp(same);
    if (lane == __ffs(static_cast<int>(same)) - 1) {
      mine[expert] += __popc(same);
    }
  });
}

}  // namespace tutti::cuda
