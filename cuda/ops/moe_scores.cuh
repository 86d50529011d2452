// Scores of experts as numbers that warps compare.
#pragma once
#include "cuda/ops/device_math.cuh"

namespace tutti::cuda {

constexpr unsigned kAll = 0xFFFFFFFFU;  // lanes

__device__ __forceinline__ float nan_to_worst(float x) {
  return isnan(x) ? -INFINITY : x;
}

// Ordered as the floats are, and never 0.
__device__ __forceinline__ uint32_t ordered(float x) {
  const auto bits = __float_as_uint(x);
  return bits ^ (static_cast<uint32_t>(static_cast<int>(bits) >> 31) | 0x80000000U);
}

__device__ __forceinline__ float from_ordered(uint32_t key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key ^ 0x80000000U : ~key);
}

__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    x += __shfl_xor_sync(kAll, x, step);
  }
  return x;
}

}  // namespace tutti::cuda
