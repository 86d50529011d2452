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
#include <vector>

#include <gtest/gtest.h>

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

/// For copies and integers.
inline Tolerance exact() {
  return {};
}

/// sum (a - b)^2 / sum b^2
inline double nmse(const std::vector<float>& actual, const std::vector<float>& expected) {
  double error = 0;
  double power = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    error += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    power += std::pow(static_cast<double>(expected[i]), 2);
  }
  return error == 0 ? 0 : error / power;
}

/// Largest finite |value|.
inline double largest(const std::vector<float>& values) {
  double result = 0;
  for (const float v : values) {
    result = std::isfinite(v) ? std::max(result, std::abs(static_cast<double>(v))) : result;
  }
  return result;
}

/// NaN and infinities must match exactly; finite values within the tolerance.
inline void expect_near(const std::vector<float>& actual,
                        const std::vector<float>& expected,
                        Tolerance tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  const double limit = tolerance.relative * largest(expected) + tolerance.absolute;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected[i])) {
      ASSERT_TRUE(actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i])))
          << "element " << i << ": " << actual[i] << ", expected " << expected[i];
    } else {
      const double own = tolerance.each * std::abs(static_cast<double>(expected[i]));
      ASSERT_NEAR(actual[i], expected[i], limit + own) << "element " << i;
    }
  }
}

}  // namespace tutti::test
