// How far a backend may be from the reference, by formula.
//
// Summing k terms of magnitude s in f32 makes an error of about eps * s * sqrt(k) if roundings are
// independent (partial sums grow like s * sqrt(k), and roundings add up like sqrt(k) again, but a
// vector register sums in 4 to 16 lanes, which takes most of the second factor away). The factor 4
// leaves room for unlucky signs. One wrong or missing term is off by s and stands out.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

namespace tutti::test {

struct Tolerance {
  double relative = 0;  ///< of the largest |expected|
  double absolute = 0;
  double each = 0;  ///< of the |expected| of the element at hand
};

/// For sums of `terms` products of magnitude `size`, accumulated in f32.
inline Tolerance sum_tolerance(int64_t terms, double size = 1.0) {
  constexpr double kEps = std::numeric_limits<float>::epsilon();
  const double root = std::sqrt(static_cast<double>(terms) + 1);
  return {.relative = 4 * kEps * root, .absolute = 4 * kEps * root * size};
}

/// For a few f32 roundings.
inline Tolerance rounding_tolerance() {
  return {.relative = 4 * std::numeric_limits<float>::epsilon(), .absolute = 0};
}

/// For a few roundings of elements of very different size.
inline Tolerance elementwise_tolerance() {
  // Where an intermediate value overflows or a result is not a normal number, it may become 0.
  return {.absolute = 0x1p-120, .each = 8 * std::numeric_limits<float>::epsilon()};
}

/// The same for results stored in bf16: each is rounded once more, by at most 2^-8 of itself.
inline Tolerance in_bf16(Tolerance tolerance) {
  tolerance.each += 0x1.02p-8;
  return tolerance;
}

/// For copies and integers.
inline Tolerance exact() {
  return {};
}

}  // namespace tutti::test
