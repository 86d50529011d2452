// The engine over real forward passes of both kinds of attention: whatever it shares, preempts,
// splits and runs ahead, each request gets the tokens and log-probabilities it gets alone, bit for
// bit.
#include <gmock/gmock.h>

#include "backend/cpu_backend.h"
#include "engine/ranked_load.h"

namespace tutti::test {
namespace {

class RankedEngineTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RankedEngineTest, EveryBitIsAsAlone) {
  const uint64_t seed = 20250214;
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
  for (const int ranks : {1, 2, 4}) {
    EngineConfig plain;
    plain.prefix_cache = false;
    plain.run_ahead = false;
    const LoadSetup one{
        .fixture = GetParam(), .ranks = ranks, .blocks = 64, .sequences = 1, .engine = plain};
    const LoadRun alone = run_load(one, /*alone=*/true, seed, *backend);
    EXPECT_EQ(alone.stats.preemptions, 0U);
    EXPECT_THAT(alone.codes, ::testing::Each(StatusCode::kOk));
    for (const bool cache : {false, true}) {
      for (const int64_t chunk : {3, 16}) {
        EngineConfig engine;
        engine.prefix_cache = cache;
        engine.max_prefill_chunk = chunk;
        const LoadRun loaded =
            run_load({.fixture = GetParam(), .ranks = ranks, .blocks = 24, .engine = engine},
                     false,
                     seed,
                     *backend);
        ASSERT_EQ(loaded.said, alone.said)
            << ranks << " ranks, cache " << cache << ", chunk " << chunk << ", seed=" << seed;
        EXPECT_THAT(loaded.codes, ::testing::Each(StatusCode::kOk));
        EXPECT_GT(loaded.stats.preemptions, 3U);
        EXPECT_GT(loaded.stats.forks, 3U);
        EXPECT_EQ(loaded.stats.prefix_cache_hits > 0, cache);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         RankedEngineTest,
                         ::testing::Values("dsv3_base_f32", "llama_base_f32", "llama_longrope_f32"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti::test
