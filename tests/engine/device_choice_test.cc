// Tokens and log-probabilities chosen on the device, in recorded steps that run ahead of the host:
// each request gets those that the host's sampler gives it alone.
#include <array>

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "engine/ranked_load.h"
#include "engine/recording_backend.h"

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

  LoadRun on_device(const Change& change, int ranks = 1) {
    return run_load({.fixture = GetParam(), .ranks = ranks, .blocks = 24, .sequences = kSequences},
                    /*alone=*/false,
                    kSeed,
                    *make_recording_backend(recordings_),
                    change);
  }

  static void expect_same(const LoadRun& got, const LoadRun& want) {
    ASSERT_EQ(got.said.size(), want.said.size());
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
  EXPECT_GT(recordings_->recorded, 5);
  EXPECT_GT(recordings_->replayed, 20);
  EXPECT_EQ(recordings_->logits_fetched, 0);
  expect_same(on_device(change, 2), on_host(change, 2));
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         DeviceChoiceTest,
                         ::testing::Values("dsv3_base_f32", "llama_base_f32", "llama_longrope_f32"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti::test
