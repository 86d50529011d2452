// Rows sorted by the matrix they are multiplied with: offsets[g] is the first row of matrix g.
#pragma once
#include <cstdint>

namespace tutti::cuda {

/// Rows [begin, end) of matrix `index`; -1: there is none.
struct Group {
  int index;
  int begin;
  int end;
};

/// The nth matrix, counted from 0, that has rows. For whole warps.
/// offsets: [groups + 1]
__device__ __forceinline__ Group nth_group_with_rows(const int32_t* offsets, int groups, int nth) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  constexpr int kAtOnce = 8;  // loads under way: 256 experts in one go
  int before = 0;
  for (int base = 0; base < groups; base += 32 * kAtOnce) {
    int begin[kAtOnce];
    int end[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int at = min(base + 32 * i + lane, groups);
      begin[i] = offsets[at];
      end[i] = offsets[min(at + 1, groups)];
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const unsigned some = __ballot_sync(0xFFFFFFFFU, end[i] > begin[i]);
      const int count = __popc(some);
      if (nth < before + count) {
        const bool mine = end[i] > begin[i] && before + __popc(some & ((1U << lane) - 1U)) == nth;
        const int owner = __ffs(static_cast<int>(__ballot_sync(0xFFFFFFFFU, mine))) - 1;
        return {base + 32 * i + owner,
                __shfl_sync(0xFFFFFFFFU, begin[i], owner),
                __shfl_sync(0xFFFFFFFFU, end[i], owner)};
      }
      before += count;
    }
  }
  return {-1, 0, 0};
}

}  // namespace tutti::cuda
