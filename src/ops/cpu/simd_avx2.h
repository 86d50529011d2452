// Vector wrapper for AVX2 + FMA + F16C: 8 floats. Include only in cpu_kernels_avx2.cc.
#pragma once
#include <cstdint>

#include <immintrin.h>

namespace tutti::cpu {
namespace {

struct Simd {
  using F = __m256;
  using I = __m256i;
  using NanWatch = __m256i;
  static constexpr int64_t kWidth = 8;
  static constexpr int kTileRows = 3;  // of weights, next to 4 of x: 12 of 16 registers

  static F zero() { return _mm256_setzero_ps(); }

  static F set1(float x) { return _mm256_set1_ps(x); }

  static F load(const float* p) { return _mm256_loadu_ps(p); }

  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }

  // Lanes n and above read as 0 and are not touched in memory.
  static F load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, mask(n)); }

  static void store_first(float* p, F x, int64_t n) { _mm256_maskstore_ps(p, mask(n), x); }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }

  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }

  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }

  static F div(F a, F b) { return _mm256_div_ps(a, b); }

  // a * b + c, rounded once.
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }

  // b where either is NaN.
  static F max(F a, F b) { return _mm256_max_ps(a, b); }

  static F min(F a, F b) { return _mm256_min_ps(a, b); }

  // 2^n for whole n in [-126, 127].
  static F pow2(F n) {
    const I biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }

  static float sum(F x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }

  static F load_bf16(const uint16_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }

  static F load_f16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  // value * 2^-8: the bits of an e4m3 number are those of an f16 number with another bias.
  static F load_e4m3(const uint8_t* p) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    const __m128i high = _mm_unpacklo_epi8(_mm_setzero_si128(), x);
    // s eeee mmm 00000000 -> s s eeee mmm 0000000 -> s 0 eeee mmm 0000000
    const __m128i half = _mm_and_si128(_mm_srai_epi16(high, 1), _mm_set1_epi16(-0x4001));
    const __m128i magnitude = _mm_and_si128(half, _mm_set1_epi16(0x7FFF));
    const __m128i nan = _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x3F80));
    return _mm256_cvtph_ps(_mm_or_si128(half, nan));
  }

  // Two vectors of load_e4m3 at less than twice the cost, but NaN reads as +-480 * 2^-8, for
  // watch_nan to find out.
  static void load_e4m3_pair(const uint8_t* p, F& a, F& b) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const I spread =
        _mm256_setr_epi64x(kSpread, kSpread + kFour, kSpread + 2 * kFour, kSpread + 3 * kFour);
    const I high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), spread);
    const I half = _mm256_and_si256(_mm256_srai_epi16(high, 1), _mm256_set1_epi16(-0x4001));
    a = _mm256_cvtph_ps(_mm256_castsi256_si128(half));
    b = _mm256_cvtph_ps(_mm256_extracti128_si256(half, 1));
  }

  static NanWatch no_nan() { return _mm256_setzero_si256(); }

  // Remembers whether there is an e4m3 NaN among 64 bytes.
  static void watch_nan(NanWatch& nan, const uint8_t* p) {
    const I sign = _mm256_set1_epi8(-0x80);
    const I first = _mm256_loadu_si256(reinterpret_cast<const I*>(p));
    const I second = _mm256_loadu_si256(reinterpret_cast<const I*>(p + 32));
    nan = _mm256_max_epu8(nan, _mm256_or_si256(first, sign));
    nan = _mm256_max_epu8(nan, _mm256_or_si256(second, sign));
  }

  static bool saw_nan(NanWatch nan) {
    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(nan, _mm256_set1_epi8(-1))) != 0;
  }

  static void deinterleave(const float* p, F& even, F& odd) {
    const F a = load(p);      // 0 1 2 3 | 4 5 6 7
    const F b = load(p + 8);  // 8 9 a b | c d e f
    const F lo = _mm256_permute2f128_ps(a, b, 0x20);
    const F hi = _mm256_permute2f128_ps(a, b, 0x31);
    even = _mm256_shuffle_ps(lo, hi, 0x88);  // 0 2 4 6 of each half: 0 2 4 6 | 8 a c e
    odd = _mm256_shuffle_ps(lo, hi, 0xDD);
  }

  static void interleave(float* p, F even, F odd) {
    const F lo = _mm256_unpacklo_ps(even, odd);
    const F hi = _mm256_unpackhi_ps(even, odd);
    store(p, _mm256_permute2f128_ps(lo, hi, 0x20));
    store(p + 8, _mm256_permute2f128_ps(lo, hi, 0x31));
  }

 private:
  // Control bytes of a shuffle that moves byte i to the high half of 16-bit lane i; 0x80 gives 0.
  static constexpr int64_t kSpread = 0x0380028001800080;
  static constexpr int64_t kFour = 0x0400040004000400;  // to get from lanes 0..3 to lanes 4..7

  static I mask(int64_t n) {
    const I lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
};

}  // namespace
}  // namespace tutti::cpu
