// A rank that runs alone does what rank 0 of a whole group does: the same operations of the same
// shapes, and as many collectives.
#include "backend/lone_rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "engine/ranks/ranked_model_runner.h"
#include "golden/wrapped_backend.h"

namespace tutti {
namespace {

constexpr int64_t kSequences = 3;

std::unique_ptr<RankedModelRunner> load(Backend& backend,
                                        const std::string& fixture,
                                        int ranks,
                                        int one_of) {
  ModelLoadOptions options;
  options.directory = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/" + fixture;
  options.ranks = ranks;
  options.one_of = one_of;
  options.context = 64;
  options.kv_memory = int64_t{4} << 20;
  options.max_batch_tokens = 64;
  options.max_batch_sequences = kSequences;
  options.max_logit_rows = kSequences;
  options.format = LoadFormat::kDummy;
  Result<std::unique_ptr<RankedModelRunner>> runner = RankedModelRunner::load(backend, options);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  return runner.ok() ? std::move(runner).value() : nullptr;
}

// Every sequence's prompt of `tokens`, or its one token behind 20 others.
Batch batch_of(int64_t tokens) {
  Batch batch;
  for (int64_t s = 0; s < kSequences; ++s) {
    const int64_t before = tokens == 1 ? 20 : 0;
    const auto slot = narrow<int32_t>(s);
    batch.joins.push_back({.slot = slot});
    batch.update_blocks(slot, 0, std::vector<int32_t>{2 * slot, 2 * slot + 1});
    batch.sequences.push_back({.sequence_id = static_cast<uint64_t>(s) + 1,
                               .slot = slot,
                               .sample = true,
                               .token_begin = ssize(batch.tokens.size()),
                               .token_count = tokens,
                               .context_before = before,
                               .prompt_tokens = before + tokens});
    for (int64_t i = 0; i < tokens; ++i) {
      batch.tokens.push_back(narrow<int32_t>(7 * s + i + 1));
      batch.positions.push_back(narrow<int32_t>(before + i));
    }
  }
  return batch;
}

std::vector<std::tuple<std::string, int64_t, int64_t, int64_t>> operations(
    RankedModelRunner& runner, const Batch& batch) {
  const Result<std::vector<OpTiming>> timings = runner.profile(batch);
  EXPECT_TRUE(timings.ok()) << timings.status().message();
  std::vector<std::tuple<std::string, int64_t, int64_t, int64_t>> out;
  for (const OpTiming& t : timings.value()) {
    out.emplace_back(t.op, t.calls, t.bytes, t.flops);
  }
  return out;
}

// `counts`: of rank 0.
std::unique_ptr<Backend> counting_backend(CollectiveCounts& counts,
                                          std::vector<CollectiveCounts>& others) {
  return std::make_unique<testing::WrappedBackend>(
      make_cpu_backend({.threads = 1}), [&counts, &others](RankResources& rank) {
        CollectiveCounts& mine =
            rank.tp->rank() == 0 ? counts : others[static_cast<size_t>(rank.tp->rank())];
        rank.tp = std::make_unique<CountingCommunicator>(std::move(rank.tp), mine);
        return std::move(rank.ops);
      });
}

class LoneRank : public ::testing::TestWithParam<const char*> {};

TEST_P(LoneRank, WorksLikeRank0OfAGroup) {
  for (const int of : {2, 4}) {
    SCOPED_TRACE(of);
    LoneRankReport report;
    const std::unique_ptr<Backend> lone =
        make_lone_backend(make_cpu_backend({.threads = 1}), of, report);
    const std::unique_ptr<RankedModelRunner> alone = load(*lone, GetParam(), 1, of);
    CollectiveCounts counts;
    std::vector<CollectiveCounts> others(static_cast<size_t>(of));
    const std::unique_ptr<Backend> group = counting_backend(counts, others);
    const std::unique_ptr<RankedModelRunner> together = load(*group, GetParam(), of, 0);
    ASSERT_NE(alone, nullptr);
    ASSERT_NE(together, nullptr);
    EXPECT_EQ(alone->ranks(), 1);
    for (const int64_t tokens : {1, 9}) {
      SCOPED_TRACE(tokens);
      report.collectives.clear();
      counts.clear();
      const Batch batch = batch_of(tokens);
      const auto expected = operations(*together, batch);
      EXPECT_THAT(operations(*alone, batch), ::testing::ElementsAreArray(expected));
      EXPECT_GT(expected.size(), 5U);
      EXPECT_EQ(report.collectives, counts);
      EXPECT_FALSE(counts.empty());
    }
  }
}

// What is chosen by random logits differs between layers and tokens, and is reported.
TEST(LoneRankExperts, AreChosenEvenly) {
  LoneRankReport report;
  const std::unique_ptr<Backend> lone =
      make_lone_backend(make_cpu_backend({.threads = 1}), 2, report);
  const std::unique_ptr<RankedModelRunner> runner = load(*lone, "qwen3moe_norm_f32", 1, 2);
  ASSERT_NE(runner, nullptr);
  report.watch_experts = true;
  ASSERT_TRUE(runner->profile(batch_of(9)).ok());
  ASSERT_FALSE(report.experts.empty());
  EXPECT_GT(*std::max_element(report.experts.begin(), report.experts.end()), 2)
      << "27 tokens choose more than one pair";
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    LoneRank,
    ::testing::Values("dsv3_base_f32", "dsv3_fp8", "qwen3moe_norm_f32", "llama_base_f32"),
    [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace tutti
