// Log-probabilities, one thread block a row, in two passes over it. The first finds the best logit
// of every warp's share. As many ids as are wanted are at least as good as the worst of that many
// warps: the second pass, which sums, keeps the ids that are not worse. That is a few more than
// wanted unless the likely ids all belong to a few warps or are many equals; such rows are searched
// again for one id after the other.
#include <climits>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/log_probs.h"
#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;  // kMostLogProbs of ops/ops.h
constexpr int kUnroll = 8;             // independent loads in flight per thread
constexpr int kCandidates = kThreads;
constexpr unsigned kAll = 0xFFFFFFFFU;

struct Candidate {
  float logit;
  int id;

  __device__ bool before(const Candidate& other) const {
    return logit > other.logit || (logit == other.logit && id < other.id);
  }
};

// Behind every other.
__device__ __forceinline__ Candidate no_candidate() {
  return {-INFINITY, INT_MAX};
}

struct Shared {
  float best[kWarps];
  int bad[kWarps];
  double sums[kWarps];
  Candidate next[kWarps];
  int found;
  Candidate candidates[kCandidates];
};

// f(id, logit) for this thread's ids.
template <class F>
__device__ __forceinline__ void for_each(const float* row, int limit, const F& f) {
  int i = static_cast<int>(threadIdx.x);
  for (; i + (kUnroll - 1) * kThreads < limit; i += kUnroll * kThreads) {
    float x[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      x[u] = row[i + u * kThreads];
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      f(i + u * kThreads, x[u]);
    }
  }
  for (; i < limit; i += kThreads) {
    f(i, row[i]);
  }
}

struct Best {
  float of_all;
  float of_lane;  // the best of the warp with this lane's number
  bool usable;
};

__device__ Best find_best(const float* row, int limit, Shared& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  float best = -INFINITY;
  int bad = 0;
  for_each(row, limit, [&](int, float x) {
    bad |= x < INFINITY ? 0 : 1;  // NaN is not less either
    best = fmaxf(best, x);
  });
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    best = fmaxf(best, __shfl_xor_sync(kAll, best, step));
  }
  bad = __any_sync(kAll, bad);
  if (lane == 0) {
    s.best[warp] = best;
    s.bad[warp] = bad;
  }
  __syncthreads();
  Best out{s.best[lane], s.best[lane], __any_sync(kAll, s.bad[lane]) == 0};
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    out.of_all = fmaxf(out.of_all, __shfl_xor_sync(kAll, out.of_all, step));
  }
  out.usable = out.usable && out.of_all > -INFINITY;
  return out;
}

// The count-th best of the lanes' values, 1 <= count <= 32.
__device__ float count_th(float value, int count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int rank = 0;
#pragma unroll
  for (int other = 0; other < 32; ++other) {
    const float x = __shfl_sync(kAll, value, other);
    rank += x > value || (x == value && other < lane) ? 1 : 0;
  }
  const unsigned holder = __ballot_sync(kAll, rank == count - 1);
  return __shfl_sync(kAll, value, __ffs(static_cast<int>(holder)) - 1);
}

// The same sum in every thread; the order of additions does not depend on anything.
__device__ double block_sum(double x, Shared& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    x += __shfl_xor_sync(kAll, x, step);
  }
  if (lane == 0) {
    s.sums[threadIdx.x / 32] = x;
  }
  __syncthreads();
  double sum = s.sums[lane];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(kAll, sum, step);
  }
  return sum;
}

// The first id behind `last` in the order; none if all that are left are -inf.
__device__ Candidate next_after(const Candidate& last, const float* row, int limit, Shared& s) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  Candidate best = no_candidate();
  for_each(row, limit, [&](int id, float x) {
    const Candidate c{x, id};
    if (x > -INFINITY && last.before(c) && c.before(best)) {
      best = c;
    }
  });
  const auto join_warp = [&best] {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
      const Candidate other{__shfl_xor_sync(kAll, best.logit, step),
                            __shfl_xor_sync(kAll, best.id, step)};
      best = other.before(best) ? other : best;
    }
  };
  join_warp();
  __syncthreads();  // what was there has been read
  if (lane == 0) {
    s.next[threadIdx.x / 32] = best;
  }
  __syncthreads();
  best = s.next[lane];
  join_warp();
  return best;
}

__global__ void __launch_bounds__(kThreads) log_probs_kernel(TypedRows<int32_t> id_rows,
                                                             TypedRows<float> value_rows,
                                                             const int32_t* tokens,
                                                             ConstRows logits,
                                                             int limit,
                                                             const int32_t* counts) {
  take_turn();
  __shared__ Shared s;
  const int thread = static_cast<int>(threadIdx.x);
  const int count = counts[blockIdx.x];
  if (count < 0) {
    return;
  }
  const float* row = row_of<float>(logits, blockIdx.x);
  int32_t* ids = id_rows.data + blockIdx.x * id_rows.stride;
  float* values = value_rows.data + blockIdx.x * value_rows.stride;
  if (thread == 0) {
    s.found = 0;
  }
  const Best best = find_best(row, limit, s);
  if (!best.usable) {
    if (thread < count) {
      ids[thread] = -1;
    }
    if (thread <= count) {
      values[thread] = -INFINITY;
    }
    return;
  }
  const float threshold = count > 0 ? count_th(best.of_lane, count) : INFINITY;
  double sum = 0;
  for_each(row, limit, [&](int id, float x) {
    sum += static_cast<double>(expf(x - best.of_all));
    if (x >= threshold && x > -INFINITY) {
      const int place = atomicAdd(&s.found, 1);
      if (place < kCandidates) {
        s.candidates[place] = {x, id};
      }
    }
  });
  const double log_sum = static_cast<double>(best.of_all) + log(block_sum(sum, s));
  const auto log_prob = [log_sum](float x) {
    return static_cast<float>(static_cast<double>(x) - log_sum);
  };
  if (thread == 0) {
    const int token = tokens[blockIdx.x];
    values[0] = token >= 0 && token < limit ? log_prob(row[token]) : -INFINITY;
  }
  const auto put = [&](int place, const Candidate& c) {
    const bool none = c.id == INT_MAX;
    ids[place] = none ? -1 : c.id;
    values[1 + place] = none ? -INFINITY : log_prob(c.logit);
  };
  const int found = s.found;  // written before the barrier of block_sum
  if (found <= kCandidates) {
    // Each finds its own place, so the order in which they were kept does not matter.
    if (thread < found) {
      const Candidate own = s.candidates[thread];
      int place = 0;
      for (int i = 0; i < found; ++i) {
        place += s.candidates[i].before(own) ? 1 : 0;
      }
      if (place < count) {
        put(place, own);
      }
    } else if (thread < count) {
      put(thread, no_candidate());
    }
    return;
  }
  Candidate last{INFINITY, -1};
  for (int place = 0; place < count; ++place) {
    last = next_after(last, row, limit, s);
    if (thread == 0) {
      put(place, last);
    }
  }
}

}  // namespace

cudaError_t log_probs(const TypedRows<int32_t>& ids,
                      const TypedRows<float>& values,
                      const int32_t* tokens,
                      const ConstRows& logits,
                      int64_t limit,
                      const int32_t* counts,
                      cudaStream_t s) {
  if (logits.n0 == 0) {
    return cudaSuccess;
  }
  return launch_overlapped(log_probs_kernel,
                           static_cast<unsigned>(logits.n0),
                           kThreads,
                           s,
                           ids,
                           values,
                           tokens,
                           logits,
                           static_cast<int>(limit),
                           counts);
}

}  // namespace tutti::cuda
