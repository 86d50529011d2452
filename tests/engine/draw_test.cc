// Ops::draw, which devices use, against the sampler of the host: the same token from the same seed.
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "engine/random.h"
#include "engine/sampler.h"
#include "ops/ref/ref_ops.h"

namespace tutti {
namespace {

constexpr int64_t kVocab = 2000;

class DrawTest : public ::testing::Test {
 protected:
  int32_t drawn(std::vector<float>& logits, const SampleRow& row) {
    const uint64_t uniform = uniform_units(row.params.seed, row.choice, row.output_position);
    std::array<int32_t, 6> words{};
    const DrawParams params{.temperature = row.params.temperature,
                            .top_k = row.params.top_k,
                            .top_p = row.params.top_p,
                            .min_p = row.params.min_p,
                            .uniform_low = static_cast<uint32_t>(uniform),
                            .uniform_high = static_cast<uint32_t>(uniform >> 32U)};
    std::memcpy(words.data(), &params, sizeof params);
    int32_t token = -2;
    ops_->draw(TensorView(&token, DType::kI32, {1}),
               TensorView(logits.data(), DType::kF32, {1, ssize(logits.size())}),
               kVocab,
               TensorView(words.data(), DType::kI32, {1, 6}));
    return token;
  }

  std::unique_ptr<Ops> ops_ = make_ref_ops();
  SamplerScratch scratch_;
};

TEST_F(DrawTest, TheSameTokenAsTheSampler) {
  constexpr int kTrials = 2000;
  std::mt19937 random(20251125);
  std::vector<float> logits(usize(kVocab) + 8, 50.0F);  // ids beyond the limit are never drawn
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    const bool ties = trial % 3 == 0;
    std::normal_distribution<float> normal(0.0F, std::array{0.5F, 2.0F, 6.0F}[usize(trial % 3)]);
    for (int64_t i = 0; i < kVocab; ++i) {
      logits[usize(i)] = ties ? std::round(normal(random)) : normal(random);
    }
    SampleRow row;
    row.params = {.temperature = std::array{0.0F, 0.6F, 1.0F, 2.0F}[random() % 4],
                  .top_k = std::array{0, 1, 20, 1000}[random() % 4],
                  .top_p = std::array{1.0F, 0.95F, 0.5F, 0.01F}[random() % 4],
                  .min_p = std::array{0.0F, 0.0F, 0.1F}[random() % 3],
                  .seed = random()};
    row.output_position = trial;
    const Result<SampledToken> wanted = sample(logits, kVocab, row, scratch_);
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    ASSERT_EQ(drawn(logits, row), wanted->token);
  }
}

TEST_F(DrawTest, TheSamplersLogProbabilities) {
  constexpr int kTrials = 500;
  constexpr int32_t kTop = 20;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::mt19937 random(20251126);
  std::vector<float> logits(usize(kVocab) + 8, 50.0F);
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    std::normal_distribution<float> normal(0.0F, 3.0F);
    const auto likely = static_cast<int64_t>(trial % 5 == 4 ? 7 : kVocab);
    for (int64_t i = 0; i < kVocab; ++i) {
      const float x = normal(random);
      logits[usize(i)] = i >= likely ? -kInfinity : trial % 3 == 0 ? std::round(x) : x;
    }
    SampleRow row;
    row.params = {.seed = random(), .top_logprobs = std::array{0, 5, kTop}[usize(trial % 3)]};
    const Result<SampledToken> wanted = sample(logits, kVocab, row, scratch_);
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    std::array<int32_t, kTop> ids{};
    std::array<float, 1 + kTop> values{};
    ops_->log_probs(TensorView(ids.data(), DType::kI32, {1, kTop}),
                    TensorView(values.data(), DType::kF32, {1, 1 + kTop}),
                    ConstTensorView(&wanted->token, DType::kI32, {1}),
                    TensorView(logits.data(), DType::kF32, {1, ssize(logits.size())}),
                    kVocab,
                    ConstTensorView(&row.params.top_logprobs, DType::kI32, {1}));
    EXPECT_EQ(values[0], wanted->logprob);
    for (size_t j = 0; j < usize(row.params.top_logprobs); ++j) {
      const bool there = j < wanted->top.size();
      ASSERT_EQ(ids[j], there ? wanted->top[j].token : -1);
      ASSERT_EQ(values[1 + j], there ? wanted->top[j].logprob : -kInfinity);
    }
  }
}

TEST_F(DrawTest, NothingFromUnusableLogits) {
  SampleRow row;
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits(usize(kVocab), 0.0F);
    logits[77] = bad;
    EXPECT_EQ(drawn(logits, row), -1);
  }
  std::vector<float> forbidden(usize(kVocab), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(drawn(forbidden, row), -1);
}

}  // namespace
}  // namespace tutti
