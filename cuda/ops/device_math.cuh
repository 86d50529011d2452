// Loads, stores and sums that the simple kernels share. Arithmetic is f32; a stored type is rounded
// to once, to nearest even.
#pragma once
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/ops/launch.h"

namespace tutti::cuda {

using bf16 = __nv_bfloat16;

struct e4m3 {
  uint8_t bits;
};

__device__ __forceinline__ float to_f32(float x) {
  return x;
}

__device__ __forceinline__ float to_f32(bf16 x) {
  return __bfloat162float(x);
}

__device__ __forceinline__ float to_f32(__half x) {
  return __half2float(x);
}

// The exponent field of e4m3 (bias 7), placed in that of a half (bias 15), is worth 2^8 less.
// Subnormals come out right by the same shift; NaN (all ones) is the only special value.
__device__ __forceinline__ float to_f32(e4m3 x) {
  const unsigned magnitude = x.bits & 0x7FU;
  const unsigned bits = ((x.bits & 0x80U) << 8U) | (magnitude << 7U);
  const float value = __half2float(__ushort_as_half(static_cast<unsigned short>(bits))) * 256.0F;
  return magnitude == 0x7FU ? __int_as_float(0x7FC00000) : value;
}

__device__ __forceinline__ void store(float* to, float x) {
  *to = x;
}

__device__ __forceinline__ void store(bf16* to, float x) {
  *to = __float2bfloat16_rn(x);
}

/// kWidth neighbours, 1 or 8, as f32. Eight are moved in units of 16 bytes, which `from` must be
/// aligned to (see moves_eight).
template <int kWidth>
__device__ __forceinline__ void load(const float* from, float (&to)[kWidth]) {
  if constexpr (kWidth == 1) {
    to[0] = *from;
  } else {
    const float4 a = reinterpret_cast<const float4*>(from)[0];
    const float4 b = reinterpret_cast<const float4*>(from)[1];
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w;
    to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
  }
}

template <int kWidth>
__device__ __forceinline__ void load(const bf16* from, float (&to)[kWidth]) {
  if constexpr (kWidth == 1) {
    to[0] = to_f32(*from);
  } else {
    const uint4 bits = *reinterpret_cast<const uint4*>(from);
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // a bf16 is the upper half of an f32
      to[2 * i] = __uint_as_float(words[i] << 16U);
      to[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000U);
    }
  }
}

template <int kWidth>
__device__ __forceinline__ void store(float* to, const float (&from)[kWidth]) {
  if constexpr (kWidth == 1) {
    *to = from[0];
  } else {
    reinterpret_cast<float4*>(to)[0] = make_float4(from[0], from[1], from[2], from[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(from[4], from[5], from[6], from[7]);
  }
}

template <int kWidth>
__device__ __forceinline__ void store(bf16* to, const float (&from)[kWidth]) {
  if constexpr (kWidth == 1) {
    store(to, from[0]);
  } else {
    __nv_bfloat162 pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      pairs[i] = __floats2bfloat162_rn(from[2 * i], from[2 * i + 1]);
    }
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(pairs);
  }
}

/// Start of row (i, j).
template <class T, class Void>
__device__ __forceinline__ auto* row_of(const BasicRows<Void>& rows, int64_t i, int64_t j = 0) {
  if constexpr (std::is_const_v<Void>) {
    return static_cast<const T*>(rows.data) + i * rows.stride0 + j * rows.stride1;
  } else {
    return static_cast<T*>(rows.data) + i * rows.stride0 + j * rows.stride1;
  }
}

struct Sum {
  __device__ static float of(float a, float b) { return a + b; }

  static constexpr float kNone = 0.0F;
};

struct Max {
  __device__ static float of(float a, float b) { return fmaxf(a, b); }

  static constexpr float kNone = -INFINITY;
};

/// Over all threads of the block, the same order every time; every thread gets the result.
/// blockDim.x is a multiple of 32, at most 1024.
template <class Op>
__device__ float block_reduce(float x) {
  __shared__ float parts[32];
  for (int step = 16; step > 0; step /= 2) {
    x = Op::of(x, __shfl_xor_sync(0xFFFFFFFFU, x, step));
  }
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  __syncthreads();  // `parts` may still be read from the last call
  if (lane == 0) {
    parts[warp] = x;
  }
  __syncthreads();
  x = lane < warps ? parts[lane] : Op::kNone;
  for (int step = 16; step > 0; step /= 2) {
    x = Op::of(x, __shfl_xor_sync(0xFFFFFFFFU, x, step));
  }
  return x;
}

/// Calls f with a value of the compute type: float or bf16.
template <class F>
auto with_act(ElementType type, const F& f) {
  return type == ElementType::kF32 ? f(float{}) : f(bf16{});
}

/// True if every row begins at a multiple of 16 bytes and consists of whole groups of eight.
template <class Void>
bool moves_eight(const BasicRows<Void>& rows) {
  const int64_t size = rows.type == ElementType::kF32 ? 4 : 2;
  return rows.width % 8 == 0 && reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 &&
         rows.stride0 * size % 16 == 0 && rows.stride1 * size % 16 == 0;
}

/// Calls f with std::integral_constant 8 or 1.
template <class F>
void with_width(bool eight, const F& f) {
  if (eight) {
    f(std::integral_constant<int, 8>{});
  } else {
    f(std::integral_constant<int, 1>{});
  }
}

inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>((n + per_block - 1) / per_block);
}

}  // namespace tutti::cuda
