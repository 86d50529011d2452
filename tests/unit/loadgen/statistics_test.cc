#include "loadgen/statistics.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "loadgen/random.h"

namespace tutti::loadgen {
namespace {

TEST(StatisticsTest, PercentilesInterpolateAsNumPyDoes) {
  // numpy.percentile([1, 2, 4, 8], [0, 25, 50, 90, 99, 100])
  const std::vector<float> values{1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(percentile(values, 0.0), 1.0);
  EXPECT_DOUBLE_EQ(percentile(values, 0.25), 1.75);
  EXPECT_DOUBLE_EQ(percentile(values, 0.5), 3.0);
  EXPECT_NEAR(percentile(values, 0.9), 6.8, 1e-12);
  EXPECT_NEAR(percentile(values, 0.99), 7.88, 1e-12);
  EXPECT_DOUBLE_EQ(percentile(values, 1.0), 8.0);
  EXPECT_DOUBLE_EQ(percentile({}, 0.5), 0.0);
  EXPECT_DOUBLE_EQ(percentile(std::vector<float>{7}, 0.99), 7.0);
}

TEST(StatisticsTest, SummaryDoesNotDependOnTheOrder) {
  std::vector<float> values;
  for (int i = 1000; i > 0; --i) {
    values.push_back(static_cast<float>(i));
  }
  const Summary falling = summarize(values);
  std::reverse(values.begin(), values.end());
  const Summary rising = summarize(values);
  EXPECT_EQ(falling.count, 1000);
  EXPECT_DOUBLE_EQ(falling.mean, 500.5);
  EXPECT_DOUBLE_EQ(falling.p50, 500.5);
  EXPECT_NEAR(falling.p99, 990.01, 1e-3);
  EXPECT_DOUBLE_EQ(falling.max, 1000.0);
  EXPECT_NEAR(falling.stddev, 288.675, 1e-3);  // sqrt((1000^2 - 1) / 12)
  EXPECT_DOUBLE_EQ(rising.mean, falling.mean);
  EXPECT_DOUBLE_EQ(rising.p95, falling.p95);
}

TEST(StatisticsTest, NothingMeasuredIsAllZero) {
  const Summary none = summarize({});
  EXPECT_EQ(none.count, 0);
  EXPECT_EQ(none.mean, 0);
  EXPECT_EQ(none.max, 0);
}

}  // namespace
}  // namespace tutti::loadgen
