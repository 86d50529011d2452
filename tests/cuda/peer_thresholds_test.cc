// Which messages travel how: the choice from samples, and its text.
#include "cuda/comm/peer_thresholds.h"

#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>

#include "cuda/comm/peer_group.h"
#include "plan/cuda_memory.h"

namespace tutti::test {
namespace {

using cuda::choose_thresholds;
using cuda::parse_thresholds;
using cuda::PeerAlgorithm;
using cuda::PeerSample;
using cuda::PeerThresholds;
using ::testing::HasSubstr;

TEST(PeerThresholds, EveryWayHasItsSizes) {
  const PeerThresholds t{.flagged_bytes = 100, .push_bytes = 1000};
  EXPECT_EQ(t.choose(0), PeerAlgorithm::kFlagged);
  EXPECT_EQ(t.choose(100), PeerAlgorithm::kFlagged);
  EXPECT_EQ(t.choose(101), PeerAlgorithm::kPush);
  EXPECT_EQ(t.choose(1000), PeerAlgorithm::kPush);
  EXPECT_EQ(t.choose(1001), PeerAlgorithm::kTwoShot);
}

TEST(PeerThresholds, TextComesBack) {
  const PeerThresholds t{.flagged_bytes = 65536, .push_bytes = 4194304};
  EXPECT_EQ(to_text(t), "flagged 65536 push 4194304");
  const auto back = parse_thresholds(to_text(t));
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back.value(), t);
}

TEST(PeerThresholds, OtherTextIsShown) {
  for (const char* text : {"",
                           "flagged",
                           "flagged 1",
                           "flagged 1 push",
                           "flagged -1 push 5",
                           "flagged 9 push 5",
                           "flagged 1 push 5 ",
                           "flagged 1 push 5x",
                           "flagged 99999999999999999999 push 5",
                           "push 1 flagged 5"}) {
    const auto back = parse_thresholds(text);
    ASSERT_FALSE(back.ok()) << text;
    EXPECT_EQ(back.status().code(), StatusCode::kCorrupt);
    EXPECT_THAT(back.status().message(), HasSubstr(fmt::format("\"{}\"", text)));
  }
}

// Costs of the form start + bytes * rate, whose crossings lie between known sizes; some medians are
// off by a few per cent.
TEST(PeerThresholds, CrossingsAreFoundDespiteNoise) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> noise(0.99, 1.01);
  for (int round = 0; round < 100; ++round) {
    std::vector<PeerSample> samples;
    for (int64_t bytes = 4096; bytes <= int64_t{32} << 20; bytes *= 2) {
      const auto b = static_cast<double>(bytes);
      samples.push_back({bytes,
                         {(2.0 + b * 22e-6) * noise(random),
                          (4.0 + b * 6e-6) * noise(random),
                          (6.0 + b * 3e-6) * noise(random)}});
    }
    samples[2].seconds[0] *= 1.3;  // one bad median
    const PeerThresholds found = choose_thresholds(samples);
    EXPECT_EQ(found.flagged_bytes, int64_t{64} << 10);  // crossing at 125,000
    EXPECT_EQ(found.push_bytes, int64_t{512} << 10);    // at 667,000
  }
}

TEST(PeerThresholds, WhatCannotBeIsNotChosen) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const std::vector<PeerSample> samples = {
      {4096, {1, 2, 3}}, {8192, {kNever, 2, 3}}, {16384, {kNever, 9, 3}}};
  EXPECT_EQ(choose_thresholds(samples), (PeerThresholds{4096, 8192}));
  const std::vector<PeerSample> two_shots = {{4096, {3, 2, 1}}, {8192, {3, 2, 1}}};
  EXPECT_EQ(choose_thresholds(two_shots), (PeerThresholds{0, 0}));
}

TEST(PeerMailbox, PlansKnowItsSize) {
  EXPECT_EQ(cuda::peer_mailbox_bytes(cuda::kMaxPeers), kCudaMailboxBytes);
}

}  // namespace
}  // namespace tutti::test
