// Tokens and log-probabilities chosen on the device, in recorded steps that run ahead of the host:
// each request gets those that the host's sampler gives it alone.
#include <algorithm>
#include <array>

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "engine/ranked_load.h"
#include "engine/recording_backend.h"
#include "engine/rule_requests.h"

namespace tutti::test {
namespace {

class DeviceChoiceTest : public ::testing::TestWithParam<std::string> {
 protected:
  static constexpr uint64_t kSeed = 20250311;
  static constexpr int64_t kSequences = 8;

  /// What the requests say alone, with the host's sampler.
  static LoadRun on_host(const Change& change, int ranks = 1) {
    EngineConfig plain;
    plain.prefix_cache = false;
    plain.run_ahead = false;
    const LoadSetup setup{
        .fixture = GetParam(), .ranks = ranks, .blocks = 64, .sequences = 1, .engine = plain};
    return run_load(setup, /*alone=*/true, kSeed, *make_cpu_backend({.threads = 2}), change);
  }

  LoadRun on_device(const Change& change,
                    int ranks = 1,
                    int64_t adjusted = AdjustedRows::kMaxRows) {
    return run_load({.fixture = GetParam(),
                     .ranks = ranks,
                     .blocks = 24,
                     .sequences = kSequences,
                     .adjusted = adjusted},
                    /*alone=*/false,
                    kSeed,
                    *make_recording_backend(recordings_),
                    change);
  }

  static void expect_same(const LoadRun& got, const LoadRun& want) {
    ASSERT_EQ(got.codes, want.codes) << "seed=" << kSeed;
    for (size_t i = 0; i < want.said.size(); ++i) {
      ASSERT_EQ(got.said[i], want.said[i]) << "sequence " << i << ", seed=" << kSeed;
    }
  }

  std::shared_ptr<Recordings> recordings_ = std::make_shared<Recordings>();
};

TEST_P(DeviceChoiceTest, DrawsAndLogProbabilities) {
  const Change change = [](SequenceRequest& r) {
    r.sampling.presence_penalty = 0.0F;
    r.sampling.repetition_penalty = 1.0F;
    r.sampling.top_logprobs = std::array{-1, 0, 3, kMaxTopLogprobs}[r.id % 4];
    r.rules = nullptr;
  };
  expect_same(on_device(change), on_host(change));
  EXPECT_GT(recordings_->recorded, 0);
  EXPECT_GT(recordings_->replayed, recordings_->recorded);  // loading replays each once
  EXPECT_EQ(recordings_->logits_fetched, 0);
  for (const int ranks : {2, 4}) {
    recordings_ = std::make_shared<Recordings>();
    expect_same(on_device(change, ranks), on_host(change, ranks));
    EXPECT_GT(recordings_->replayed, recordings_->recorded);
    EXPECT_EQ(recordings_->logits_fetched, 0);
  }
}

// What takes a general kernel on a device is counted for the metrics, once for all ranks.
TEST_P(DeviceChoiceTest, GeneralKernelsAreCounted) {
  ModelLoadOptions options;
  options.directory = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/" + GetParam();
  options.ranks = 2;
  options.context = 64;
  options.kv_memory = int64_t{4} << 20;
  const auto load = [&options](std::unique_ptr<Backend> backend) {
    return RankedModelRunner::load(*backend, options).value();
  };
  EXPECT_EQ(load(make_recording_backend(recordings_))->limits().general_kernel_calls,
            kGeneralMatmuls + kGeneralAttentions);
  EXPECT_EQ(load(make_cpu_backend({.threads = 2}))->limits().general_kernel_calls, 0);
}

// Ranks compare their best ids instead of gathering logits.
TEST_P(DeviceChoiceTest, GreedyOnSeveralRanks) {
  const Change change = [](SequenceRequest& r) {
    r.sampling = {.temperature = 0.0F};
    r.rules = nullptr;
  };
  for (const int ranks : {1, 2, 4}) {
    recordings_ = std::make_shared<Recordings>();
    expect_same(on_device(change, ranks), on_host(change, ranks));
    EXPECT_GT(recordings_->replayed, recordings_->recorded);
  }
}

TEST_P(DeviceChoiceTest, RulesPenaltiesAndMasks) {
  expect_same(on_device(change_what_may_come), on_host(change_what_may_come));
  EXPECT_GT(recordings_->recorded, 0);
  EXPECT_GT(recordings_->replayed, recordings_->recorded);  // loading replays each once
  EXPECT_EQ(recordings_->logits_fetched, 0);
  expect_same(on_device(change_what_may_come, 2), on_host(change_what_may_come, 2));
}

// Steps that the host samples come in between, some because a row needs it and some because the
// device has room for few: then each must tell the other what it chose.
TEST_P(DeviceChoiceTest, TurnsWithTheHost) {
  const Change change = [](SequenceRequest& r) {
    const LogitRulesPtr rules = r.rules;
    change_what_may_come(r);
    if (r.id % 7 == 0) {
      r.rules = rules;  // with words of two tokens
    }
  };
  const LoadRun want = on_host(change);
  for (const int64_t room : {AdjustedRows::kMaxRows, int64_t{3}, int64_t{0}}) {
    SCOPED_TRACE("room for " + std::to_string(room));
    recordings_ = std::make_shared<Recordings>();
    expect_same(on_device(change, 1, room), want);
    EXPECT_GT(recordings_->logits_fetched, 0);
    EXPECT_TRUE(room == 0 || recordings_->replayed > recordings_->recorded);
  }
}

TEST_P(DeviceChoiceTest, NothingLeftEndsTheRequestAlone) {
  const Change change = [](SequenceRequest& r) {
    change_what_may_come(r);
    if (r.id % 4 == 0) {
      r.rules = std::make_shared<const LogitRules>(
          LogitRules{.allowed = {7, 9, 40}, .bad_words = {{7}, {40}, {9}}});
    } else if (r.id % 4 == 1) {
      r.rules = std::make_shared<const LogitRules>(
          LogitRules{.allowed = {2}, .min_tokens = 3, .end_ids = {2}});
    }
  };
  const LoadRun got = on_device(change);
  expect_same(got, on_host(change));
  EXPECT_EQ(recordings_->logits_fetched, 0);
  EXPECT_GT(std::count(got.codes.begin(), got.codes.end(), StatusCode::kInvalidArgument), 5);
  EXPECT_GT(std::count(got.codes.begin(), got.codes.end(), StatusCode::kOk), 5);
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         DeviceChoiceTest,
                         ::testing::Values("dsv3_base_f32", "llama_base_f32", "llama_longrope_f32"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti::test
