// Mixture-of-experts bookkeeping. Integers only, or f64 rounded to f32 where choices are compared:
// the same experts as the reference picks.
#include <climits>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/moe.h"

namespace tutti::cuda {

namespace {

constexpr int kRouteThreads = 128;
constexpr int kPermuteThreads = 256;
constexpr int kCombineThreads = 256;

__device__ float nan_to_worst(float x) {
  return isnan(x) ? -INFINITY : x;
}

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

// Exclusive prefix sum of `flag` over the block, and its total.
__device__ int block_rank(bool flag, int& total) {
  __shared__ int warps[kPermuteThreads / 32];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const unsigned votes = __ballot_sync(0xFFFFFFFFU, flag);
  __syncthreads();  // `warps` may still be read from the last call
  if (lane == 0) {
    warps[warp] = __popc(votes);
  }
  __syncthreads();
  int before = __popc(votes & ((1U << lane) - 1U));
  total = 0;
  for (int w = 0; w < kPermuteThreads / 32; ++w) {
    before += w < warp ? warps[w] : 0;
    total += warps[w];
  }
  return before;
}

// Block e walks over all pairs twice: to count the pairs of smaller experts, which is where its
// rows begin, and to number its own in order. No atomics, so the order is the tokens'.
__global__ void __launch_bounds__(kPermuteThreads) permute_kernel(PermuteProblem p) {
  const int expert = static_cast<int>(blockIdx.x);
  const int pairs = p.tokens * p.top_k;
  const auto chosen_at = [&p](int pair) {
    return p.chosen[(pair / p.top_k) * p.chosen_stride + pair % p.top_k];
  };
  int smaller = 0;
  for (int pair = static_cast<int>(threadIdx.x); pair < pairs; pair += kPermuteThreads) {
    smaller += chosen_at(pair) < expert ? 1 : 0;
  }
  __shared__ int begin;
  if (threadIdx.x == 0) {
    begin = 0;
  }
  __syncthreads();
  atomicAdd(&begin, smaller);  // integers: any order gives the same sum
  __syncthreads();
  int row = begin;
  if (threadIdx.x == 0) {
    p.offsets[expert] = row;
  }
  if (expert == p.experts) {
    return;  // one block more, for the last offset
  }
  for (int base = 0; base < pairs; base += kPermuteThreads) {
    const int pair = base + static_cast<int>(threadIdx.x);
    const bool mine = pair < pairs && chosen_at(pair) == expert;
    int total = 0;
    const int rank = block_rank(mine, total);
    if (mine) {
      p.row_token[row + rank] = pair / p.top_k;
      p.pair_row[(pair / p.top_k) * p.pair_stride + pair % p.top_k] = row + rank;
    }
    row += total;
  }
}

template <class T>
__global__ void combine_kernel(
    Rows y, ConstRows x, const int32_t* pair_row, int64_t pair_stride, ConstRows weights) {
  const int64_t i = static_cast<int64_t>(blockIdx.y) * kCombineThreads + threadIdx.x;
  if (i >= y.width) {
    return;
  }
  const int32_t* rows = pair_row + blockIdx.x * pair_stride;
  const float* w = row_of<float>(weights, blockIdx.x);
  float sum = 0;
  for (int64_t j = 0; j < weights.width; ++j) {
    sum += w[j] * to_f32(row_of<T>(x, rows[j])[i]);
  }
  store(row_of<T>(y, blockIdx.x) + i, sum);
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
  constexpr size_t kWithoutAsking = 40 << 10;
  if (bytes > kWithoutAsking) {
    int device = 0;
    int most = 0;
    cudaError_t code = cudaGetDevice(&device);
    if (code == cudaSuccess) {
      code = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    }
    if (code == cudaSuccess) {
      code = bytes > static_cast<size_t>(most)
                 ? cudaErrorInvalidValue
                 : cudaFuncSetAttribute(route_kernel,
                                        cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(bytes));
    }
    if (code != cudaSuccess) {
      return code;
    }
  }
  route_kernel<<<static_cast<unsigned>(logits.n0), kRouteThreads, bytes, s>>>(
      experts, expert_stride, weights, logits, bias, router);
  return cudaGetLastError();
}

cudaError_t moe_permute(const PermuteProblem& problem, cudaStream_t s) {
  permute_kernel<<<static_cast<unsigned>(problem.experts + 1), kPermuteThreads, 0, s>>>(problem);
  return cudaGetLastError();
}

cudaError_t moe_combine(const Rows& y,
                        const ConstRows& x,
                        const int32_t* pair_row,
                        int64_t pair_stride,
                        const ConstRows& weights,
                        cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  const dim3 grid(static_cast<unsigned>(y.n0), blocks_for(y.width, kCombineThreads));
  with_act(x.type, [&](auto act) {
    combine_kernel<decltype(act)>
        <<<grid, kCombineThreads, 0, s>>>(y, x, pair_row, pair_stride, weights);
  });
  return cudaGetLastError();
}

}  // namespace tutti::cuda
