#include <algorithm>

#include "cuda/ops/read_probe.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kUnroll = 8;  // independent 16-byte loads in flight per thread
constexpr int kPasses = 6;

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

cudaError_t time_reading(const void* data, int64_t bytes, cudaStream_t s, double* seconds) {
  int device = 0;
  int processors = 0;
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  cudaError_t code = cudaGetDevice(&device);
  if (code == cudaSuccess) {
    code = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  }
  if (code == cudaSuccess) {
    code = cudaEventCreate(&begin);
  }
  if (code == cudaSuccess) {
    code = cudaEventCreate(&end);
  }
  float best = 0;
  for (int pass = 0; pass < kPasses && code == cudaSuccess; ++pass) {
    cudaEventRecord(begin, s);
    read_kernel<<<static_cast<unsigned>(processors * 4), kThreads, 0, s>>>(
        static_cast<const int4*>(data), bytes / 16, nullptr);
    code = cudaGetLastError();
    cudaEventRecord(end, s);
    code = code == cudaSuccess ? cudaEventSynchronize(end) : code;
    float milliseconds = 0;
    code = code == cudaSuccess ? cudaEventElapsedTime(&milliseconds, begin, end) : code;
    best = pass == 0 ? milliseconds : std::min(best, milliseconds);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  *seconds = static_cast<double>(best) * 1e-3;
  return code;
}

}  // namespace tutti::cuda
