// Vector wrapper for AVX-512 F, BW, VL and DQ: 16 floats. Include only in cpu_kernels_avx512.cc.
// See simd_avx2.h for what the functions promise.
#pragma once
#include <cstdint>

#include <immintrin.h>

namespace tutti::cpu {
namespace {

struct Simd {
  using F = __m512;
  using I = __m512i;
  using I256 = __m256i;
  using NanWatch = __m512i;
  static constexpr int64_t kWidth = 16;
  static constexpr int kTileRows = 6;  // of weights, next to 4 of x: 24 of 32 registers

  static F zero() { return _mm512_setzero_ps(); }

  static F set1(float x) { return _mm512_set1_ps(x); }

  static F load(const float* p) { return _mm512_loadu_ps(p); }

  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }

  static F load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(mask(n), p); }

  static void store_first(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, mask(n), x); }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }

  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }

  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }

  static F div(F a, F b) { return _mm512_div_ps(a, b); }

  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }

  static F max(F a, F b) { return _mm512_max_ps(a, b); }

  static F min(F a, F b) { return _mm512_min_ps(a, b); }

  static F pow2(F n) {
    const I biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
  }

  static float sum(F x) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  static F load_bf16(const uint16_t* p) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }

  static F load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }

  static F load_e4m3(const uint8_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i high = _mm256_slli_epi16(_mm256_cvtepu8_epi16(x), 8);
    const __m256i half = _mm256_and_si256(_mm256_srai_epi16(high, 1), _mm256_set1_epi16(-0x4001));
    const __m256i magnitude = _mm256_and_si256(half, _mm256_set1_epi16(0x7FFF));
    const __mmask16 nan = _mm256_cmpeq_epi16_mask(magnitude, _mm256_set1_epi16(0x3F80));
    return _mm512_cvtph_ps(_mm256_mask_set1_epi16(half, nan, 0x7FFF));
  }

  static void load_e4m3_pair(const uint8_t* p, F& a, F& b) {
    const I256 x = _mm256_loadu_si256(reinterpret_cast<const I256*>(p));
    a = half_to_f32(_mm256_castsi256_si128(x));
    b = half_to_f32(_mm256_extracti128_si256(x, 1));
  }

  static NanWatch no_nan() { return _mm512_setzero_si512(); }

  static void watch_nan(NanWatch& nan, const uint8_t* p) {
    const I x = _mm512_loadu_si512(p);
    nan = _mm512_max_epu8(nan, _mm512_or_si512(x, _mm512_set1_epi8(-0x80)));
  }

  static bool saw_nan(NanWatch nan) {
    return _mm512_cmpeq_epi8_mask(nan, _mm512_set1_epi8(-1)) != 0;
  }

  static void deinterleave(const float* p, F& even, F& odd) {
    const F a = load(p);
    const F b = load(p + 16);
    const I evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    even = _mm512_permutex2var_ps(a, evens, b);
    odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), b);
  }

  static void interleave(float* p, F even, F odd) {
    const I low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    store(p, _mm512_permutex2var_ps(even, low, odd));
    store(p + 16, _mm512_permutex2var_ps(even, _mm512_add_epi32(low, _mm512_set1_epi32(8)), odd));
  }

 private:
  // As in simd_avx2.h.
  static constexpr int64_t kSpread = 0x0380028001800080;
  static constexpr int64_t kFour = 0x0400040004000400;

  static F half_to_f32(__m128i x) {
    const I256 spread =
        _mm256_setr_epi64x(kSpread, kSpread + kFour, kSpread + 2 * kFour, kSpread + 3 * kFour);
    const I256 high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), spread);
    return _mm512_cvtph_ps(
        _mm256_and_si256(_mm256_srai_epi16(high, 1), _mm256_set1_epi16(-0x4001)));
  }

  static __mmask16 mask(int64_t n) { return static_cast<__mmask16>((1U << n) - 1U); }
};

}  // namespace
}  // namespace tutti::cpu
