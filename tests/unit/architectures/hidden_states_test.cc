// Hidden states of a step and the logits made from them, of real architectures. What the numbers
// are is the golden tests' business.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "architectures/registry.h"
#include "loader/checkpoint.h"
#include "unit/nn/lone_rank.h"

namespace tutti {
namespace {

using ::testing::ElementsAreArray;
using testing::LoneRank;
using testing::values;

std::vector<float> row(ConstTensorView x, int64_t index) {
  return values(x.at(index));
}

class HiddenStatesTest : public ::testing::TestWithParam<const char*> {};

TEST_P(HiddenStatesTest, RowsAgreeAndLogitsFollow) {
  const std::string folder = std::string(TUTTI_SOURCE_DIR "/tests/golden/fixtures/") + GetParam();
  const HfConfig config = HfConfig::load(folder).value();
  LoneRank rank(0, 1);
  const std::unique_ptr<CausalLm> model = make_model(config, rank.scope(), {}).value();
  rank.load(*Checkpoint::open(folder).value());
  const KvCache kv = KvCache::create(rank.device(), model->info().kv, 2, 4).value();

  // Five tokens of one sequence in blocks 1 and 0.
  StepInputs in;
  in.tokens = rank.ints({5}, {11, 3, 20, 7, 3});
  in.positions = rank.ints({5}, {0, 1, 2, 3, 4});
  in.kv_places = rank.ints({5}, {4, 5, 6, 7, 0});
  in.attention = {.query_begin = rank.ints({2}, {0, 5}),
                  .context_before = rank.ints({1}, {0}),
                  .block_table = rank.ints({1, 2}, {1, 0}),
                  .block_size = 4,
                  .max_queries = 5,
                  .max_keys = 5};
  in.key_begin = rank.ints({2}, {0, 5});
  in.total_keys = 5;
  in.logit_rows = rank.ints({2}, {4, 1});
  const StepContext ctx{rank.context(), kv, in};

  const TensorView all = model->forward(ctx, HiddenRows::kAll);
  const TensorView wanted = model->forward(ctx, HiddenRows::kLogitRows);
  ASSERT_EQ(all.dim(0), 5);
  ASSERT_EQ(wanted.dim(0), 2);
  EXPECT_THAT(row(wanted, 0), ElementsAreArray(row(all, 4)));
  EXPECT_THAT(row(wanted, 1), ElementsAreArray(row(all, 1)));

  // Heads need no step.
  const ComputeContext& alone = rank.context();
  const TensorView all_logits = model->logits(alone, all);
  const TensorView logits = model->logits(alone, wanted);
  EXPECT_EQ(logits.dim(1), model->info().vocab_size);
  EXPECT_THAT(row(logits, 0), ElementsAreArray(row(all_logits, 4)));
  EXPECT_THAT(row(logits, 1), ElementsAreArray(row(all_logits, 1)));

  // After the final norm: without its weight a row's mean square is 1.
  const std::vector<float> weight = rank.param("model.norm.weight");
  for (int64_t t = 0; t < 5; ++t) {
    const std::vector<float> hidden = row(all, t);
    ASSERT_EQ(hidden.size(), weight.size());
    double sum = 0.0;
    for (size_t i = 0; i < hidden.size(); ++i) {
      const double x = double{hidden[i]} / double{weight[i]};
      sum += x * x;
    }
    EXPECT_NEAR(sum / static_cast<double>(hidden.size()), 1.0, 1e-2) << "token " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         HiddenStatesTest,
                         ::testing::Values("llama_base_f32", "qwen2_tied_f32", "dsv3_base_f32"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace tutti
