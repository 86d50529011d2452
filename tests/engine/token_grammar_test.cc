// The hook of grammars with a toy: a number of digits, then a fixed word, then the end. Whatever
// runs beside it, one step ahead or preempted, each output is a text of the grammar and is what the
// request gets alone.
#include "sched/token_grammar.h"

#include <random>

#include <gtest/gtest.h>

#include "engine/text_engine_fakes.h"

namespace tutti {
namespace {

constexpr int32_t kZero = 10;  // tokens 10 .. 19 are digits
const std::vector<int32_t> kWord = {100, 101, 102};

/// `digits` digits, then the word, then EOS.
class ToyGrammar final : public TokenGrammar {
 public:
  explicit ToyGrammar(int64_t digits) : digits_(digits) {}

  std::unique_ptr<GrammarState> start() const override { return std::make_unique<State>(digits_); }

  /// The tokens that may follow these; empty if these are not the beginning of a text.
  static std::vector<int32_t> next(int64_t digits, std::span<const int32_t> said) {
    for (size_t i = 0; i < said.size(); ++i) {
      const std::vector<int32_t> legal = follow(digits, static_cast<int64_t>(i));
      if (std::find(legal.begin(), legal.end(), said[i]) == legal.end()) {
        return {};
      }
    }
    return follow(digits, ssize(said.size()));
  }

 private:
  static std::vector<int32_t> follow(int64_t digits, int64_t place) {
    if (place < digits) {
      std::vector<int32_t> all;
      for (int32_t d = 0; d < 10; ++d) {
        all.push_back(kZero + d);
      }
      return all;
    }
    const auto at = static_cast<size_t>(place - digits);
    return {at < kWord.size() ? kWord[at] : kEos};
  }

  class State final : public GrammarState {
   public:
    explicit State(int64_t digits) : digits_(digits) {}

    void fill_mask(std::span<uint32_t> mask) override {
      EXPECT_TRUE(std::all_of(mask.begin(), mask.end(), [](uint32_t word) { return word == 0; }));
      EXPECT_EQ(mask.size(), (300U + 31) / 32);
      for (const int32_t token : follow(digits_, place_)) {
        mask[static_cast<size_t>(token) / 32] |= 1U << (static_cast<uint32_t>(token) % 32);
      }
    }

    bool accept(int32_t token) override {
      const std::vector<int32_t> legal = follow(digits_, place_);
      ++place_;
      return std::find(legal.begin(), legal.end(), token) != legal.end();
    }

   private:
    const int64_t digits_;
    int64_t place_ = 0;
  };

  const int64_t digits_;
};

GenerationRequest toy_request(int64_t digits, uint64_t seed) {
  GenerationRequest request = prompt();
  request.sampling.seed = seed;
  request.grammar = std::make_shared<ToyGrammar>(digits);
  return request;
}

TEST(TokenGrammar, EveryChoiceIsATextOfTheGrammar) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Harness h({});
    GenerationRequest request = toy_request(5, seed);
    request.n = 3;
    const auto sink = h.run(request);
    ASSERT_TRUE(sink->status().ok()) << sink->status().message();
    for (size_t choice = 0; choice < 3; ++choice) {
      const std::vector<int32_t> said = sink->tokens(choice);
      EXPECT_EQ(said.size(), 5 + kWord.size()) << "seed " << seed;
      EXPECT_EQ(ToyGrammar::next(5, said), (std::vector<int32_t>{kEos})) << "seed " << seed;
      EXPECT_EQ(sink->finish(choice), FinishReason::kStop);
    }
    EXPECT_NE(sink->tokens(0), sink->tokens(1)) << "each has a state of its own";
  }
}

TEST(TokenGrammar, ARunnerOfSeveralTokensYieldsOneForIt) {
  Harness h({}, {}, /*tokens_per_step=*/3);
  const auto sink = h.run(toy_request(4, 9));
  EXPECT_EQ(ToyGrammar::next(4, sink->tokens()), (std::vector<int32_t>{kEos}));
}

TEST(TokenGrammar, MaxTokensCutsIt) {
  Harness h({});
  GenerationRequest request = toy_request(6, 3);
  request.max_tokens = 4;
  const auto sink = h.run(request);
  EXPECT_EQ(sink->tokens().size(), 4U);
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
}

TEST(TokenGrammar, ATokenItDoesNotAllowEndsThatSequenceOnly) {
  Harness h({}, {kZero, kZero, 7});  // a runner that does not look at masks
  const auto bad = h.run(toy_request(5, 1));
  EXPECT_EQ(bad->status().code(), StatusCode::kInternal);
  EXPECT_EQ(bad->tokens(), (std::vector<int32_t>{kZero, kZero}));
  GenerationRequest other = prompt();
  other.max_tokens = 2;
  EXPECT_TRUE(h.run(other)->status().ok());
}

TEST(TokenGrammar, TogetherWithRulesThatLeaveNothingItEnds) {
  Harness h({});
  GenerationRequest request = toy_request(2, 1);
  request.min_tokens = 10;  // the grammar wants the end after five
  const auto sink = h.run(request);
  EXPECT_EQ(sink->status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(sink->tokens().size(), 5U);
}

/// Many at once in a small pool, with and without running ahead; others run ahead beside them.
TEST(TokenGrammar, OutputsAreThoseOfTheRequestAloneUnderPreemption) {
  constexpr int kRequests = 60;
  const uint64_t seed = 20251127;

  struct Wanted {
    GenerationRequest request;
    int64_t digits = 0;  // 0: no grammar
  };

  std::vector<Wanted> wanted;
  std::mt19937_64 rng(seed);
  for (int i = 0; i < kRequests; ++i) {
    const auto digits = static_cast<int64_t>(rng() % 3 == 0 ? 0 : 1 + rng() % 30);
    GenerationRequest request = digits == 0 ? prompt() : toy_request(digits, 0);
    request.prompt.assign(1 + rng() % 20, static_cast<int32_t>(rng() % 300));
    request.sampling.seed = rng();
    request.max_tokens = digits == 0 ? static_cast<int64_t>(1 + rng() % 40) : 60;
    wanted.push_back({std::move(request), digits});
  }
  const auto run = [&](bool ahead, int64_t blocks, size_t at_once, EngineStats& stats) {
    Harness h({});
    RunnerLimits limits = fake_limits();
    limits.num_blocks = blocks;
    h.parts.runner = std::make_unique<FakeModelRunner>(limits);
    h.parts.engine.run_ahead = ahead;
    h.start();
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (size_t i = 0; i < wanted.size(); ++i) {
      sinks.push_back(std::make_shared<RecordingSink>());
      EXPECT_TRUE(h.engine->generate(wanted[i].request, sinks.back()).ok());
      if (i + 1 >= at_once) {
        EXPECT_TRUE(sinks[i + 1 - at_once]->wait());
      }
    }
    std::vector<std::vector<int32_t>> said;
    for (const auto& sink : sinks) {
      EXPECT_TRUE(sink->wait());
      EXPECT_TRUE(sink->status().ok()) << sink->status().message();
      said.push_back(sink->tokens());
    }
    stats = h.engine->stats();
    return said;
  };
  EngineStats stats;
  const auto alone = run(/*ahead=*/false, 64, 1, stats);
  EXPECT_EQ(stats.preemptions, 0U);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].digits > 0) {
      ASSERT_EQ(ToyGrammar::next(wanted[i].digits, alone[i]), (std::vector<int32_t>{kEos}));
      ASSERT_EQ(alone[i].size(), static_cast<size_t>(wanted[i].digits) + kWord.size());
    }
  }
  for (const bool ahead : {false, true}) {
    ASSERT_EQ(run(ahead, 20, 16, stats), alone) << "ahead " << ahead << ", seed=" << seed;
    EXPECT_GT(stats.preemptions, 5U) << "ahead " << ahead;
  }
}

}  // namespace
}  // namespace tutti
