#include "cuda/ops/peer_probe.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 256;
constexpr unsigned kMaxBlocks = 64;

// Volatile: every word crosses by itself, and none is kept in a cache.
__global__ void copy_words_kernel(volatile uint32_t* to,
                                  const volatile uint32_t* from,
                                  int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    to[i] = from[i];
  }
}

}  // namespace

cudaError_t copy_words(uint32_t* to, const uint32_t* from, int64_t count, cudaStream_t s) {
  const int64_t wanted = (count + kThreads - 1) / kThreads;
  const unsigned blocks = wanted < kMaxBlocks ? static_cast<unsigned>(wanted) : kMaxBlocks;
  copy_words_kernel<<<blocks, kThreads, 0, s>>>(to, from, count);
  return cudaGetLastError();
}

}  // namespace tutti::cuda
