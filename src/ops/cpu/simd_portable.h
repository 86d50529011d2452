// Vector wrapper in the compiler's vector extension: 4 floats, which is SSE2 on x86-64 and NEON on
// AArch64. Include only in cpu_kernels_portable.cc. See simd_avx2.h for what the functions promise.
#pragma once
#include <cstdint>

namespace tutti::cpu {
namespace {

struct Simd {
  using F = float __attribute__((vector_size(16)));
  using I = int32_t __attribute__((vector_size(16)));
  static constexpr int64_t kWidth = 4;
  static constexpr int kTileRows = 2;  // of weights, next to 4 of x: 8 of 16 registers

  struct NanWatch {};  // nothing to watch: the pair below reads NaN as NaN

  static F zero() { return F{}; }

  static F set1(float x) { return F{x, x, x, x}; }

  static F load(const float* p) {
    F x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }

  static void store(float* p, F x) { __builtin_memcpy(p, &x, sizeof x); }

  static F load_first(const float* p, int64_t n) {
    F x{};
    for (int64_t i = 0; i < n; ++i) {
      x[i] = p[i];
    }
    return x;
  }

  static void store_first(float* p, F x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      p[i] = x[i];
    }
  }

  static F add(F a, F b) { return a + b; }

  static F sub(F a, F b) { return a - b; }

  static F mul(F a, F b) { return a * b; }

  static F div(F a, F b) { return a / b; }

  // Rounded twice: not every machine this is for has a fused instruction.
  static F fma(F a, F b, F c) { return a * b + c; }

  static F max(F a, F b) { return a > b ? a : b; }

  static F min(F a, F b) { return a < b ? a : b; }

  static F pow2(F n) {
    const I whole = __builtin_convertvector(n, I);
    return reinterpret_cast<F>((whole + 127) << 23);
  }

  static float sum(F x) { return (x[0] + x[2]) + (x[1] + x[3]); }

  static F load_bf16(const uint16_t* p) {
    using H = uint16_t __attribute__((vector_size(8)));
    using U = uint32_t __attribute__((vector_size(16)));
    H x;
    __builtin_memcpy(&x, p, sizeof x);
    return reinterpret_cast<F>(__builtin_convertvector(x, U) << 16U);
  }

  static F load_f16(const uint16_t* p) { return F{f16(p[0]), f16(p[1]), f16(p[2]), f16(p[3])}; }

  static F load_e4m3(const uint8_t* p) {
    return F{kE4M3.value[p[0]], kE4M3.value[p[1]], kE4M3.value[p[2]], kE4M3.value[p[3]]};
  }

  static void load_e4m3_pair(const uint8_t* p, F& a, F& b) {
    a = load_e4m3(p);
    b = load_e4m3(p + kWidth);
  }

  static NanWatch no_nan() { return {}; }

  static void watch_nan(NanWatch&, const uint8_t*) {}

  static bool saw_nan(NanWatch) { return false; }

  static void deinterleave(const float* p, F& even, F& odd) {
    even = F{p[0], p[2], p[4], p[6]};
    odd = F{p[1], p[3], p[5], p[7]};
  }

  static void interleave(float* p, F even, F odd) {
    store(p, F{even[0], odd[0], even[1], odd[1]});
    store(p + 4, F{even[2], odd[2], even[3], odd[3]});
  }

 private:
  // Moves exponent and mantissa to where f32 has them; the product corrects the bias and makes
  // subnormal numbers normal.
  static constexpr float f16(uint16_t bits) {
    const uint32_t magnitude = bits & 0x7FFFU;
    const uint32_t sign = (bits & 0x8000U) << 16U;
    const float scaled = __builtin_bit_cast(float, magnitude << 13U) * 0x1p112F;
    const uint32_t special = magnitude >= 0x7C00U ? 0x7F800000U : 0U;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, scaled) | special | sign);
  }

  // All 256 values, times 2^-8.
  struct E4M3Table {
    float value[256];

    constexpr E4M3Table() : value() {
      for (uint32_t bits = 0; bits < 256; ++bits) {
        const uint32_t magnitude = bits & 0x7FU;
        const uint32_t half = magnitude == 0x7FU ? 0x7FFFU : magnitude << 7U;
        value[bits] = f16(static_cast<uint16_t>(half | ((bits & 0x80U) << 8U)));
      }
    }
  };

  static const E4M3Table kE4M3;
};

constexpr Simd::E4M3Table Simd::kE4M3{};

}  // namespace
}  // namespace tutti::cpu
