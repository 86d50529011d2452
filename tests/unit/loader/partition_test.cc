#include "loader/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::HasSubstr;

// The ranges of all ranks, laid end to end, are the whole: nothing twice, nothing missing.
void expect_tiling(const std::vector<Range>& ranges, int64_t units) {
  int64_t at = 0;
  for (const Range& r : ranges) {
    EXPECT_EQ(r.begin, at);
    EXPECT_GT(r.count, 0);
    at = r.end();
  }
  EXPECT_EQ(at, units);
}

TEST(PartitionTest, ExactGivesEqualShares) {
  for (int ranks = 1; ranks <= 64; ++ranks) {
    for (const int64_t units : {8, 64, 96, 128}) {
      std::vector<Range> ranges;
      for (int r = 0; r < ranks; ++r) {
        const Result<Range> range = Partition(r, ranks).exact(units, "heads");
        ASSERT_EQ(range.ok(), units % ranks == 0);
        if (range.ok()) {
          EXPECT_EQ(range->count, units / ranks);
          ranges.push_back(*range);
        } else {
          EXPECT_EQ(range.status().message(),
                    fmt::format("heads ({}) cannot be split evenly over {} ranks", units, ranks));
        }
      }
      if (!ranges.empty()) {
        expect_tiling(ranges, units);
      }
    }
  }
}

TEST(PartitionTest, BalancedDiffersByAtMostOne) {
  for (int ranks = 1; ranks <= 64; ++ranks) {
    for (const int64_t units : {1, 7, 64, 129280, 151936, 203, 18432}) {
      std::vector<Range> ranges;
      for (int r = 0; r < ranks; ++r) {
        const Result<Range> range = Partition(r, ranks).balanced(units, "vocab_size");
        ASSERT_EQ(range.ok(), units >= ranks);
        if (range.ok()) {
          EXPECT_GE(range->count, units / ranks);
          EXPECT_LE(range->count, units / ranks + 1);
          EXPECT_EQ(*range, Partition::balanced_range(units, r, ranks));
          ranges.push_back(*range);
        } else {
          EXPECT_THAT(range.status().message(), HasSubstr("vocab_size"));
          EXPECT_THAT(range.status().message(), HasSubstr("smaller than the number of ranks"));
        }
      }
      if (!ranges.empty()) {
        expect_tiling(ranges, units);
      }
    }
  }
}

TEST(PartitionTest, WeightsAreCutInUnitsOfTheirFormat) {
  constexpr WeightUnits kUnits{.whole = 8, .preferred = 32};
  for (int ranks = 1; ranks <= 16; ++ranks) {
    for (const int64_t width : {16, 60, 64, 96, 100, 1000, 18944}) {
      std::vector<Range> ranges;
      const int64_t unit = (width + 31) / 32 >= ranks ? 32 : 8;
      for (int r = 0; r < ranks; ++r) {
        const Result<Range> range = Partition(r, ranks, kUnits).balanced_weights(width, "width");
        ASSERT_EQ(range.ok(), (width + 7) / 8 >= ranks) << width << " over " << ranks;
        if (!range.ok()) {
          EXPECT_THAT(range.status().message(), HasSubstr(fmt::format("width ({})", width)));
          EXPECT_THAT(range.status().message(), HasSubstr("units of 8"));
          continue;
        }
        EXPECT_EQ(range->begin % unit, 0);
        EXPECT_LE(range->count, (width / unit / ranks + 1) * unit);
        ranges.push_back(*range);
      }
      if (!ranges.empty()) {
        expect_tiling(ranges, width);
      }
    }
  }
  // Without a format any cut will do.
  EXPECT_EQ(Partition(1, 3).balanced_weights(7, "width").value(),
            Partition(1, 3).balanced(7, "width").value());
  EXPECT_THAT(Partition(0, 8).balanced_weights(7, "width").status().message(),
              HasSubstr("smaller than the number of ranks"));
}

TEST(PartitionTest, SharedUnitsBelongToConsecutiveRanks) {
  for (int r = 0; r < 8; ++r) {
    EXPECT_EQ(Partition(r, 8).shared(2, "kv").value(), (Range{r / 4, 1}));
    EXPECT_EQ(Partition(r, 8).shared(1, "kv").value(), (Range{0, 1}));
    EXPECT_EQ(Partition(r, 8).shared(8, "kv").value(), (Range{r, 1}));
    EXPECT_EQ(Partition(r, 8).shared(16, "kv").value(), (Range{2 * r, 2}));
  }
  for (const int64_t units : {3, 5, 6, 7, 12}) {
    const Result<Range> range = Partition(0, 8).shared(units, "num_key_value_heads");
    ASSERT_FALSE(range.ok()) << units;
    EXPECT_THAT(range.status().message(), HasSubstr("num_key_value_heads"));
    EXPECT_THAT(range.status().message(), HasSubstr("8 ranks"));
  }
  EXPECT_FALSE(Partition(0, 8).shared(0, "kv").ok());
}

TEST(PartitionTest, OneRankOwnsEverything) {
  const Partition one(0, 1);
  EXPECT_EQ(one.exact(7, "x").value(), (Range{0, 7}));
  EXPECT_EQ(one.shared(7, "x").value(), (Range{0, 7}));
  EXPECT_EQ(one.balanced(7, "x").value(), (Range{0, 7}));
}

}  // namespace
}  // namespace tutti
