// How far a backend may be from the reference, by formula.
//
// A sum of k products, each rounded to f32, with |terms| adding up to S, is off by about
// eps * sqrt(k) * S / sqrt(k) for random signs and at most eps * k * S / ... ; the factor below
// covers lane-wise sums with room for unlucky signs, and stays far below any wrong term.
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
};

/// For results that are sums of `terms` products accumulated in f32.
inline Tolerance sum_tolerance(int64_t terms) {
  constexpr double kEps = std::numeric_limits<float>::epsilon();
  return {.relative = 4 * kEps * std::sqrt(static_cast<double>(terms) + 1), .absolute = 1e-30};
}

/// For results of a few f32 roundings.
inline Tolerance rounding_tolerance() {
  return sum_tolerance(3);
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

/// NaN and infinities must match exactly; finite values within the tolerance.
inline void expect_near(const std::vector<float>& actual,
                        const std::vector<float>& expected,
                        Tolerance tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (const float e : expected) {
    largest = std::isfinite(e) ? std::max(largest, std::abs(static_cast<double>(e))) : largest;
  }
  const double limit = tolerance.relative * largest + tolerance.absolute;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected[i])) {
      ASSERT_TRUE(actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i])))
          << "element " << i << ": " << actual[i] << ", expected " << expected[i];
    } else {
      ASSERT_NEAR(actual[i], expected[i], limit) << "element " << i;
    }
  }
}

}  // namespace tutti::test
