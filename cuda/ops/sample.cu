#include <climits>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/overlap.cuh"
#include "cuda/ops/sample.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 1024;
constexpr int kUnroll = 8;  // independent loads in flight per thread: a row is one block's alone

struct Best {
  float value;
  int index;
  int bad;  // a NaN or +inf was seen

  __device__ void take(float x, int i) {
    bad |= x < INFINITY ? 0 : 1;
    if (x > value) {  // indices ascend within a thread, so the first of equals stays
      value = x;
      index = i;
    }
  }

  __device__ void join(float x, int i, int other_bad) {
    bad |= other_bad;
    if (x > value || (x == value && i < index)) {
      value = x;
      index = i;
    }
  }

  __device__ void join_warp() {
    for (int step = 16; step > 0; step /= 2) {
      const float x = __shfl_xor_sync(0xFFFFFFFFU, value, step);
      const int i = __shfl_xor_sync(0xFFFFFFFFU, index, step);
      join(x, i, __shfl_xor_sync(0xFFFFFFFFU, bad, step));
    }
  }
};

// What becomes of a row's best: the token itself, or a candidate among those of other ranks.
struct Tokens {
  int32_t* tokens;

  __device__ void keep(int row, const Best& best) const {
    tokens[row] = best.bad != 0 || best.index == INT_MAX ? -1 : best.index;
  }
};

struct Candidates {
  TypedRows<float> best;
  int first_id;

  __device__ void keep(int row, const Best& found) const {
    float* to = best.data + row * best.stride;
    to[0] = found.bad != 0 ? NAN : found.value;
    to[1] = __int_as_float(found.bad != 0 || found.index == INT_MAX ? -1 : first_id + found.index);
  }
};

template <class Result>
__global__ void __launch_bounds__(kThreads)
    argmax_kernel(Result result, ConstRows logits, int limit) {
  take_turn();
  const float* row = row_of<float>(logits, blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  Best best{-INFINITY, INT_MAX, 0};
  int i = thread;
  for (; i + (kUnroll - 1) * kThreads < limit; i += kUnroll * kThreads) {
    float values[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      values[u] = row[i + u * kThreads];
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      best.take(values[u], i + u * kThreads);
    }
  }
  for (; i < limit; i += kThreads) {
    best.take(row[i], i);
  }
  best.join_warp();
  __shared__ Best warps[kThreads / 32];
  if (thread % 32 == 0) {
    warps[thread / 32] = best;
  }
  __syncthreads();
  if (thread >= 32) {
    return;
  }
  best = warps[thread];
  best.join_warp();
  if (thread == 0) {
    result.keep(static_cast<int>(blockIdx.x), best);
  }
}

constexpr int kMergeThreads = 128;

__global__ void merge_argmax_kernel(int32_t* tokens,
                                    TypedRows<const float> best,
                                    int rows,
                                    int shards) {
  take_turn();
  const int row = static_cast<int>(blockIdx.x * kMergeThreads + threadIdx.x);
  if (row >= rows) {
    return;
  }
  const float* found = best.data + row * best.stride;
  int token = -1;
  float largest = -INFINITY;
  bool finite = true;
  for (int i = 0; i < shards; ++i) {
    const float value = found[2 * i];
    finite = finite && value == value;
    if (value > largest) {
      largest = value;
      token = __float_as_int(found[2 * i + 1]);
    }
  }
  tokens[row] = finite ? token : -1;
}

}  // namespace

cudaError_t argmax(int32_t* tokens, const ConstRows& logits, int64_t limit, cudaStream_t s) {
  if (logits.n0 == 0) {
    return cudaSuccess;
  }
  launch_overlapped(argmax_kernel<Tokens>,
                    static_cast<unsigned>(logits.n0),
                    kThreads,
                    s,
                    Tokens{tokens},
                    logits,
                    static_cast<int>(limit));
  return cudaGetLastError();
}

cudaError_t shard_argmax(const TypedRows<float>& best,
                         const ConstRows& logits,
                         int64_t first_id,
                         int64_t limit,
                         cudaStream_t s) {
  if (logits.n0 == 0) {
    return cudaSuccess;
  }
  const int64_t columns = limit - first_id < logits.width ? limit - first_id : logits.width;
  launch_overlapped(argmax_kernel<Candidates>,
                    static_cast<unsigned>(logits.n0),
                    kThreads,
                    s,
                    Candidates{best, static_cast<int>(first_id)},
                    logits,
                    static_cast<int>(columns));
  return cudaGetLastError();
}

cudaError_t merge_argmax(
    int32_t* tokens, const TypedRows<const float>& best, int64_t rows, int shards, cudaStream_t s) {
  if (rows == 0) {
    return cudaSuccess;
  }
  launch_overlapped(merge_argmax_kernel,
                    static_cast<unsigned>((rows + kMergeThreads - 1) / kMergeThreads),
                    kMergeThreads,
                    s,
                    tokens,
                    best,
                    static_cast<int>(rows),
                    shards);
  return cudaGetLastError();
}

}  // namespace tutti::cuda
