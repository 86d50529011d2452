// Rules, masks and penalties against an implementation that follows the definitions word for word.
#include "engine/logit_adjust.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "engine/sampler.h"

namespace tutti {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// Whether `token` would complete one of the words, looked at from its end.
bool completes_bad_word(int32_t token, const LogitRules& rules, const std::vector<int32_t>& said) {
  std::vector<int32_t> text = said;
  text.push_back(token);
  for (const std::vector<int32_t>& word : rules.bad_words) {
    if (word.size() <= text.size() &&
        std::vector<int32_t>(text.end() - static_cast<ptrdiff_t>(word.size()), text.end()) ==
            word) {
      return true;
    }
  }
  return false;
}

/// One token at a time, all of the definition for each.
std::vector<float> by_definition(const std::vector<float>& logits,
                                 const SampleRow& row,
                                 const std::vector<uint32_t>& mask) {
  std::vector<float> out = logits;
  for (int32_t token = 0; token < static_cast<int32_t>(logits.size()); ++token) {
    float& logit = out[static_cast<size_t>(token)];
    const auto word = static_cast<size_t>(token) / 32;
    bool forbidden =
        !mask.empty() && (word >= mask.size() || (mask[word] >> (token % 32) & 1U) == 0);
    if (row.rules != nullptr) {
      const LogitRules& rules = *row.rules;
      forbidden |= !rules.allowed.empty() && !contains(rules.allowed, token);
      forbidden |= row.output_position < rules.min_tokens && contains(rules.end_ids, token);
      forbidden |= completes_bad_word(token, rules, row.output_tokens);
      for (const LogitBias& b : rules.bias) {
        logit += b.token == token ? b.bias : 0.0F;
      }
    }
    const auto said = std::count(row.output_tokens.begin(), row.output_tokens.end(), token);
    const SamplingParams& p = row.params;
    if (said > 0 || contains(row.prompt_tokens, token)) {
      logit = logit > 0 ? logit / p.repetition_penalty : logit * p.repetition_penalty;
    }
    if (said > 0) {
      logit -= p.frequency_penalty * static_cast<float>(said) + p.presence_penalty;
    }
    logit = forbidden ? -kInf : logit;
  }
  return out;
}

class World {
 public:
  explicit World(uint64_t seed) : rng_(seed) {}

  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(rng_() % static_cast<uint64_t>(high - low + 1));
  }

  bool chance(int64_t percent) { return pick(1, 100) <= percent; }

  std::vector<int32_t> ids(int64_t most, int64_t vocab) {
    std::vector<int32_t> out(static_cast<size_t>(pick(0, most)));
    for (int32_t& id : out) {
      id = static_cast<int32_t>(pick(0, vocab - 1));
    }
    return out;
  }

  std::vector<float> logits(int64_t vocab) {
    std::vector<float> out(static_cast<size_t>(vocab));
    std::normal_distribution<float> normal(0.0F, 4.0F);
    for (float& logit : out) {
      logit = chance(3) ? -kInf : normal(rng_);
    }
    return out;
  }

  LogitRulesPtr rules(int64_t vocab) {
    LogitRules rules;
    if (chance(40)) {
      rules.allowed = ids(vocab, vocab);
    }
    if (chance(60)) {
      std::map<int32_t, float> bias;
      for (const int32_t id : ids(20, vocab + 3)) {  // some beyond the row
        bias[id] = static_cast<float>(pick(-100, 100));
      }
      for (const auto& [token, value] : bias) {
        rules.bias.push_back({.token = token, .bias = value});
      }
    }
    rules.min_tokens = pick(0, 8);
    rules.end_ids = ids(4, vocab + 3);
    for (int64_t i = pick(0, 6); i > 0; --i) {
      std::vector<int32_t> word = ids(2, vocab);
      word.push_back(static_cast<int32_t>(pick(0, vocab - 1)));
      rules.bad_words.push_back(std::move(word));
    }
    return std::make_shared<const LogitRules>(std::move(rules));
  }

  SampleRow row(int64_t vocab) {
    SampleRow row;
    row.rules = chance(80) ? rules(vocab) : nullptr;
    row.output_tokens = ids(12, vocab);
    row.output_position = static_cast<int64_t>(row.output_tokens.size());
    if (chance(50)) {
      row.params.repetition_penalty = chance(50) ? 1.3F : 0.7F;
      row.params.frequency_penalty = chance(50) ? 0.4F : 0.0F;
      row.params.presence_penalty = chance(50) ? -0.3F : 0.0F;
      row.prompt_tokens = ids(12, vocab);
    } else {
      row.params = {};
    }
    return row;
  }

  std::vector<uint32_t> mask(int64_t vocab) {
    std::vector<uint32_t> out;
    if (chance(50)) {
      // Now and then a word short, which forbids what it does not reach.
      out.resize(static_cast<size_t>((vocab + 31) / 32 - (chance(10) && vocab > 32 ? 1 : 0)));
      for (uint32_t& word : out) {
        word = chance(30) ? 0 : chance(30) ? ~uint32_t{0} : static_cast<uint32_t>(rng_());
      }
    }
    return out;
  }

 private:
  std::mt19937_64 rng_;
};

TEST(LogitAdjust, IsWhatTheDefinitionsSay) {
  const uint64_t seed = 20251126;
  World world(seed);
  LogitAdjustScratch scratch;  // one for all rows: nothing may be left behind
  int64_t forbidden = 0;
  int64_t completed = 0;
  for (int i = 0; i < 4000; ++i) {
    const int64_t vocab = world.pick(1, 100);
    const std::vector<float> logits = world.logits(vocab);
    const SampleRow row = world.row(vocab);
    const std::vector<uint32_t> mask = world.mask(vocab);
    const std::vector<float> want = by_definition(logits, row, mask);
    if (!wants_adjusting(row, mask)) {
      ASSERT_EQ(want, logits) << "row " << i << ", seed=" << seed;
      continue;
    }
    const std::span<const float> got = adjust_logits(logits, row, mask, scratch);
    ASSERT_EQ(std::vector<float>(got.begin(), got.end()), want) << "row " << i << ", seed=" << seed;
    forbidden += std::count(want.begin(), want.end(), -kInf);
    for (int32_t t = 0; row.rules != nullptr && t < static_cast<int32_t>(vocab); ++t) {
      completed += completes_bad_word(t, *row.rules, row.output_tokens) ? 1 : 0;
    }
  }
  EXPECT_GT(forbidden, 10000);
  EXPECT_GT(completed, 1000);
}

TEST(LogitAdjust, WhatIsForbiddenIsNeverDrawnAndScoresStayThoseOfTheModel) {
  const uint64_t seed = 7;
  World world(seed);
  SamplerScratch scratch;
  int64_t refused = 0;
  int64_t drawn = 0;
  for (int i = 0; i < 4000; ++i) {
    const int64_t vocab = world.pick(2, 100);
    const std::vector<float> logits = world.logits(vocab);
    SampleRow row = world.row(vocab);
    row.params.temperature = world.chance(40) ? 0.0F : 2.0F;
    row.params.top_k = world.chance(30) ? 5 : 0;
    row.params.seed = static_cast<uint64_t>(i);
    row.params.top_logprobs = 2;
    const std::vector<uint32_t> mask = world.mask(vocab);
    const std::vector<float> want = by_definition(logits, row, mask);
    const auto token = sample(logits, vocab, row, scratch, mask);
    if (!token.ok()) {
      EXPECT_EQ(*std::max_element(want.begin(), want.end()), -kInf) << "seed=" << seed;
      const bool model = *std::max_element(logits.begin(), logits.end()) == -kInf;
      EXPECT_EQ(token.status().code(),
                model ? StatusCode::kInternal : StatusCode::kInvalidArgument);
      ++refused;
      continue;
    }
    ++drawn;
    ASSERT_GT(want[static_cast<size_t>(token->token)], -kInf) << "row " << i << ", seed=" << seed;
    double sum = 0.0;
    for (const float logit : logits) {
      sum += std::exp(static_cast<double>(logit));
    }
    ASSERT_NEAR(token->logprob, logits[static_cast<size_t>(token->token)] - std::log(sum), 1e-4)
        << "row " << i << ", seed=" << seed;
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(drawn, 2000);
}

TEST(LogitAdjust, TheBiasComesBeforeThePenalties) {
  // 1 + 3 = 4, halved: 2. The other way round it would be 3.5.
  LogitRules rules;
  rules.bias = {{.token = 0, .bias = 3.0F}};
  SampleRow row;
  row.params.repetition_penalty = 2.0F;
  row.output_tokens = {0};
  row.rules = std::make_shared<const LogitRules>(rules);
  LogitAdjustScratch scratch;
  EXPECT_EQ(adjust_logits(std::vector<float>{1.0F, 0.0F}, row, {}, scratch)[0], 2.0F);
}

TEST(LogitAdjust, NoSumOverflows) {
  LogitRules rules;
  rules.bias = {{.token = 0, .bias = 100.0F}, {.token = 1, .bias = -100.0F}};
  SampleRow row;
  row.rules = std::make_shared<const LogitRules>(rules);
  LogitAdjustScratch scratch;
  const float most = std::numeric_limits<float>::max();
  const auto out = adjust_logits(std::vector<float>{most, -most}, row, {}, scratch);
  EXPECT_TRUE(std::isfinite(out[0]));
  EXPECT_TRUE(out[1] < 0 && !std::isnan(out[1]));
}

TEST(LogitAdjust, ARowWithRulesIsNotLeftToTheDevice) {
  SampleRow row;
  row.params.temperature = 0.0F;
  EXPECT_TRUE(row.plain());
  LogitRules rules;
  rules.min_tokens = 1;
  rules.end_ids = {3};
  row.rules = std::make_shared<const LogitRules>(rules);
  EXPECT_FALSE(row.plain());
}

}  // namespace
}  // namespace tutti
