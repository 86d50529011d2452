// The golden criterion of GPUs bites: every operation and every collective that a fixture's forward
// pass and decoding use has a planted mistake that misses the criterion by a factor of
// kBf16Clearly, or yields wrong tokens where the reference is clear. One without fails here.
#include "golden/planted_mistakes.h"

#include <iostream>
#include <limits>
#include <map>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "golden/bf16_criterion.h"
#include "golden/golden_tokens.h"
#include "golden/rounded_ops.h"

namespace tutti::testing {
namespace {

/// Ways to run a fixture, which use different operations.
struct Way {
  const char* name;
  int ranks = 1;
  bool in_parts = false;
  MlaForm mla_form = MlaForm::kAbsorbed;
};

constexpr Way kWays[] = {
    {"one rank", 1},
    {"two ranks", 2},
    {"in parts", 1, true},
    {"expanded", 1, false, MlaForm::kExpanded},
};

/// What no greedy forward pass uses, and where it is held to the host's results instead.
const std::map<std::string, const char*>& used_elsewhere() {
  static const std::map<std::string, const char*> map{
      {"draw", "ops_parity_test, device_sampling_test, cuda_sampling_test"},
      {"log_probs", "ops_parity_test, device_sampling_test, cuda_sampling_test"},
      {"adjust_logits", "ops_parity_test, device_sampling_test, cuda_sampling_test"},
      {"take_adjusted", "ops_parity_test, device_sampling_test, cuda_sampling_test"},
      {"exchange_rows", "comm_test, device_sampling_test, cuda_collectives_test"},
      {"broadcast", "comm_test, cuda_collectives_test"},
  };
  return map;
}

constexpr double kClearGap = 0.01;  // in f32; no fixture has a smaller one

/// A fixture run in one way with one mistake.
class Planted {
 public:
  Planted(const Golden& golden, const Way& way, std::string mistake, SeenCalls* seen = nullptr)
      : golden_(golden),
        way_(way),
        options_{.mistake = std::move(mistake), .in_parts = way.in_parts, .seen = seen} {}

  /// Over what the criterion of logits in bf16 allows. Infinite: loading found it.
  double error() const {
    const auto runner = load(make_rounding_cpu_backend(), /*rounds=*/true);
    return runner == nullptr
               ? std::numeric_limits<double>::infinity()
               : bf16_error_over_tolerance(golden_, run_model(*runner, golden_.ids, 0, 7));
  }

  /// In f32, where every token counts: each step told the golden tokens, then fed back on devices.
  std::string wrong_tokens() const {
    auto runner = load(make_cpu_backend({.threads = 1}), /*rounds=*/false);
    if (runner == nullptr) {
      return "loading found it";
    }
    const TokenComparison forced = compare_forced(*runner, golden_, kClearGap);
    if (!forced.wrong.empty()) {
      return forced.wrong;
    }
    const TokenComparison engine =
        compare_through_engine(std::move(runner), golden_, kClearGap, /*copies=*/2);
    EXPECT_EQ(forced.compared, ssize(golden_.greedy.size()));
    EXPECT_EQ(engine.compared, engine.wrong.empty() ? forced.compared : engine.compared);
    return engine.wrong;
  }

 private:
  std::unique_ptr<RankedModelRunner> load(std::unique_ptr<Backend> inner, bool rounds) const {
    PlantedOptions options = options_;
    options.rounds = rounds;
    const auto backend = make_planted_backend(std::move(inner), options);
    auto runner = load_model(*backend, golden_.directory, way_.ranks, {.mla_form = way_.mla_form});
    EXPECT_TRUE(runner.ok() || !options_.mistake.empty()) << runner.status().message();
    return runner.ok() ? std::move(runner).value() : nullptr;
  }

  const Golden& golden_;
  const Way& way_;
  PlantedOptions options_;
};

/// Every call of the fixture, and the first way that has it.
std::map<std::string, const Way*> calls_of(const Golden& golden) {
  std::map<std::string, const Way*> calls;
  for (const Way& way : kWays) {
    SeenCalls seen;
    const Planted right(golden, way, "", &seen);
    EXPECT_LE(right.error(), 1.0) << way.name;
    EXPECT_EQ(right.wrong_tokens(), "") << way.name;
    for (const std::string& name : seen.names()) {
      calls.emplace(name, &way);
    }
  }
  return calls;
}

class PlantedMistakeTest : public ::testing::TestWithParam<std::string> {};

TEST_P(PlantedMistakeTest, OfEveryCallIsNoticed) {
  const Golden golden = load_golden(GetParam());
  for (const auto& [name, way] : calls_of(golden)) {
    EXPECT_FALSE(used_elsewhere().contains(name)) << name;
    const Planted wrong(golden, *way, name);
    const double error = wrong.error();
    std::cout << fmt::format(
        "{} {} ({}): {:.1f} of what is allowed\n", GetParam(), name, way->name, error);
    if (error < kBf16Clearly) {
      EXPECT_NE(wrong.wrong_tokens(), "")
          << name << ": its planted mistake, if there is one (planted_mistakes.cc), is not noticed";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         PlantedMistakeTest,
                         ::testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

template <class... Op>
std::vector<std::string> names_of(const std::variant<Op...>* /*any*/) {
  return {Op::kName...};
}

// Together the fixtures use all there is.
TEST(PlantedMistakeListTest, EveryOperationAndCollectiveIsUsedSomewhere) {
  std::set<std::string> used;
  for (const auto& [name, where] : used_elsewhere()) {
    used.insert(name);
  }
  for (const char* fixture :
       {"llama_d64_bf16", "qwen3moe_d128_bf16", "dsv3_bf16", "minimax_fp8", "spark_f32"}) {
    for (const auto& [name, way] : calls_of(load_golden(fixture))) {
      used.insert(name);
    }
  }
  std::vector<std::string> all = names_of(static_cast<const op::Any*>(nullptr));
  all.insert(all.end(),
             {"all_reduce_sum",
              "all_gather_columns",
              "exchange_rows",
              "broadcast",
              "all_reduce_add_rms_norm"});
  EXPECT_THAT(used, ::testing::UnorderedElementsAreArray(all));
}

}  // namespace
}  // namespace tutti::testing
