// The reference itself, against numbers worked out by hand and against identities.
#include <array>
#include <bit>
#include <cmath>

#include <gtest/gtest.h>

#include "ops/cases_attention.h"
#include "ops/expect_near.h"
#include "ops/op_case.h"
#include "ops/ref/ref_ops.h"

namespace tutti::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class RefTest : public testing::Test {
 protected:
  std::unique_ptr<Ops> ops_ = make_ref_ops();
};

TEST_F(RefTest, E4m3Values) {
  // OCP e4m3fn: bias 7, smallest subnormal 2^-9, largest 448, NaN at both ends.
  const std::array<std::pair<uint8_t, float>, 8> expected{{{0x00, 0.0F},
                                                           {0x01, 0x1p-9F},
                                                           {0x08, 0x1p-6F},
                                                           {0x38, 1.0F},
                                                           {0x3C, 1.5F},
                                                           {0x7E, 448.0F},
                                                           {0xFE, -448.0F},
                                                           {0x81, -0x1p-9F}}};
  for (const auto& [bits, value] : expected) {
    HostTensor w(DType::kF8E4M3, {1, 1});
    w.data<uint8_t>()[0] = bits;
    const HostTensor x = floats({1, 1}, {1.0F});
    const HostTensor scale = floats({1, 1}, {1.0F});
    HostTensor y(DType::kF32, {1, 1});
    ops_->linear(
        y.view(), x.view(), WeightView::e4m3_blocks(w.view(), scale.view(), {128, 128}), {});
    EXPECT_EQ(y.values()[0], value) << "bits " << int{bits};
  }
}

TEST_F(RefTest, LinearByHand) {
  const HostTensor x = floats({2, 3}, {1, 2, 3, -1, 0, 0.5F});
  const HostTensor w = floats({2, 3}, {1, 1, 1, 2, 0, -4});
  const HostTensor bias = floats({2}, {10, 20});
  HostTensor y(DType::kF32, {2, 2});
  ops_->linear(y.view(), x.view(), WeightView::dense(w.view()), bias.view());
  EXPECT_EQ(y.values(), (std::vector<float>{16, 10, 9.5F, 16}));
}

TEST_F(RefTest, ScalesOfBlocks) {
  // Columns 0..2 are a block, columns 3..4 begin the next one; rows 0..1 are a block, 2 another.
  HostTensor w(DType::kF8E4M3, {3, 5});
  w.fill([] { return 1.0F; });
  const HostTensor scales = floats({2, 2}, {1, 10, 100, 1000});
  const HostTensor x = floats({1, 5}, {1, 1, 1, 1, 1});
  HostTensor y(DType::kF32, {1, 3});
  ops_->linear(y.view(), x.view(), WeightView::e4m3_blocks(w.view(), scales.view(), {2, 3}), {});
  EXPECT_EQ(y.values(), (std::vector<float>{23, 23, 2300}));
}

TEST_F(RefTest, EmbeddingOfAnotherShardIsZero) {
  const HostTensor table = floats({2, 2}, {1, 2, 3, 4});
  const HostTensor ids = ints({9, 10, 11, 12});
  HostTensor y(DType::kF32, {4, 2});
  y.fill([] { return 7.0F; });
  ops_->embedding(y.view(), table.view(), ids.view(), 10);
  EXPECT_EQ(y.values(), (std::vector<float>{0, 0, 1, 2, 3, 4, 0, 0}));
}

TEST_F(RefTest, RmsNormByHand) {
  const HostTensor x = floats({1, 2}, {3, 4});
  const HostTensor weight = floats({2}, {1, 2});
  HostTensor y(DType::kF32, {1, 2});
  ops_->rms_norm(y.view(), x.view(), weight.view(), 0.0F);
  EXPECT_FLOAT_EQ(y.values()[0], 3.0F / std::sqrt(12.5F));
  EXPECT_FLOAT_EQ(y.values()[1], 8.0F / std::sqrt(12.5F));
}

TEST_F(RefTest, AddRmsNormIsTheComposition) {
  HostTensor residual = normal({3, 20}, 1);
  const HostTensor x = normal({3, 20}, 2);
  const HostTensor weight = normal({20}, 3);
  HostTensor sum = residual;
  HostTensor y(DType::kF32, {3, 20});
  HostTensor expected(DType::kF32, {3, 20});
  ops_->add_rms_norm(y.view(), residual.view(), x.view(), weight.view(), 1e-6F);
  ops_->add(sum.view(), x.view());
  ops_->rms_norm(expected.view(), sum.view(), weight.view(), 1e-6F);
  EXPECT_EQ(residual.values(), sum.values());
  EXPECT_EQ(y.values(), expected.values());
}

TEST_F(RefTest, RopeLayoutsByHand) {
  // Quarter turn of the first pair, half turn of the second.
  const HostTensor table = floats({1, 4}, {0, -1, 1, 0});
  HostTensor half_split = floats({1, 1, 4}, {1, 2, 3, 4});
  HostTensor interleaved = floats({1, 1, 4}, {1, 2, 3, 4});
  ops_->rope(half_split.view(), table.view(), RopeLayout::kHalfSplit);
  ops_->rope(interleaved.view(), table.view(), RopeLayout::kInterleaved);
  EXPECT_EQ(half_split.values(), (std::vector<float>{-3, -2, 1, -4}));
  EXPECT_EQ(interleaved.values(), (std::vector<float>{-2, 1, -3, -4}));
}

TEST_F(RefTest, RopeTableRoundsTheAngle) {
  const HostTensor positions = ints({0, 200000});
  const HostTensor inv_freq = floats({2}, {1.0F, 0.7498942093F});
  HostTensor table(DType::kF32, {2, 4});
  ops_->rope_table(table.view(), positions.view(), inv_freq.view(), 2.0F);
  const std::vector<float> v = table.values();
  EXPECT_EQ((std::vector<float>{v[0], v[1], v[2], v[3]}), (std::vector<float>{2, 2, 0, 0}));
  const double angle = 200000.0F * 0.7498942093F;
  EXPECT_EQ(v[5], static_cast<float>(2.0 * std::cos(angle)));
  EXPECT_EQ(v[7], static_cast<float>(2.0 * std::sin(angle)));
}

TEST_F(RefTest, EqualKeysAverageTheValues) {
  // One sequence of 3 positions in blocks 2 and 0 of size 2; the last row sees all three.
  HostTensor k(DType::kF32, {3, 2, 1});
  k.fill([] { return 1.0F; });
  const HostTensor v = floats({3, 2, 1}, {30, kNan, kNan, kNan, 10, 20});
  const HostTensor q = floats({2, 1, 1}, {5, 5});
  const HostTensor begin = ints({0, 2});
  const HostTensor before = ints({1});
  HostTensor blocks(DType::kI32, {1, 2});
  blocks.data<int32_t>()[0] = 2;
  HostTensor out(DType::kF32, {2, 1, 1});
  ops_->attention(out.view(),
                  q.view(),
                  k.view(),
                  v.view(),
                  {begin.view(), before.view(), blocks.view(), 2},
                  0.5F);
  EXPECT_FLOAT_EQ(out.values()[0], 15);
  EXPECT_FLOAT_EQ(out.values()[1], 20);
}

TEST_F(RefTest, QueryHeadsReadTheirKvHead) {
  HostTensor k(DType::kF32, {1, 1, 2});
  const HostTensor v = floats({1, 1, 2}, {7, 9});
  const HostTensor q = floats({1, 4, 1}, {1, 2, 3, 4});
  const HostTensor begin = ints({0, 1});
  const HostTensor zero = ints({0});
  const HostTensor blocks(DType::kI32, {1, 1});
  HostTensor out(DType::kF32, {1, 4, 1});
  ops_->attention(out.view(),
                  q.view(),
                  k.view(),
                  v.view(),
                  {begin.view(), zero.view(), blocks.view(), 1},
                  1.0F);
  EXPECT_EQ(out.values(), (std::vector<float>{7, 7, 9, 9}));
}

// Absorbing W_UK into the query and W_UV into the output must not change attention: with
// k_nope = W_UK c and v = W_UV c, q . k_nope = (W_UK^T q) . c and sum p v = W_UV sum p c.
TEST_F(RefTest, AbsorbedMlaEqualsExpandedMla) {
  constexpr int64_t kTokens = 5;
  constexpr int64_t kHeads = 3;
  constexpr int64_t kNope = 6;
  constexpr int64_t kRope = 4;
  constexpr int64_t kLatent = 8;
  const HostTensor w_uk = normal({kHeads, kNope, kLatent}, 1);
  const HostTensor w_uv = normal({kHeads, kNope, kLatent}, 2);
  HostTensor w_uk_transposed(DType::kF32, {kHeads, kLatent, kNope});
  for (int64_t i = 0; i < kHeads * kNope * kLatent; ++i) {
    const int64_t h = i / (kNope * kLatent);
    const int64_t n = i / kLatent % kNope;
    w_uk_transposed.set((h * kLatent + i % kLatent) * kNope + n, w_uk.data<float>()[i]);
  }
  const HostTensor cache = normal({1, kTokens, kLatent + kRope}, 3);
  const HostTensor q = normal({kTokens, kHeads, kNope + kRope}, 4);
  const ConstTensorView rows = cache.view().at(0);
  const HostTensor begin = ints({0, kTokens});
  const HostTensor zero = ints({0});
  const HostTensor blocks(DType::kI32, {1, 1});
  const AttentionBatch batch{begin.view(), zero.view(), blocks.view(), kTokens};
  constexpr float kScale = 0.3F;

  const ConstTensorView q_nope = q.view().slice(2, 0, kNope);
  const ConstTensorView q_rope = q.view().slice(2, kNope, kRope);
  HostTensor q_latent(DType::kF32, {kTokens, kHeads, kLatent});
  HostTensor out_latent(DType::kF32, {kTokens, kHeads, kLatent});
  HostTensor absorbed(DType::kF32, {kTokens, kHeads, kNope});
  ops_->batched_linear(q_latent.view(), q_nope, WeightView::dense(w_uk_transposed.view()));
  ops_->mla_attention(out_latent.view(), q_latent.view(), q_rope, cache.view(), batch, kScale);
  ops_->batched_linear(absorbed.view(), out_latent.view(), WeightView::dense(w_uv.view()));

  // The latent rows, the same for every head, times both matrices.
  const ConstTensorView latent = rows.slice(1, 0, kLatent);
  const ConstTensorView k_rope = rows.slice(1, kLatent, kRope);
  HostTensor kv(DType::kF32, {kTokens, kHeads, 2 * kNope});
  const ConstTensorView shared{
      latent.raw(), DType::kF32, {kTokens, kHeads, kLatent}, {latent.stride(0), 0, 1}};
  ops_->batched_linear(kv.view().slice(2, 0, kNope), shared, WeightView::dense(w_uk.view()));
  ops_->batched_linear(kv.view().slice(2, kNope, kNope), shared, WeightView::dense(w_uv.view()));
  HostTensor expanded(DType::kF32, {kTokens, kHeads, kNope});
  ops_->mla_expanded_attention(
      expanded.view(), q.view(), kv.view(), k_rope, batch, begin.view(), kScale);
  expect_near(absorbed.values(), expanded.values(), sum_tolerance(kLatent * kNope));
}

TEST_F(RefTest, WrittenRowsAreGathered) {
  const HostTensor x = normal({5, 3}, 1);
  const HostTensor slots = ints({6, 7, 0, 1, 2});  // blocks 3 and 0 and 1 of size 2
  HostTensor cache(DType::kF32, {4, 2, 3});
  ops_->write_kv(cache.view(), x.view(), slots.view());
  HostTensor blocks(DType::kI32, {1, 3});
  blocks.data<int32_t>()[0] = 3;
  blocks.data<int32_t>()[2] = 1;
  const HostTensor begin = ints({0, 2});
  const HostTensor before = ints({3});
  const HostTensor key_begin = ints({0, 5});
  HostTensor y(DType::kF32, {5, 3});
  ops_->gather_kv(
      y.view(), cache.view(), {begin.view(), before.view(), blocks.view(), 2}, key_begin.view());
  EXPECT_EQ(y.values(), x.values());
}

// Split at every place into three, with ties over the seams and values that make no choice.
TEST_F(RefTest, ArgmaxOfShardsIsArgmaxOfTheWhole) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr int64_t kWidth = 6;
  const std::vector<std::vector<float>> rows = {
      {1, 3, 3, 2, 3, 0},
      {-kInfinity, -kInfinity, -5, -kInfinity, -5, -kInfinity},
      {-kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity},
      {0, 1, std::numeric_limits<float>::quiet_NaN(), 7, 2, 3},
      {0, 1, 2, 3, 4, kInfinity}};
  for (std::vector<float> row : rows) {
    const TensorView logits(row.data(), DType::kF32, {1, kWidth});
    for (int64_t limit = 1; limit <= kWidth; ++limit) {
      int32_t want = 0;
      ops_->argmax({&want, DType::kI32, {1}}, logits, limit);
      for (int64_t a = 0; a <= kWidth; ++a) {
        for (int64_t b = a; b <= kWidth; ++b) {
          std::vector<float> best(6);
          const TensorView all(best.data(), DType::kF32, {1, 6});
          const std::array<int64_t, 4> cuts{0, a, b, kWidth};
          for (size_t s = 0; s < 3; ++s) {
            ops_->shard_argmax({.best = all.slice(1, 2 * ssize(s), 2),
                                .logits = logits.slice(1, cuts[s], cuts[s + 1] - cuts[s]),
                                .first_id = cuts[s],
                                .limit = limit});
          }
          int32_t got = 0;
          ops_->merge_argmax({.tokens = {&got, DType::kI32, {1}}, .best = all});
          ASSERT_EQ(got, want) << "limit " << limit << ", cuts " << a << " and " << b;
        }
      }
    }
  }
}

TEST_F(RefTest, MoePermuteByHand) {
  HostTensor experts(DType::kI32, {3, 2});
  const std::vector<int32_t> chosen{2, 0, 0, 2, 3, 2};
  std::copy(chosen.begin(), chosen.end(), experts.data<int32_t>());
  HostTensor row_token(DType::kI32, {6});
  HostTensor pair_row(DType::kI32, {3, 2});
  HostTensor offsets(DType::kI32, {5});
  ops_->moe_permute(row_token.view(), pair_row.view(), offsets.view(), experts.view());
  EXPECT_EQ(offsets.ints(), (std::vector<int32_t>{0, 2, 2, 5, 6}));
  EXPECT_EQ(row_token.ints(), (std::vector<int32_t>{0, 1, 0, 1, 2, 2}));
  EXPECT_EQ(pair_row.ints(), (std::vector<int32_t>{2, 0, 1, 3, 5, 4}));
}

class RouterTest : public RefTest {
 protected:
  void route(const std::vector<float>& logits,
             const std::vector<float>& bias,
             const RouterParams& params) {
    const HostTensor logit_tensor = floats({1, ssize(logits.size())}, logits);
    const HostTensor bias_tensor = floats({ssize(bias.size())}, bias);
    HostTensor experts(DType::kI32, {1, params.top_k});
    HostTensor weights(DType::kF32, {1, params.top_k});
    ops_->moe_route(experts.view(),
                    weights.view(),
                    logit_tensor.view(),
                    bias.empty() ? ConstTensorView{} : bias_tensor.view(),
                    params);
    experts_ = experts.ints();
    weights_ = weights.values();
  }

  std::vector<int32_t> experts_;
  std::vector<float> weights_;
};

// Scores sigmoid(logits), groups of two with biased sums 0.97056, 1.421147, 1.274813, 0.238406.
TEST_F(RouterTest, GroupLimitChangesTheChoice) {
  const std::vector<float> logits{3, -4, 0.5F, 0.4F, 0.2F, 0.1F, -2, -2};
  const std::vector<float> bias{0, 0, 0.1F, 0.1F, 0.1F, 0.1F, 0, 0};
  route(logits, bias, {.top_k = 2, .num_groups = 4, .top_groups = 2, .scale = 2.5F});
  EXPECT_EQ(experts_, (std::vector<int32_t>{2, 3}));
  EXPECT_NEAR(weights_[0], 1.274333, 2e-6);
  EXPECT_NEAR(weights_[1], 1.225667, 2e-6);
  route(logits, bias, {.top_k = 2, .scale = 2.5F});
  EXPECT_EQ(experts_, (std::vector<int32_t>{0, 2}));
  EXPECT_NEAR(weights_[0], 1.51199, 1e-5);
  EXPECT_NEAR(weights_[1], 0.98801, 1e-5);
}

TEST_F(RouterTest, SoftmaxWithoutNormalising) {
  route({0, std::log(2.0F), std::log(5.0F)},
        {},
        {.scoring = RouterScoring::kSoftmax, .top_k = 2, .normalize = false});
  EXPECT_EQ(experts_, (std::vector<int32_t>{2, 1}));
  EXPECT_FLOAT_EQ(weights_[0], 0.625F);
  EXPECT_FLOAT_EQ(weights_[1], 0.25F);
}

TEST_F(RouterTest, TiesGoToTheLowerExpert) {
  route({1, 2, 2, 1, 2}, {}, {.top_k = 4});
  EXPECT_EQ(experts_, (std::vector<int32_t>{1, 2, 4, 0}));
}

TEST_F(RouterTest, NanCountsAsMinusInfinity) {
  for (const RouterScoring scoring : {RouterScoring::kSigmoid, RouterScoring::kSoftmax}) {
    route({kNan, 1, kNan, 0}, {}, {.scoring = scoring, .top_k = 3});
    EXPECT_EQ(experts_, (std::vector<int32_t>{1, 3, 0}));
    EXPECT_EQ(weights_[2], 0.0F);
    route({kNan, kNan, kNan, kNan},
          {kNan, 0, 0, 0},
          {.scoring = scoring, .top_k = 2, .num_groups = 2, .top_groups = 1});
    EXPECT_EQ(experts_, (std::vector<int32_t>{2, 3}));
    EXPECT_TRUE(std::isfinite(weights_[0]) && std::isfinite(weights_[1]));
  }
}

}  // namespace
}  // namespace tutti::test
