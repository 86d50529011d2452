// Modules without a KV cache and without a step: what an encoder or a vision tower does with them.
#include "nn/compute_context.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loader/checkpoint.h"
#include "nn/embedding.h"
#include "nn/moe.h"
#include "nn/residual.h"
#include "unit/loader/checkpoint_files.h"
#include "unit/nn/lone_rank.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using testing::LoneRank;
using testing::make_tensor;
using testing::safetensors;
using testing::TempDir;
using testing::TestTensor;
using testing::values;

double silu(double z) {
  return z / (1.0 + std::exp(-z));
}

class ComputeContextTest : public ::testing::Test {
 protected:
  const Checkpoint& checkpoint(const std::vector<TestTensor>& tensors) {
    dir_.write("model.safetensors", safetensors(tensors));
    checkpoint_ = Checkpoint::open(dir_.path()).value();
    return *checkpoint_;
  }

 private:
  TempDir dir_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

std::vector<TestTensor> mlp_tensors(const std::string& prefix) {
  return {make_tensor(prefix + "gate_proj.weight", "F32", {2, 2}, {1, 0, 0, -0.5F}),
          make_tensor(prefix + "up_proj.weight", "F32", {2, 2}, {0, 1, 1, 1}),
          make_tensor(prefix + "down_proj.weight", "F32", {2, 2}, {1, 2, -2, 1})};
}

/// The MLP above of (1, 14).
std::vector<double> mlp_by_hand() {
  const double first = silu(1) * 14;
  const double second = silu(-7) * 15;
  return {first + 2 * second, -2 * first + second};
}

TEST_F(ComputeContextTest, BlockByHand) {
  LoneRank rank(0, 1);
  const StreamNorm norm(rank.scope() / "norm", 2, 0.0, NormKind::kRms);
  const GatedMlp mlp(rank.scope() / "mlp", {.hidden = 2, .width = 2});
  const StreamNorm last(rank.scope() / "last", 2, 0.0, NormKind::kRms);
  std::vector<TestTensor> tensors = mlp_tensors("mlp.");
  tensors.push_back(make_tensor("norm.weight", "F32", {2}, {5, 10}));
  tensors.push_back(make_tensor("last.weight", "F32", {2}, {1, 1}));
  rank.load(checkpoint(tensors));

  const ComputeContext& ctx = rank.context();
  Residual h(ctx, rank.floats({1, 2}, {1, 7}));  // sqrt(mean(h^2)) = 5
  const TensorView x = h.norm(ctx, norm);
  EXPECT_THAT(values(x), ElementsAre(FloatEq(1), FloatEq(14)));

  const std::vector<double> y = mlp_by_hand();
  mlp.into(h.add_later(), ctx, x);
  const double a = 1 + y[0];
  const double b = 7 + y[1];
  const double rms = std::sqrt((a * a + b * b) / 2);
  EXPECT_THAT(
      values(h.norm(ctx, last)),
      ElementsAre(FloatEq(static_cast<float>(a / rms)), FloatEq(static_cast<float>(b / rms))));
}

TEST_F(ComputeContextTest, PartsOfRanksAddUp) {
  std::vector<TestTensor> tensors = mlp_tensors("");
  tensors.push_back(make_tensor("gate_proj.bias", "F32", {2}, {0, 0}));
  tensors.push_back(make_tensor("up_proj.bias", "F32", {2}, {0, 0}));
  tensors.push_back(make_tensor("down_proj.bias", "F32", {2}, {100, 200}));
  std::vector<double> sum(2, 0.0);
  for (int r = 0; r < 2; ++r) {
    LoneRank rank(r, 2);
    const GatedMlp mlp(rank.scope(), {.hidden = 2, .width = 2, .bias = true});
    rank.load(checkpoint(tensors));
    const TensorView part = mlp(rank.context(), rank.floats({1, 2}, {1, 14}));
    sum[0] += values(part)[0];
    sum[1] += values(part)[1];
  }
  const std::vector<double> whole = mlp_by_hand();
  EXPECT_NEAR(sum[0], whole[0] + 100, 1e-4);
  EXPECT_NEAR(sum[1], whole[1] + 200, 1e-4);
}

TEST_F(ComputeContextTest, MixtureOfOneExpertIsItsMlp) {
  LoneRank rank(0, 1);
  const Moe moe(rank.scope() / "moe", {.hidden = 2, .experts = 1, .expert_width = 2});
  std::vector<TestTensor> tensors = mlp_tensors("moe.experts.0.");
  tensors.push_back(make_tensor("moe.gate.weight", "F32", {1, 2}, {0.5F, 0}));
  rank.load(checkpoint(tensors));

  const TensorView y = rank.context().alloc({1, 2});
  moe.into(y, rank.context(), rank.floats({1, 2}, {1, 14}));
  EXPECT_NEAR(values(y)[0], mlp_by_hand()[0], 1e-5);
  EXPECT_NEAR(values(y)[1], mlp_by_hand()[1], 1e-5);
}

TEST_F(ComputeContextTest, EmbeddingOfAnyIds) {
  LoneRank rank(0, 1);
  const VocabParallelEmbedding table(rank.scope(), 3, 2);
  rank.load(checkpoint({make_tensor("weight", "F32", {3, 2}, {1, 2, 3, 4, 5, 6})}));

  const TensorView rows = table(rank.context(), rank.ints({2}, {2, 0}));
  EXPECT_THAT(values(rows), ElementsAre(5, 6, 1, 2));
  EXPECT_THAT(values(table.logits(rank.context(), rows)), ElementsAre(17, 39, 61, 5, 11, 17));
}

}  // namespace
}  // namespace tutti
