// A warp routes a token, with the scores of all experts in its registers; then the block sorts the
// pairs. Expert j * 32 + lane is register j of the lane. The same experts as the reference picks:
// scores are computed in f64 and rounded to f32 before they are compared.
#include <climits>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/moe.h"
#include "cuda/ops/moe_assign_wide.h"
#include "cuda/ops/moe_pairs.cuh"
#include "cuda/ops/moe_scores.cuh"
#include "cuda/ops/overlap.cuh"
#include "cuda/ops/shared_memory.cuh"

namespace tutti::cuda {

namespace {

constexpr int kMostTokens = 32;
constexpr int kMostExperts = 512;

template <int kPer>
struct Scores {
  float score[kPer];
  uint32_t choice[kPer];  // ordered; 0: not to be chosen
};

template <int kPer>
__device__ __forceinline__ Scores<kPer> score_experts(const AssignProblem& p, int token) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int n = p.pairs.experts;
  const float* z = p.logits.data + token * p.logits.stride;
  Scores<kPer> s;
  float x[kPer];
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    const int i = j * 32 + lane;
    x[j] = i < n ? nan_to_worst(z[i]) : -INFINITY;
  }
  if (p.router.sigmoid) {
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      s.score[j] = static_cast<float>(1.0 / (1.0 + exp(-static_cast<double>(x[j]))));
    }
  } else {
    float largest = -INFINITY;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      largest = fmaxf(largest, x[j]);
    }
    largest = from_ordered(__reduce_max_sync(kAll, ordered(largest)));
    double exponentials[kPer];
    double sum = 0;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      // The equality keeps infinities from turning into NaN.
      const bool inside = j * 32 + lane < n;
      exponentials[j] = !inside           ? 0.0
                        : x[j] == largest ? 1.0
                                          : exp(static_cast<double>(x[j]) - largest);
      sum += exponentials[j];
    }
    sum = warp_sum(sum);
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      s.score[j] = static_cast<float>(exponentials[j] / sum);
    }
  }
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    const int i = j * 32 + lane;
    s.choice[j] =
        i < n ? ordered(nan_to_worst(s.score[j] + (p.bias == nullptr ? 0.0F : p.bias[i]))) : 0;
  }
  return s;
}

// Groups are registers: a group's score is the sum of its two largest choices.
template <int kPer>
__device__ __forceinline__ void keep_best_groups(const Router& r, Scores<kPer>& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t group[kPer];
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    const uint32_t first = __reduce_max_sync(kAll, s.choice[j]);
    const int owner = __ffs(static_cast<int>(__ballot_sync(kAll, s.choice[j] == first))) - 1;
    const uint32_t second = __reduce_max_sync(kAll, lane == owner ? 0U : s.choice[j]);
    group[j] = j < r.num_groups ? ordered(from_ordered(first) + from_ordered(second)) : 0;
  }
  unsigned kept = 0;
  for (int n = 0; n < r.top_groups; ++n) {
    uint32_t best = 0;
    int which = 0;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      if ((kept >> j & 1U) == 0 && group[j] > best) {
        best = group[j];
        which = j;
      }
    }
    kept |= 1U << which;
  }
#pragma unroll
  for (int j = 0; j < kPer; ++j) {
    s.choice[j] = (kept >> j & 1U) != 0 ? s.choice[j] : 0;
  }
}

template <int kPer>
__device__ void route_token(const AssignProblem& p, int token, int* chosen) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Router& r = p.router;
  Scores<kPer> s = score_experts<kPer>(p, token);
  if (r.num_groups > 1) {
    keep_best_groups(r, s);
  }
  double sum = 0;
  float mine = 0.0F;  // the score of this lane's choice
  int my_expert = 0;
  for (int n = 0; n < r.top_k; ++n) {
    uint32_t best = 0;
    int which = 0;
    float score = 0.0F;
#pragma unroll
    for (int j = 0; j < kPer; ++j) {
      if (s.choice[j] > best) {  // ties go to the lower expert
        best = s.choice[j];
        which = j;
        score = s.score[j];
      }
    }
    const uint32_t of_all = __reduce_max_sync(kAll, best);
    const unsigned id = best == of_all ? static_cast<unsigned>(which * 32 + lane) : UINT_MAX;
    const unsigned expert = __reduce_min_sync(kAll, id);
    score = __shfl_sync(kAll, score, static_cast<int>(expert % 32));
    sum += score;
    if (expert % 32 == static_cast<unsigned>(lane)) {
#pragma unroll
      for (int j = 0; j < kPer; ++j) {
        s.choice[j] = static_cast<unsigned>(j) == expert / 32 ? 0 : s.choice[j];
      }
    }
    if (lane == n) {
      mine = score;
      my_expert = static_cast<int>(expert);
    }
  }
  if (lane < r.top_k) {
    const double divisor = r.normalize ? sum + 1e-20 : 1.0;
    p.weights.data[token * p.weights.stride + lane] = static_cast<float>(mine / divisor * r.scale);
    p.chosen[token * p.pairs.chosen_stride + lane] = my_expert;
    chosen[token * r.top_k + lane] = my_expert;
  }
}

// Shared: i32 chosen [tokens * top_k], then what sorting needs.
template <int kPer>
__global__ void __launch_bounds__(kMostTokens * 32)
    assign_kernel(const __grid_constant__ AssignProblem p) {
  extern __shared__ int shared[];
  take_turn();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  route_token<kPer>(p, warp, shared);
  __syncthreads();
  number_pairs(p.pairs, shared + p.pairs.tokens * p.pairs.top_k, [&](int token, int choice) {
    return shared[token * p.pairs.top_k + choice];
  });
}

template <int kPer>
cudaError_t launch(const AssignProblem& p, cudaStream_t s) {
  const int threads = 32 * p.pairs.tokens;
  const size_t bytes = static_cast<size_t>(p.pairs.tokens * p.pairs.top_k) * sizeof(int) +
                       permute_count_bytes(threads, p.pairs.experts);
  const cudaError_t code = allow_shared(assign_kernel<kPer>, bytes);
  return code != cudaSuccess
             ? code
             : launch_overlapped(assign_kernel<kPer>,
                                 OverlappedLaunch{.grid = dim3(1),
                                                  .threads = static_cast<unsigned>(threads),
                                                  .shared_bytes = bytes,
                                                  .stream = s},
                                 p);
}

}  // namespace

bool moe_assign_fits(const AssignProblem& p) {
  return p.pairs.tokens > 0 && route_wide_fits(p);
}

cudaError_t moe_assign(const AssignProblem& p, cudaStream_t s) {
  if (!moe_assign_fits(p)) {
    return cudaErrorInvalidValue;
  }
  if (assign_wide_fits(p)) {
    return assign_wide(p, s);
  }
  if (p.pairs.tokens <= kMostTokens && p.pairs.experts <= kMostExperts) {
    return p.pairs.experts <= 128   ? launch<4>(p, s)
           : p.pairs.experts <= 256 ? launch<8>(p, s)
                                    : launch<16>(p, s);
  }
  const cudaError_t code = route_wide(p, s);
  return code != cudaSuccess ? code : moe_permute(p.pairs, s);
}

}  // namespace tutti::cuda
