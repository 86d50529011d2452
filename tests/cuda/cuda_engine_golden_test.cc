// The fast path of a GPU as it serves: bf16, recorded steps, the engine, the fast attention
// kernels, at 1, 2 and 4 ranks on the GPUs there are. Fixtures, criterion and what it must notice:
// tests/golden/README.md.
#include <array>
#include <iostream>
#include <map>

#include "cuda/cuda_testing.h"
#include "golden/bf16_criterion.h"
#include "golden/golden_tokens.h"
#include "golden/wrapped_backend.h"

namespace tutti::testing {
namespace {

using KernelTotals = std::map<std::string, int64_t>;

constexpr int64_t kFewestTokens = 8;
constexpr std::array<int64_t, 3> kChunks{64, 7, 1};

// The CUDA backend, and a look at the ops that its ranks use.
class WatchedCuda {
 public:
  explicit WatchedCuda(const test::CudaRanks& on)
      : backend_(test::open_cuda(on).value(), [this](RankResources& rank) {
          ops_.push_back(rank.ops.get());
          device_ = rank.device->name();
          return std::move(rank.ops);
        }) {}

  Result<std::unique_ptr<RankedModelRunner>> load(const Golden& golden, int ranks) {
    ops_.clear();
    return load_model(backend_, golden.directory, ranks, {}, DType::kBF16);
  }

  /// Calls by kernel over all ranks of the model loaded last, which must be there and idle.
  KernelTotals kernels() const {
    KernelTotals totals;
    for (const Ops* ops : ops_) {
      for (const KernelCalls& k : ops->kernel_calls()) {
        totals[k.kernel] += k.calls;
      }
    }
    return totals;
  }

  /// The prompt kernel is for compute capability 9.0.
  bool hopper() const {
    return device_.find("H100") != device_.npos || device_.find("H200") != device_.npos;
  }

 private:
  std::vector<const Ops*> ops_;
  std::string device_;
  WrappedBackend backend_;
};

/// A fixture, and the ranks on one GPU that it is split over.
struct Split {
  std::string fixture;
  test::CudaRanks on;
};

std::string name_of(const Split& split) {
  return fmt::format(
      "{}_ranks_{}{}", split.fixture, split.on.ranks, split.on.peer_access ? "" : "_host_memory");
}

std::vector<Split> splits() {
  std::vector<Split> all;
  for (const std::string& fixture : fast_attention_fixtures()) {
    for (const int ranks : {1, 2, 4}) {
      all.push_back({fixture, {.ranks = ranks}});
      if (ranks > 1) {
        all.push_back({fixture, {.ranks = ranks, .peer_access = false}});
      }
    }
  }
  return all;
}

// Loads the fixture in bf16 at the test's number of ranks.
#define TUTTI_LOAD_RANKS(runner)                                           \
  if (!::tutti::test::gpu_present()) {                                     \
    GTEST_SKIP() << "this machine shows no NVIDIA GPU";                    \
  }                                                                        \
  WatchedCuda cuda(GetParam().on);                                         \
  auto runner##_result = cuda.load(golden(), GetParam().on.ranks);         \
  ASSERT_TRUE(runner##_result.ok()) << runner##_result.status().message(); \
  auto runner = std::move(runner##_result).value()

class CudaEngineGolden : public ::testing::TestWithParam<Split> {
 protected:
  Golden golden() const { return load_golden(GetParam().fixture); }

  // For the table of tools/gpu/run: how much of the bound is used.
  void report(const char* what, double share) const {
    std::cout << fmt::format("ratio {:.3f} {} {}\n", share, name_of(GetParam()), what);
  }

  static void expect_fast(const KernelTotals& kernels, bool hopper) {
    EXPECT_GT(kernels.at("decode_attention"), 0);
    if (hopper) {
      EXPECT_GT(kernels.at("prefill_attention"), 0);
      EXPECT_EQ(kernels.at("simple_attention"), 0);
    }
    EXPECT_GT(kernels.at("skinny_gemm"), 0);
  }
};

TEST_P(CudaEngineGolden, Logits) {
  TUTTI_LOAD_RANKS(runner);
  const Golden g = golden();
  for (const int64_t chunk : kChunks) {
    const double share = bf16_error_over_tolerance(g, run_model(*runner, g.ids, 0, chunk));
    report(fmt::format("chunk {}", chunk).c_str(), share);
    EXPECT_LE(share, 1.0) << "chunk " << chunk;
    EXPECT_GT(share, 0.005) << "as exact as f32: did it compute in bf16 at all?";
  }
  const KernelTotals kernels = cuda.kernels();
  expect_fast(kernels, cuda.hopper());
  EXPECT_GT(kernels.at("cublaslt"), 0) << "44 rows are too many for the skinny kernel";
}

TEST_P(CudaEngineGolden, TokensOfRecordedSteps) {
  TUTTI_LOAD_RANKS(runner);
  const Golden g = golden();
  const TokenComparison tokens = compare_forced(*runner, g, bf16_clear_gap(g));
  EXPECT_EQ(tokens.wrong, "");
  EXPECT_GE(tokens.decoded, kFewestTokens);
  expect_fast(cuda.kernels(), cuda.hopper());
}

TEST_P(CudaEngineGolden, TokensThroughTheEngine) {
  TUTTI_LOAD_RANKS(runner);
  const Golden g = golden();
  const TokenComparison tokens = compare_through_engine(std::move(runner), g, bf16_clear_gap(g));
  EXPECT_EQ(tokens.wrong, "");
  EXPECT_GE(tokens.compared, kFewestTokens);
}

// A recorded step calls no kernel when it is replayed: were every step launched one by one, there
// would be as many attention calls as steps, layers and ranks.
TEST_P(CudaEngineGolden, DecodeStepsAreReplayed) {
  TUTTI_LOAD_RANKS(runner);
  const Golden g = golden();
  ASSERT_TRUE(compare_forced(*runner, g, bf16_clear_gap(g)).wrong.empty());
  const int64_t before = cuda.kernels().at("decode_attention");
  ASSERT_TRUE(compare_forced(*runner, g, bf16_clear_gap(g)).wrong.empty());
  EXPECT_EQ(cuda.kernels().at("decode_attention"), before);
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         CudaEngineGolden,
                         ::testing::ValuesIn(splits()),
                         [](const auto& test) { return name_of(test.param); });

class CudaMutation : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaMutation, EveryMistakeMissesTheCriterion) {
  if (!test::gpu_present()) {
    GTEST_SKIP() << "this machine shows no NVIDIA GPU";
  }
  const Golden g = load_golden(GetParam());
  const auto share = [&](Mistake mistake, int64_t chunk) {
    auto backend = make_mutated_backend(test::open_cuda().value(), mistake);
    const auto runner =
        load_model(*backend, g.directory, 1, {}, DType::kBF16, /*record_steps=*/false).value();
    return bf16_error_over_tolerance(g, run_model(*runner, g.ids, 0, chunk));
  };
  for (const int64_t chunk : {int64_t{7}, int64_t{1}}) {  // prompt kernel, decode kernel
    EXPECT_LE(share(Mistake::kNone, chunk), 1.0) << "without a mistake";
    for (const Mistake mistake : bf16_mistakes(GetParam())) {
      const double missed = share(mistake, chunk);
      std::cout << fmt::format(
          "mistake {:.1f} {} {} chunk {}\n", missed, GetParam(), mistake_name(mistake), chunk);
      EXPECT_GE(missed, kBf16Clearly) << mistake_name(mistake) << ", chunk " << chunk;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         CudaMutation,
                         ::testing::ValuesIn(fast_attention_fixtures()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti::testing
