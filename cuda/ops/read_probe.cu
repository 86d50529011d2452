#include "cuda/ops/read_probe.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kUnroll = 8;  // independent 16-byte loads in flight per thread

// Each block reads its own stretch. The store never happens; the compiler cannot know.
__global__ void __launch_bounds__(kThreads)
    read_kernel(const int4* data, int64_t count, int4* sink) {
  const int64_t per_block = (count + gridDim.x - 1) / gridDim.x;
  const int64_t begin = blockIdx.x * per_block;
  const int64_t end = min(begin + per_block, count);
  int4 all{0, 0, 0, 0};
  int64_t i = begin + threadIdx.x;
  for (; i + (kUnroll - 1) * kThreads < end; i += kUnroll * kThreads) {
    int4 values[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      values[u] = __ldcs(&data[i + u * kThreads]);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      all.x ^= values[u].x;
      all.y ^= values[u].y;
      all.z ^= values[u].z;
      all.w ^= values[u].w;
    }
  }
  for (; i < end; i += kThreads) {
    const int4 value = __ldcs(&data[i]);
    all.x ^= value.x ^ value.y ^ value.z ^ value.w;
  }
  if (sink != nullptr) {
    sink[blockIdx.x * kThreads + threadIdx.x] = all;
  }
}

}  // namespace

cudaError_t read_all(const void* data, int64_t bytes, int processors, cudaStream_t s) {
  read_kernel<<<static_cast<unsigned>(processors * 4), kThreads, 0, s>>>(
      static_cast<const int4*>(data), bytes / 16, nullptr);
  return cudaGetLastError();
}

}  // namespace tutti::cuda
