// The distributions of a load: right on average, inside their bounds, the same on every machine.
#include "loadgen/random.h"

#include <cmath>

#include <gtest/gtest.h>

#include "loadgen/lengths.h"
#include "loadgen/statistics.h"

namespace tutti::loadgen {
namespace {

constexpr uint64_t kSeed = 20261125;
constexpr int kDraws = 100'000;

Summary draw_lengths(const std::string& text) {
  const auto lengths = LengthDistribution::parse("--input-len", text);
  EXPECT_TRUE(lengths.ok()) << lengths.status().message();
  Random random(kSeed);
  std::vector<float> values;
  for (int i = 0; i < kDraws; ++i) {
    values.push_back(static_cast<float>(lengths->draw(random)));
  }
  return summarize(std::move(values));
}

TEST(RandomTest, SameSeedSameNumbersOtherStreamOthers) {
  Random a(kSeed, 3);
  Random b(kSeed, 3);
  Random c(kSeed, 4);
  int equal = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = a.next();
    EXPECT_EQ(value, b.next());
    equal += value == c.next() ? 1 : 0;
  }
  EXPECT_EQ(equal, 0);
}

TEST(RandomTest, PoissonArrivalsHaveExponentialGaps) {
  Random random(kSeed);
  constexpr double kRate = 40;
  double sum = 0;
  double squares = 0;
  int above_mean = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double gap = random.exponential(kRate);
    ASSERT_GE(gap, 0);
    sum += gap;
    squares += gap * gap;
    above_mean += gap > 1 / kRate ? 1 : 0;
  }
  const double mean = sum / kDraws;
  // Four standard errors; an exponential gap has deviation = mean and P(gap > mean) = 1/e.
  EXPECT_NEAR(mean, 1 / kRate, 4 / kRate / std::sqrt(kDraws)) << "seed=" << kSeed;
  EXPECT_NEAR(std::sqrt(squares / kDraws - mean * mean) * kRate, 1.0, 0.02) << "seed=" << kSeed;
  EXPECT_NEAR(above_mean / double{kDraws}, std::exp(-1.0), 0.01) << "seed=" << kSeed;
}

TEST(LengthsTest, FixedAndUniform) {
  EXPECT_EQ(draw_lengths("128").mean, 128);
  const Summary uniform = draw_lengths("uniform:10:20");
  EXPECT_NEAR(uniform.mean, 15, 0.05) << "seed=" << kSeed;
  EXPECT_EQ(uniform.max, 20);
  EXPECT_NEAR(uniform.stddev, std::sqrt((11 * 11 - 1) / 12.0), 0.05) << "seed=" << kSeed;
}

TEST(LengthsTest, NormalAndLogNormalHitTheirMiddleAndStayInBounds) {
  const Summary normal = draw_lengths("normal:200:20");
  EXPECT_NEAR(normal.mean, 200, 0.5) << "seed=" << kSeed;
  EXPECT_NEAR(normal.stddev, 20, 0.3) << "seed=" << kSeed;
  const Summary lognormal = draw_lengths("lognormal:100:0.5");
  EXPECT_NEAR(lognormal.p50, 100, 1.5) << "seed=" << kSeed;
  EXPECT_NEAR(lognormal.mean, 100 * std::exp(0.125), 1.5) << "seed=" << kSeed;
  const Summary cut = draw_lengths("lognormal:100:2:50:150");
  EXPECT_EQ(cut.max, 150);
  EXPECT_GE(cut.p50, 50);
  // A range that the distribution practically never hits: the nearest bound.
  Random random(kSeed);
  EXPECT_EQ(LengthDistribution::parse("", "normal:10:0.1:500:600")->draw(random), 500);
  EXPECT_EQ(LengthDistribution::parse("", "normal:900:0.1:500:600")->draw(random), 600);
}

TEST(LengthsTest, RefusesWhatIsNoDistribution) {
  for (const char* text : {"",
                           "0",
                           "-1",
                           "x",
                           "1.5",
                           "uniform",
                           "uniform:1",
                           "uniform:0:5",
                           "uniform:9:8",
                           "uniform:1:2:3",
                           "normal:5",
                           "normal:0:1",
                           "normal:5:-1",
                           "normal:5:1:2",
                           "lognormal:nan:1",
                           "lognormal:1:inf",
                           "gauss:1:2",
                           "99999999999999999999"}) {
    const auto got = LengthDistribution::parse("--input-len", text);
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_NE(got.status().message().find("--input-len"), std::string::npos);
  }
}

}  // namespace
}  // namespace tutti::loadgen
