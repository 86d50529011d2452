// Row kernels over the vector wrapper `Simd` of the file being compiled. Vector body and
// tail use the same formula (the tail is a masked vector), so an element's value does not depend on
// where it stands.
#pragma once
#include <cstddef>

#include "ops/cpu/cpu_kernels.h"
#include "ops/cpu/simd.h"

namespace tutti::cpu {
namespace {

// Calls body(i, n) for vectors of n lanes at element i; n is Simd::kWidth but for the last.
template <class Body>
inline __attribute__((always_inline)) void for_each_vector(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + Simd::kWidth <= count; i += Simd::kWidth) {
    body(i, Simd::kWidth);
  }
  if (i < count) {
    body(i, count - i);
  }
}

inline Simd::F load_lanes(const float* p, int64_t n) {
  return n == Simd::kWidth ? Simd::load(p) : Simd::load_first(p, n);
}

inline void store_lanes(float* p, Simd::F x, int64_t n) {
  if (n == Simd::kWidth) {
    Simd::store(p, x);
  } else {
    Simd::store_first(p, x, n);
  }
}

// exp(x) to about 1 ulp, with infinities, subnormal results and NaN. x = n ln 2 + r with
// |r| <= ln 2 / 2; exp(r) is its Taylor polynomial of degree 7 (remainder below 2^-27).
inline Simd::F exp_vector(Simd::F x) {
  using S = Simd;
  constexpr float kLn2High = 0x1.62e4p-1F;  // 15 bits, so that n * kLn2High is exact
  constexpr float kLn2Low = 0x1.7f7d1cp-20F;
  constexpr float kRound = 0x1.8p23F;  // adding it leaves no bits behind the point
  // Below the lower limit every result rounds to 0, above the upper one to infinity.
  x = S::min(S::set1(89.0F), S::max(S::set1(-105.0F), x));
  const S::F shifted = S::fma(x, S::set1(0x1.715476p0F), S::set1(kRound));
  const S::F n = S::sub(shifted, S::set1(kRound));
  S::F r = S::fma(n, S::set1(-kLn2High), x);
  r = S::fma(n, S::set1(-kLn2Low), r);
  S::F p = S::set1(1.0F / 5040);
  p = S::fma(p, r, S::set1(1.0F / 720));
  p = S::fma(p, r, S::set1(1.0F / 120));
  p = S::fma(p, r, S::set1(1.0F / 24));
  p = S::fma(p, r, S::set1(1.0F / 6));
  p = S::fma(p, r, S::set1(0.5F));
  p = S::add(S::fma(S::mul(r, r), p, r), S::set1(1.0F));
  // In two steps, because 2^n alone may not be a normal number.
  const S::F half = S::sub(S::fma(n, S::set1(0.5F), S::set1(kRound)), S::set1(kRound));
  return S::mul(S::mul(p, S::pow2(half)), S::pow2(S::sub(n, half)));
}

void exp_row(float* y, const float* x, int64_t n) {
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    store_lanes(y + i, exp_vector(load_lanes(x + i, lanes)), lanes);
  });
}

void add_row(float* y, const float* x, int64_t n) {
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    store_lanes(y + i, Simd::add(load_lanes(y + i, lanes), load_lanes(x + i, lanes)), lanes);
  });
}

float sum_squares_row(const float* x, int64_t n) {
  Simd::F squares = Simd::zero();
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    const Simd::F v = load_lanes(x + i, lanes);
    squares = Simd::fma(v, v, squares);
  });
  return Simd::sum(squares);
}

// y = x * factor * weight
void scale_row(float* y, const float* x, const float* weight, int64_t n, float factor) {
  const Simd::F scale = Simd::set1(factor);
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    const Simd::F scaled = Simd::mul(load_lanes(x + i, lanes), scale);
    store_lanes(y + i, Simd::mul(scaled, load_lanes(weight + i, lanes)), lanes);
  });
}

void rms_norm_row(float* y, const float* x, const float* weight, int64_t n, float eps) {
  const float mean = sum_squares_row(x, n) / static_cast<float>(n);
  scale_row(y, x, weight, n, 1.0F / __builtin_sqrtf(mean + eps));
}

// The mean is taken away before squares are summed: rows far from zero keep their digits.
void layer_norm_row(
    float* y, const float* x, const float* weight, const float* bias, int64_t n, float eps) {
  Simd::F sum = Simd::zero();
  for_each_vector(
      n, [&](int64_t i, int64_t lanes) { sum = Simd::add(sum, load_lanes(x + i, lanes)); });
  const float mean = Simd::sum(sum) / static_cast<float>(n);
  const Simd::F center = Simd::set1(mean);
  Simd::F squares = Simd::zero();
  int64_t whole = 0;
  for (; whole + Simd::kWidth <= n; whole += Simd::kWidth) {
    const Simd::F v = Simd::sub(Simd::load(x + whole), center);
    squares = Simd::fma(v, v, squares);
  }
  float total = Simd::sum(squares);
  for (; whole < n; ++whole) {
    total += (x[whole] - mean) * (x[whole] - mean);
  }
  const Simd::F scale = Simd::set1(1.0F / __builtin_sqrtf(total / static_cast<float>(n) + eps));
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    const Simd::F v = Simd::mul(Simd::sub(load_lanes(x + i, lanes), center), scale);
    const Simd::F b = bias != nullptr ? load_lanes(bias + i, lanes) : Simd::zero();
    store_lanes(y + i, Simd::fma(v, load_lanes(weight + i, lanes), b), lanes);
  });
}

void silu_mul_row(float* y, const float* gate, const float* up, int64_t n) {
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    const Simd::F z = load_lanes(gate + i, lanes);
    const Simd::F e = exp_vector(Simd::sub(Simd::zero(), z));
    const Simd::F silu = Simd::div(z, Simd::add(Simd::set1(1.0F), e));
    store_lanes(y + i, Simd::mul(silu, load_lanes(up + i, lanes)), lanes);
  });
}

void combine_rows(float* y,
                  const float* x,
                  int64_t x_stride,
                  const int32_t* rows,
                  const float* weights,
                  int64_t count,
                  int64_t n) {
  for_each_vector(n, [&](int64_t i, int64_t lanes) {
    Simd::F sum = Simd::zero();
    for (int64_t j = 0; j < count; ++j) {
      const Simd::F v = load_lanes(x + rows[j] * x_stride + i, lanes);
      sum = Simd::fma(Simd::set1(weights[j]), v, sum);
    }
    store_lanes(y + i, sum, lanes);
  });
}

// (a, b) -> (a cos - b sin, b cos + a sin)
inline void rotate(Simd::F& a, Simd::F& b, Simd::F cos, Simd::F sin) {
  const Simd::F minus_sin = Simd::sub(Simd::zero(), sin);
  const Simd::F first = Simd::fma(a, cos, Simd::mul(b, minus_sin));
  b = Simd::fma(b, cos, Simd::mul(a, sin));
  a = first;
}

void rope_half_split_row(float* x, const float* table, int64_t half) {
  for_each_vector(half, [&](int64_t i, int64_t lanes) {
    Simd::F a = load_lanes(x + i, lanes);
    Simd::F b = load_lanes(x + half + i, lanes);
    rotate(a, b, load_lanes(table + i, lanes), load_lanes(table + half + i, lanes));
    store_lanes(x + i, a, lanes);
    store_lanes(x + half + i, b, lanes);
  });
}

void rope_interleaved_row(float* x, const float* table, int64_t half) {
  for_each_vector(half, [&](int64_t i, int64_t lanes) {
    float pairs[2 * Simd::kWidth] = {};
    __builtin_memcpy(pairs, x + 2 * i, static_cast<size_t>(2 * lanes) * sizeof(float));
    Simd::F a;
    Simd::F b;
    Simd::deinterleave(pairs, a, b);
    rotate(a, b, load_lanes(table + i, lanes), load_lanes(table + half + i, lanes));
    Simd::interleave(pairs, a, b);
    __builtin_memcpy(x + 2 * i, pairs, static_cast<size_t>(2 * lanes) * sizeof(float));
  });
}

float sum_row(const float* x, int64_t n) {
  constexpr int kLanesOfWork = 8;  // hides the latency of the additions
  Simd::F acc[kLanesOfWork];
  for (Simd::F& a : acc) {
    a = Simd::zero();
  }
  int64_t i = 0;
  for (; i + kLanesOfWork * Simd::kWidth <= n; i += kLanesOfWork * Simd::kWidth) {
    for (int j = 0; j < kLanesOfWork; ++j) {
      acc[j] = Simd::add(acc[j], Simd::load(x + i + j * Simd::kWidth));
    }
  }
  float sum = 0;
  for (const Simd::F& a : acc) {
    sum += Simd::sum(a);
  }
  for (; i < n; ++i) {
    sum += x[i];
  }
  return sum;
}

}  // namespace
}  // namespace tutti::cpu
