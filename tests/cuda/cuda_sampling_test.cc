// Tokens that the GPU chooses against those that the host's sampler chooses from the same logits:
// requests with rules, penalties, masks and log-probabilities, one after another, so that both
// compute the same batches.
#include "cuda/cuda_testing.h"
#include "engine/rule_requests.h"
#include "golden/golden.h"

namespace tutti::test {
namespace {

struct Case {
  std::string fixture;
  int ranks;
};

class CudaChoice : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr uint64_t kSeed = 20250318;

  static LoadRun run(Backend& backend, int64_t adjusted) {
    EngineConfig engine;
    engine.prefix_cache = false;
    return run_load({.fixtures = testing::fixtures_directory(),
                     .fixture = GetParam().fixture,
                     .ranks = GetParam().ranks,
                     .blocks = 64,
                     .sequences = 4,
                     .adjusted = adjusted,
                     .engine = engine},
                    /*alone=*/true,
                    kSeed,
                    backend,
                    change_what_may_come);
  }
};

TEST_P(CudaChoice, IsTheHosts) {
  TUTTI_NEEDS_GPU(backend, {.ranks = GetParam().ranks});
  const LoadRun device = run(backend, AdjustedRows::kMaxRows);
  const LoadRun host = run(backend, 0);  // no room on the device
  ASSERT_EQ(device.codes, host.codes) << "seed=" << kSeed;
  for (size_t i = 0; i < host.said.size(); ++i) {
    SCOPED_TRACE("sequence " + std::to_string(i) + ", seed=" + std::to_string(kSeed));
    ASSERT_EQ(device.said[i].size(), host.said[i].size());
    for (size_t k = 0; k < host.said[i].size(); ++k) {
      ASSERT_EQ(device.said[i][k].first, host.said[i][k].first) << "token " << k;
      ASSERT_NEAR(device.said[i][k].second, host.said[i][k].second, 1e-4) << "token " << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         CudaChoice,
                         ::testing::Values(Case{"dsv3_base_f32", 1},
                                           Case{"dsv3_base_f32", 2},
                                           Case{"llama_base_f32", 1},
                                           Case{"llama_base_f32", 2}),
                         [](const auto& test) {
                           return fmt::format("{}_ranks_{}", test.param.fixture, test.param.ranks);
                         });

}  // namespace
}  // namespace tutti::test
