// Comparison of f32 results within a tolerance.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "ops/tolerance.h"

namespace tutti::test {

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
