// Ranks that run out of host memory in the middle of steps: the sequences of those steps end with
// an error, and every other one says what it says alone, bit for bit.
#include <atomic>
#include <memory>
#include <new>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "engine/ranked_load.h"
#include "engine/recording_backend.h"
#include "golden/wrapped_backend.h"

namespace tutti::test {
namespace {

// Fails every so-many-th operation of all ranks together, once armed.
struct Faults {
  std::atomic<bool> armed{false};
  std::atomic<int64_t> operations{0};
  std::atomic<int64_t> failed{0};
  int64_t period = 0;
};

class FaultyOps final : public Ops {
 public:
  FaultyOps(std::unique_ptr<Ops> inner, Faults& faults)
      : inner_(std::move(inner)), faults_(faults) {}

  const char* name() const override { return "faulty"; }

 private:
  void execute(const OpCall& op) override {
    if (faults_.armed && ++faults_.operations % faults_.period == 0) {
      ++faults_.failed;
      throw std::bad_alloc();
    }
    inner_->call(op);
  }

  std::unique_ptr<Ops> inner_;
  Faults& faults_;
};

enum class Kind { kHostChooses, kLikeGpus };

std::unique_ptr<Backend> make_backend(Kind kind) {
  return kind == Kind::kLikeGpus ? make_recording_backend(std::make_shared<Recordings>())
                                 : make_cpu_backend({.threads = 2});
}

class LostStepTest : public ::testing::TestWithParam<std::tuple<std::string, Kind>> {};

TEST_P(LostStepTest, EveryoneElseSaysWhatTheySayAlone) {
  const auto& [fixture, kind] = GetParam();
  const uint64_t seed = 20261130;
  for (const int ranks : {1, 2, 4}) {
    EngineConfig plain;
    plain.prefix_cache = false;
    plain.run_ahead = false;
    const std::unique_ptr<Backend> sound = make_backend(kind);
    const LoadRun alone = run_load(
        {.fixture = fixture, .ranks = ranks, .blocks = 64, .sequences = 1, .engine = plain},
        /*alone=*/true,
        seed,
        *sound);
    EXPECT_THAT(alone.codes, ::testing::Each(StatusCode::kOk));
    for (const int64_t period : {307, 1201}) {
      Faults faults{.period = period * ranks + 1};
      testing::WrappedBackend backend(make_backend(kind), [&faults](RankResources& rank) {
        return std::make_unique<FaultyOps>(std::move(rank.ops), faults);
      });
      const LoadRun run = run_load({.fixture = fixture, .ranks = ranks, .blocks = 24},
                                   /*alone=*/false,
                                   seed,
                                   backend,
                                   [&faults](SequenceRequest&) { faults.armed = true; });
      int64_t ended_well = 0;
      for (size_t i = 0; i < run.codes.size(); ++i) {
        if (run.codes[i] == StatusCode::kOk) {
          ++ended_well;
          EXPECT_EQ(run.said[i], alone.said[i]) << ranks << " ranks, sequence " << i;
        } else {
          EXPECT_EQ(run.codes[i], StatusCode::kOutOfMemory);
        }
      }
      const int64_t lost = ssize(run.codes) - ended_well;
      EXPECT_GT(faults.failed, 0) << faults.operations << " operations";
      EXPECT_GE(lost, 1);
      EXPECT_GE(ended_well, 1) << faults.failed << " faults";
      EXPECT_EQ(run.stats.requests_failed, static_cast<uint64_t>(lost));
      EXPECT_GE(run.stats.steps_lost, 1U);
      EXPECT_LE(run.stats.steps_lost, static_cast<uint64_t>(faults.failed));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         LostStepTest,
                         ::testing::Combine(::testing::Values("dsv3_base_f32", "llama_base_f32"),
                                            ::testing::Values(Kind::kHostChooses, Kind::kLikeGpus)),
                         [](const auto& test) {
                           return std::get<0>(test.param) +
                                  (std::get<1>(test.param) == Kind::kLikeGpus ? "_like_gpus" : "");
                         });

}  // namespace
}  // namespace tutti::test
