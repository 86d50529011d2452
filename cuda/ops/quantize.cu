// A warp for each block of 128 columns of a row.
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "cuda/ops/device_math.cuh"
#include "cuda/ops/overlap.cuh"
#include "cuda/ops/quantize.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kBlock = 128;
constexpr float kLargest = 448.0F;  // of e4m3

__global__ void __launch_bounds__(kThreads) quantize_kernel(QuantizeRows p, int blocks) {
  take_turn();
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  const int64_t row = index / blocks;
  if (row >= p.rows) {
    return;
  }
  const int block = static_cast<int>(index % blocks);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int column = block * kBlock + 4 * lane;
  const bool inside = column < p.k;
  float x[4] = {};
  if (inside) {
    const uint2 four = *reinterpret_cast<const uint2*>(static_cast<const __nv_bfloat16*>(p.x) +
                                                       row * p.x_stride + column);
    const float2 low = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(four.x));
    const float2 high = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(four.y));
    x[0] = low.x;
    x[1] = low.y;
    x[2] = high.x;
    x[3] = high.y;
  }
  float largest = fmaxf(fmaxf(fabsf(x[0]), fabsf(x[1])), fmaxf(fabsf(x[2]), fabsf(x[3])));
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFU, largest, step));
  }
  const float scale = largest / kLargest;
  if (lane == 0) {
    p.scales[row * p.scale_stride + block] = scale;
  }
  if (!inside) {
    return;
  }
  uint32_t packed = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float value = scale > 0.0F ? x[i] / scale : x[i];  // NaN stays NaN
    packed |= static_cast<uint32_t>(__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3))
              << (8 * i);
  }
  *reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(p.values) + row * p.value_stride + column) =
      packed;
}

}  // namespace

cudaError_t quantize_rows(const QuantizeRows& p, cudaStream_t s) {
  if (p.rows == 0 || p.k == 0) {
    return cudaSuccess;
  }
  if (p.k % 4 != 0 || p.x_stride % 4 != 0 || p.value_stride % 4 != 0) {
    return cudaErrorInvalidValue;
  }
  const int blocks = (p.k + kBlock - 1) / kBlock;
  return launch_overlapped(
      quantize_kernel, dim3(blocks_for(p.rows * blocks, kThreads / 32)), kThreads, s, p, blocks);
}

}  // namespace tutti::cuda
