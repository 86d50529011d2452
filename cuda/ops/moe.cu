// Mixture-of-experts bookkeeping. Integers only, or f64 rounded to f32 where choices are compared:
// the same experts as the reference picks.
#include <climits>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/moe.h"
#include "cuda/ops/moe_pairs.cuh"
#include "cuda/ops/moe_scores.cuh"
#include "cuda/ops/overlap.cuh"
#include "cuda/ops/shared_memory.cuh"

namespace tutti::cuda {

namespace {

constexpr int kRouteThreads = 128;
constexpr int kPermuteThreads = 1024;
constexpr int kCombineThreads = 256;

struct Candidate {
  float value;
  int index;
};

// The larger value, ties to the lower index.
__device__ Candidate better(Candidate a, Candidate b) {
  const bool second = b.value > a.value || (b.value == a.value && b.index < a.index);
  return second ? b : a;
}

// Best of values[0, n) that is not taken, found by one warp; all lanes get it.
__device__ Candidate best_of(const float* values, const uint8_t* taken, int n) {
  Candidate best{-INFINITY, INT_MAX};
  for (int i = static_cast<int>(threadIdx.x); i < n; i += 32) {
    if (taken[i] == 0) {
      best = better(best, {values[i], i});
    }
  }
  for (int step = 16; step > 0; step /= 2) {
    const Candidate other{__shfl_xor_sync(0xFFFFFFFFU, best.value, step),
                          __shfl_xor_sync(0xFFFFFFFFU, best.index, step)};
    best = better(best, other);
  }
  return best;
}

__device__ float sum_of_two_largest(const float* values, int n) {
  float first = -INFINITY;
  float second = -INFINITY;
  for (int i = 0; i < n; ++i) {
    if (values[i] > first) {
      second = first;
      first = values[i];
    } else if (values[i] > second) {
      second = values[i];
    }
  }
  return n > 1 ? first + second : first;
}

// exp[i] holds exp(z - largest) of softmax scores, summed in order by one thread as the reference
// does.
__device__ void softmax_scores(float* scores, double* exponentials, const float* logits, int n) {
  __shared__ double sum;
  float largest = -INFINITY;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kRouteThreads) {
    largest = fmaxf(largest, nan_to_worst(logits[i]));
  }
  largest = block_reduce<Max>(largest);
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kRouteThreads) {
    const float z = nan_to_worst(logits[i]);
    // The equality keeps infinities from turning into NaN.
    exponentials[i] = z == largest ? 1.0 : exp(static_cast<double>(z) - largest);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    double total = 0;
    for (int i = 0; i < n; ++i) {
      total += exponentials[i];
    }
    sum = total;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kRouteThreads) {
    scores[i] = static_cast<float>(exponentials[i] / sum);
  }
}

// One block per token. Shared: f64 [e], then f32 scores [e], choices [e], groups [g], then bytes
// taken [e], group_taken [g].
__global__ void __launch_bounds__(kRouteThreads) route_kernel(int32_t* experts,
                                                              int64_t expert_stride,
                                                              Rows weights,
                                                              ConstRows logits,
                                                              const float* bias,
                                                              Router r) {
  extern __shared__ double shared[];
  take_turn();
  const int n = static_cast<int>(logits.width);
  double* exponentials = shared;
  float* scores = reinterpret_cast<float*>(exponentials + n);
  float* choices = scores + n;
  float* group_scores = choices + n;
  auto* taken = reinterpret_cast<uint8_t*>(group_scores + r.num_groups);
  uint8_t* group_taken = taken + n;
  const int thread = static_cast<int>(threadIdx.x);
  const float* z = row_of<float>(logits, blockIdx.x);

  if (r.sigmoid) {
    for (int i = thread; i < n; i += kRouteThreads) {
      const double x = nan_to_worst(z[i]);
      scores[i] = static_cast<float>(1.0 / (1.0 + exp(-x)));
    }
  } else {
    softmax_scores(scores, exponentials, z, n);
  }
  __syncthreads();
  const bool limited = r.num_groups > 1;
  for (int i = thread; i < n; i += kRouteThreads) {
    choices[i] = nan_to_worst(scores[i] + (bias == nullptr ? 0.0F : bias[i]));
    taken[i] = limited ? 1 : 0;
  }
  __syncthreads();
  const int group_size = n / r.num_groups;
  for (int g = thread; limited && g < r.num_groups; g += kRouteThreads) {
    group_scores[g] = sum_of_two_largest(choices + g * group_size, group_size);
    group_taken[g] = 0;
  }
  __syncthreads();
  if (thread >= 32) {
    return;
  }
  for (int i = 0; limited && i < r.top_groups; ++i) {
    const int g = best_of(group_scores, group_taken, r.num_groups).index;
    __syncwarp();
    for (int e = thread; e < group_size; e += 32) {
      taken[g * group_size + e] = 0;
    }
    if (thread == 0) {
      group_taken[g] = 1;
    }
    __syncwarp();
  }
  int32_t* chosen = experts + blockIdx.x * expert_stride;
  float* out = row_of<float>(weights, blockIdx.x);
  double sum = 0;
  for (int j = 0; j < r.top_k; ++j) {
    const int expert = best_of(choices, taken, n).index;
    sum += scores[expert];
    __syncwarp();
    if (thread == 0) {
      taken[expert] = 1;
      chosen[j] = expert;
      out[j] = scores[expert];
    }
    __syncwarp();
  }
  const double divisor = r.normalize ? sum + 1e-20 : 1.0;
  for (int j = thread; j < r.top_k; j += 32) {
    out[j] = static_cast<float>(out[j] / divisor * r.scale);
  }
}

__global__ void __launch_bounds__(kPermuteThreads) permute_kernel(PermuteProblem p) {
  extern __shared__ int counts[];
  take_turn();
  number_pairs(p, counts, [&p](int token, int choice) {
    return p.chosen[token * p.chosen_stride + choice];
  });
}

// kWide columns per thread.
template <class T, int kWide>
__global__ void __launch_bounds__(kCombineThreads) combine_kernel(Rows y,
                                                                  ConstRows x,
                                                                  const int32_t* pair_row,
                                                                  int64_t pair_stride,
                                                                  ConstRows weights,
                                                                  ConstRows added) {
  take_turn();
  const int64_t i = (static_cast<int64_t>(blockIdx.y) * kCombineThreads + threadIdx.x) * kWide;
  if (i >= y.width) {
    return;
  }

  struct alignas(kWide * sizeof(T)) Columns {
    T at[kWide];
  };

  const int32_t* rows = pair_row + blockIdx.x * pair_stride;
  const float* w = row_of<float>(weights, blockIdx.x);
  float sums[kWide] = {};
#pragma unroll 8
  for (int64_t j = 0; j < weights.width; ++j) {
    const Columns columns = *reinterpret_cast<const Columns*>(row_of<T>(x, rows[j]) + i);
#pragma unroll
    for (int c = 0; c < kWide; ++c) {
      sums[c] += w[j] * to_f32(columns.at[c]);
    }
  }
  if (added.data != nullptr) {
    const Columns columns = *reinterpret_cast<const Columns*>(row_of<T>(added, blockIdx.x) + i);
#pragma unroll
    for (int c = 0; c < kWide; ++c) {
      sums[c] += to_f32(columns.at[c]);
    }
  }
  Columns out;
#pragma unroll
  for (int c = 0; c < kWide; ++c) {
    store(&out.at[c], sums[c]);
  }
  *reinterpret_cast<Columns*>(row_of<T>(y, blockIdx.x) + i) = out;
}

template <class T, int kWide>
cudaError_t launch_combine(const Rows& y,
                           const ConstRows& x,
                           const int32_t* pair_row,
                           int64_t pair_stride,
                           const ConstRows& weights,
                           const ConstRows& added,
                           cudaStream_t s) {
  const dim3 grid(static_cast<unsigned>(y.n0), blocks_for(y.width / kWide, kCombineThreads));
  return launch_overlapped(combine_kernel<T, kWide>,
                           grid,
                           kCombineThreads,
                           s,
                           y,
                           x,
                           pair_row,
                           pair_stride,
                           weights,
                           added);
}

}  // namespace

cudaError_t moe_route(int32_t* experts,
                      int64_t expert_stride,
                      const Rows& weights,
                      const ConstRows& logits,
                      const float* bias,
                      const Router& router,
                      cudaStream_t s) {
  if (logits.n0 == 0) {
    return cudaSuccess;
  }
  const size_t n = static_cast<size_t>(logits.width);
  const size_t groups = static_cast<size_t>(router.num_groups);
  const size_t bytes = n * (sizeof(double) + 2 * sizeof(float) + 1) + groups * (sizeof(float) + 1);
  const cudaError_t code = allow_shared(route_kernel, bytes);
  return code != cudaSuccess
             ? code
             : launch_overlapped(route_kernel,
                                 OverlappedLaunch{.grid = dim3(static_cast<unsigned>(logits.n0)),
                                                  .threads = kRouteThreads,
                                                  .shared_bytes = bytes,
                                                  .stream = s},
                                 experts,
                                 expert_stride,
                                 weights,
                                 logits,
                                 bias,
                                 router);
}

cudaError_t moe_permute(const PermuteProblem& problem, cudaStream_t s) {
  const int pairs = problem.tokens * problem.top_k;
  const int threads = min(kPermuteThreads, max(32, (pairs + 31) / 32 * 32));
  const size_t bytes =
      static_cast<size_t>(threads / 32 + 1) * static_cast<size_t>(problem.experts) * sizeof(int);
  const cudaError_t code = allow_shared(permute_kernel, bytes);
  return code != cudaSuccess
             ? code
             : launch_overlapped(permute_kernel,
                                 OverlappedLaunch{.grid = dim3(1),
                                                  .threads = static_cast<unsigned>(threads),
                                                  .shared_bytes = bytes,
                                                  .stream = s},
                                 problem);
}

cudaError_t moe_combine(const Rows& y,
                        const ConstRows& x,
                        const int32_t* pair_row,
                        int64_t pair_stride,
                        const ConstRows& weights,
                        const ConstRows& added,
                        cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  constexpr int kWide = 8;
  const auto whole = [](const auto& rows) {
    return rows.stride0 % kWide == 0 &&
           reinterpret_cast<uintptr_t>(rows.data) % (kWide * sizeof(float)) == 0;
  };
  const bool wide =
      y.width % kWide == 0 && whole(x) && whole(y) && (added.data == nullptr || whole(added));
  cudaError_t code = cudaSuccess;
  with_act(x.type, [&](auto act) {
    using T = decltype(act);
    code = wide ? launch_combine<T, kWide>(y, x, pair_row, pair_stride, weights, added, s)
                : launch_combine<T, 1>(y, x, pair_row, pair_stride, weights, added, s);
  });
  return code;
}

}  // namespace tutti::cuda
