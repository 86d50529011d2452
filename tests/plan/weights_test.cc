// Planned bytes against what loading really takes, and against headers on disk.
#include <gmock/gmock.h>

#include "backend/cpu_backend.h"
#include "engine/ranks/ranked_model_runner.h"
#include "plan/rank_need.h"

namespace tutti {
namespace {

constexpr const char* kFixtures[] = {"dsv3_bf16",
                                     "dsv3_fp8",
                                     "llama_tied_f32",
                                     "qwen2_d64_bf16",
                                     "qwen3_fp8",
                                     "qwen3moe_fp8",
                                     "qwen3moe_mixed_f32"};

std::string directory(const std::string& fixture) {
  return std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/" + fixture;
}

ModelFacts facts(const std::string& fixture) {
  Result<ModelFacts> facts = facts_of_directory(directory(fixture), *Catalogue::load());
  EXPECT_TRUE(facts.ok()) << facts.status().message();
  return std::move(facts).value();
}

TEST(PlannedWeights, AreWhatLoadingTakes) {
  for (const char* fixture : kFixtures) {
    for (const int ranks : {1, 2}) {
      const Result<SplitNeed> need = split_need(facts(fixture), ranks, {}, DType::kF32);
      ASSERT_TRUE(need.ok()) << need.status().message();
      int64_t planned = 0;
      for (const RankNeed& rank : need->ranks) {
        planned += rank.weights.total();
      }
      const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
      ModelLoadOptions options;
      options.directory = directory(fixture);
      options.ranks = ranks;
      const auto runner = RankedModelRunner::load(*backend, options);
      ASSERT_TRUE(runner.ok()) << runner.status().message();
      EXPECT_EQ(planned, (*runner)->weight_bytes()) << fixture << ", " << ranks << " ranks";
      EXPECT_EQ((*runner)->memory().weights, planned) << fixture << ", " << ranks << " ranks";
      EXPECT_EQ(need->ranks.front().kv_token_bytes * ranks, (*runner)->kv_bytes_per_token());
    }
  }
}

// The files of these fixtures are as their families publish them.
TEST(PlannedWeights, OfAConfigAloneEqualThoseOfHeaders) {
  for (const char* fixture : {"dsv3_bf16",
                              "dsv3_fp8",
                              "qwen2_d64_bf16",
                              "qwen3_fp8",
                              "qwen3moe_d128_bf16",
                              "qwen3moe_fp8"}) {
    const ModelFacts headers = facts(fixture);
    ModelFacts alone = headers;
    alone.tensors.reset();
    for (const int ranks : {1, 2}) {
      const Result<SplitNeed> a = split_need(headers, ranks, {}, DType::kBF16);
      const Result<SplitNeed> b = split_need(alone, ranks, {}, DType::kBF16);
      ASSERT_TRUE(a.ok() && b.ok()) << b.status().message();
      for (size_t r = 0; r < a->ranks.size(); ++r) {
        EXPECT_EQ(a->ranks[r].weights.total(), b->ranks[r].weights.total()) << fixture;
      }
    }
  }
}

TEST(PlannedWeights, RanksThatAreCutAlikeAreCountedAlike) {
  // A vocabulary of odd size gives ranks of different size, which must not share a count.
  const ModelFacts model = facts("qwen2_d64_bf16");
  const Result<SplitNeed> two = split_need(model, 2, {}, DType::kF32);
  ASSERT_TRUE(two.ok());
  for (int rank = 0; rank < 2; ++rank) {
    const auto worker = RankWorker::create(model.config, {}, rank, 2);
    ASSERT_TRUE(worker.ok());
    const Result<LoadPlan> plan = (*worker)->plan(model.tensors.get(), model.config.quant);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(two->ranks[static_cast<size_t>(rank)].weights.total(), plan->weight_bytes);
  }
}

}  // namespace
}  // namespace tutti
