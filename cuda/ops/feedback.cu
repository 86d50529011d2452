// Small integers that go from one step to the next without leaving the device.
#include "cuda/ops/device_math.cuh"
#include "cuda/ops/feedback.h"
#include "cuda/ops/overlap.cuh"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void fill_tokens_kernel(int32_t* tokens,
                                   const int32_t* last,
                                   const int32_t* rows,
                                   int64_t count) {
  take_turn();
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (t < count && tokens[t] < 0) {
    tokens[t] = last[rows[t]];
  }
}

__global__ void scatter_kernel(int32_t* y,
                               const int32_t* values,
                               const int32_t* at,
                               int64_t count) {
  take_turn();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count && at[i] >= 0) {
    y[at[i]] = values[i];
  }
}

}  // namespace

cudaError_t fill_tokens(
    int32_t* tokens, const int32_t* last, const int32_t* rows, int64_t count, cudaStream_t s) {
  if (count == 0) {
    return cudaSuccess;
  }
  return launch_overlapped(
      fill_tokens_kernel, blocks_for(count, kThreads), kThreads, s, tokens, last, rows, count);
}

cudaError_t scatter(
    int32_t* y, const int32_t* values, const int32_t* at, int64_t count, cudaStream_t s) {
  if (count == 0) {
    return cudaSuccess;
  }
  return launch_overlapped(
      scatter_kernel, blocks_for(count, kThreads), kThreads, s, y, values, at, count);
}

}  // namespace tutti::cuda
