// Elements of tensors as the words that travel, at any alignment, and sums of them in f32.
#pragma once
#include "cuda/comm/peer_wait.cuh"
#include "cuda/ops/device_math.cuh"

namespace tutti::cuda {

/// The unsigned integer with the bits of a T.
template <class T>
struct BitsOf {
  using Type = T;
};

template <>
struct BitsOf<float> {
  using Type = uint32_t;
};

template <>
struct BitsOf<bf16> {
  using Type = uint16_t;
};

/// How many T there are in kWords words.
template <class T, int kWords>
constexpr int kPer = kWords * 4 / static_cast<int>(sizeof(T));

/// kPer elements from `x` on, of which `left` exist; 0 stands for the rest. `aligned`: x is a
/// multiple of the words' bytes.
template <class T, int kWords>
__device__ __forceinline__ Words<kWords> read_elements(const T* x, int64_t left, bool aligned) {
  using Bits = typename BitsOf<T>::Type;
  constexpr int kCount = kPer<T, kWords>;
  constexpr int kInWord = kCount / kWords;
  if (aligned && left >= kCount) {
    return *reinterpret_cast<const Words<kWords>*>(x);
  }
  Words<kWords> words;
  const Bits* bits = reinterpret_cast<const Bits*>(x);
#pragma unroll
  for (int k = 0; k < kWords; ++k) {
    words.w[k] = 0;
#pragma unroll
    for (int u = 0; u < kInWord; ++u) {
      const int i = k * kInWord + u;
      words.w[k] |= (i < left ? static_cast<unsigned>(bits[i]) : 0U) << (8 * sizeof(T) * u);
    }
  }
  return words;
}

/// The reverse.
template <class T, int kWords>
__device__ __forceinline__ void write_elements(T* x,
                                               const Words<kWords>& words,
                                               int64_t left,
                                               bool aligned) {
  using Bits = typename BitsOf<T>::Type;
  constexpr int kCount = kPer<T, kWords>;
  constexpr int kInWord = kCount / kWords;
  if (aligned && left >= kCount) {
    *reinterpret_cast<Words<kWords>*>(x) = words;
    return;
  }
  Bits* bits = reinterpret_cast<Bits*>(x);
#pragma unroll
  for (int k = 0; k < kWords; ++k) {
#pragma unroll
    for (int u = 0; u < kInWord; ++u) {
      const int i = k * kInWord + u;
      if (i < left) {
        bits[i] = static_cast<Bits>(words.w[k] >> (8 * sizeof(T) * u));
      }
    }
  }
}

/// A sum of kPer<T, kWords> elements at a time, in the order of add(): that of ranks, on every
/// rank. -0 is what any number, -0 too, can be added to without changing.
template <class T, int kWords>
struct SumOf {
  static constexpr int kCount = kPer<T, kWords>;
  float value[kCount];

  __device__ SumOf() {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      value[i] = -0.0F;
    }
  }

  __device__ __forceinline__ void add(const Words<kWords>& words) {
#pragma unroll
    for (int k = 0; k < kWords; ++k) {
      if constexpr (sizeof(T) == 4) {
        value[k] += __uint_as_float(words.w[k]);
      } else {  // a bf16 is the upper half of an f32
        value[2 * k] += __uint_as_float(words.w[k] << 16U);
        value[2 * k + 1] += __uint_as_float(words.w[k] & 0xFFFF0000U);
      }
    }
  }

  /// Rounded once.
  __device__ __forceinline__ Words<kWords> words() const {
    Words<kWords> words;
#pragma unroll
    for (int k = 0; k < kWords; ++k) {
      if constexpr (sizeof(T) == 4) {
        words.w[k] = __float_as_uint(value[k]);
      } else {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(value[2 * k], value[2 * k + 1]);
        words.w[k] = *reinterpret_cast<const unsigned*>(&pair);
      }
    }
    return words;
  }
};

__device__ __forceinline__ bool aligned_to(const void* data, int bytes) {
  return reinterpret_cast<uintptr_t>(data) % static_cast<unsigned>(bytes) == 0;
}

}  // namespace tutti::cuda
