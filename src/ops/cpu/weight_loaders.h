// How a kernel reads a vector of stored weights as f32. For e4m3 the value still lacks its factor
// kFactor, which is multiplied into the block's scale.
#pragma once
#include <cstddef>

#include "ops/cpu/cpu_kernels.h"
#include "ops/cpu/simd.h"

namespace tutti::cpu {
namespace {

struct F32Weights {
  using T = float;

  static Simd::F load(const T* p) { return Simd::load(p); }
};

struct F16Weights {
  using T = uint16_t;

  static Simd::F load(const T* p) { return Simd::load_f16(p); }
};

struct BF16Weights {
  using T = uint16_t;

  static Simd::F load(const T* p) { return Simd::load_bf16(p); }
};

struct E4M3Weights {
  using T = uint8_t;
  static constexpr float kFactor = 0x1p8F;

  static Simd::F load(const T* p) { return Simd::load_e4m3(p); }
};

// Converted row by row before they are read.
struct OtherWeights {};

// The first n lanes; the others read as 0.
template <class Weights>
inline Simd::F load_first_weights(const typename Weights::T* p, int64_t n) {
  typename Weights::T lanes[Simd::kWidth] = {};
  __builtin_memcpy(lanes, p, static_cast<size_t>(n) * sizeof(lanes[0]));
  return Weights::load(lanes);
}

}  // namespace
}  // namespace tutti::cpu
