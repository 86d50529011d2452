// The bf16 criterion by itself, without a GPU: the CPU's ops with activations rounded as a GPU
// rounds them must pass it, and each planted mistake must miss it. What holds here is what
// tests/cuda holds the GPU to.
#include "golden/bf16_criterion.h"

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "golden/golden_tokens.h"
#include "golden/rounded_ops.h"

namespace tutti::testing {
namespace {

constexpr int64_t kFewestTokens = 8;

double rounded_error(const Golden& golden, Mistake mistake, int ranks, int64_t chunk) {
  const std::unique_ptr<Backend> backend =
      make_mutated_backend(make_rounding_cpu_backend(), mistake);
  const auto runner = load_model(*backend, golden.directory, ranks).value();
  return bf16_error_over_tolerance(golden, run_model(*runner, golden.ids, 0, chunk));
}

class Bf16CriterionTest : public ::testing::TestWithParam<std::string> {};

TEST_P(Bf16CriterionTest, ARoundedRunMeetsIt) {
  const Golden golden = load_golden(GetParam());
  const double error = rounded_error(golden, Mistake::kNone, 1, 64);
  std::cout << fmt::format("{} {:.3f} of what is allowed\n", GetParam(), error);
  EXPECT_LE(error, 1.0);
  EXPECT_GT(error, 0.005) << "was anything rounded?";
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         Bf16CriterionTest,
                         ::testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

std::vector<std::string> fp8_fixtures() {
  std::vector<std::string> names = fixture_names();
  std::erase_if(names, [](const std::string& name) { return name.find("_fp8") == name.npos; });
  return names;
}

class Fp8ActivationsTest : public ::testing::TestWithParam<std::string> {};

// Activations in e4m3 cost 6 to 10 times what the criterion of bf16 allows where every product
// takes them so, and far less than planted mistakes do: what GPUs may take where they multiply FP8
// by FP8.
TEST_P(Fp8ActivationsTest, CostSomeMore) {
  const Golden golden = load_golden(GetParam());
  const std::unique_ptr<Backend> backend = make_rounding_cpu_backend(/*e4m3=*/true);
  for (const int ranks : {1, 2}) {
    const auto runner = load_model(*backend, golden.directory, ranks).value();
    const double error = bf16_error_over_tolerance(golden, run_model(*runner, golden.ids, 0, 64));
    std::cout << fmt::format(
        "{} {} ranks: {:.3f} of what bf16 is allowed\n", GetParam(), ranks, error);
    EXPECT_LE(error, 12.0);
    EXPECT_GT(error, rounded_error(golden, Mistake::kNone, ranks, 64)) << "was anything rounded?";
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         Fp8ActivationsTest,
                         ::testing::ValuesIn(fp8_fixtures()),
                         [](const auto& test) { return test.param; });

class FastAttentionFixtureTest : public ::testing::TestWithParam<std::string> {};

TEST_P(FastAttentionFixtureTest, RanksMeetTheCriterion) {
  const Golden golden = load_golden(GetParam());
  EXPECT_TRUE(golden.steady_experts);
  for (const int ranks : {2, 4}) {
    EXPECT_LE(rounded_error(golden, Mistake::kNone, ranks, 7), 1.0) << "ranks " << ranks;
  }
}

TEST_P(FastAttentionFixtureTest, EveryMistakeMissesTheCriterion) {
  const Golden golden = load_golden(GetParam());
  for (const Mistake mistake : bf16_mistakes(GetParam())) {
    const double error = rounded_error(golden, mistake, 1, 7);
    std::cout << fmt::format(
        "{} {}: {:.1f} of what is allowed\n", GetParam(), mistake_name(mistake), error);
    EXPECT_GE(error, kBf16Clearly) << mistake_name(mistake);
  }
}

TEST_P(FastAttentionFixtureTest, ClearTokensStay) {
  const Golden golden = load_golden(GetParam());
  const double gap = bf16_clear_gap(golden);
  const std::unique_ptr<Backend> backend = make_rounding_cpu_backend();
  for (const int ranks : {1, 2, 4}) {
    const auto runner = load_model(*backend, golden.directory, ranks).value();
    const TokenComparison forced = compare_forced(*runner, golden, gap);
    EXPECT_EQ(forced.wrong, "") << "ranks " << ranks;
    EXPECT_GE(forced.decoded, kFewestTokens);
    const TokenComparison engine =
        compare_through_engine(load_model(*backend, golden.directory, ranks).value(), golden, gap);
    EXPECT_EQ(engine.wrong, "") << "ranks " << ranks;
    EXPECT_EQ(engine.compared, forced.compared);
    EXPECT_GE(engine.compared, kFewestTokens);
    EXPECT_GE(engine.decoded, 1);
  }
}

// The comparison itself: every token in f32, and a wrong model is told.
TEST_P(FastAttentionFixtureTest, TokensAreCompared) {
  const Golden golden = load_golden(GetParam());
  const std::unique_ptr<Backend> right = make_cpu_backend({.threads = 2});
  const auto all = ssize(golden.greedy.size());
  const TokenComparison engine =
      compare_through_engine(load_model(*right, golden.directory, 2).value(), golden, 0.01);
  EXPECT_EQ(engine.wrong, "");
  EXPECT_EQ(engine.compared, all);
  EXPECT_EQ(engine.decoded, all - 1);
  const std::unique_ptr<Backend> wrong = make_mutated_cpu_backend(Mistake::kNormsDropped);
  const auto runner = load_model(*wrong, golden.directory, 1).value();
  const TokenComparison forced = compare_forced(*runner, golden, 0.01);
  EXPECT_NE(forced.wrong, "");
  EXPECT_EQ(forced.compared, all);
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         FastAttentionFixtureTest,
                         ::testing::ValuesIn(fast_attention_fixtures()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti::testing
