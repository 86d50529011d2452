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

__global__ void __launch_bounds__(kThreads)
    argmax_kernel(int32_t* tokens, ConstRows logits, int limit) {
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
    tokens[blockIdx.x] = best.bad != 0 || best.index == INT_MAX ? -1 : best.index;
  }
}

}  // namespace

cudaError_t argmax(int32_t* tokens, const ConstRows& logits, int64_t limit, cudaStream_t s) {
  if (logits.n0 == 0) {
    return cudaSuccess;
  }
  launch_overlapped(argmax_kernel,
                    static_cast<unsigned>(logits.n0),
                    kThreads,
                    s,
                    tokens,
                    logits,
                    static_cast<int>(limit));
  return cudaGetLastError();
}

}  // namespace tutti::cuda
