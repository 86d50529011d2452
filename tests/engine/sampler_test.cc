#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "engine/random.h"

namespace tutti {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SampleRow row_with(const SamplingParams& params) {
  SampleRow row;
  row.params = params;
  return row;
}

int32_t pick(const std::vector<float>& logits, const SampleRow& row) {
  SamplerScratch scratch;
  auto token = sample(logits, static_cast<int64_t>(logits.size()), row, scratch);
  EXPECT_TRUE(token.ok()) << token.status().message();
  return token.ok() ? token->token : -1;
}

/// Exact probabilities by the definition: full sort, double arithmetic, one filter at a time.
std::vector<double> exact(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::vector<double> p(logits.size());
  for (const size_t i : order) {
    p[i] = std::exp((static_cast<double>(logits[i]) - logits[order[0]]) / params.temperature);
  }
  const auto normalise = [&] {
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& v : p) {
      v /= sum;
    }
  };
  const auto keep = [&](size_t count) {
    for (size_t i = count; i < order.size(); ++i) {
      p[order[i]] = 0.0;
    }
    normalise();
  };
  keep(params.top_k > 0 ? std::min(static_cast<size_t>(params.top_k), p.size()) : p.size());
  double sum = 0.0;
  size_t nucleus = 0;
  while (nucleus < p.size() && (nucleus == 0 || sum < static_cast<double>(params.top_p))) {
    sum += p[order[nucleus++]];
  }
  keep(params.top_p < 1.0F ? nucleus : p.size());
  const double best = p[order[0]];
  for (double& v : p) {
    v = v < best * static_cast<double>(params.min_p) ? 0.0 : v;
  }
  normalise();
  return p;
}

/// Pearson's test of 8000 draws against exact probabilities; the bound is about the 1 - 1e-6
/// quantile (Wilson-Hilferty), and the seeds are fixed.
void expect_distribution(const std::vector<float>& logits, const SamplingParams& params) {
  constexpr int kDraws = 8000;
  const std::vector<double> p = exact(logits, params);
  std::vector<int> counts(logits.size(), 0);
  SamplerScratch scratch;
  SampleRow row = row_with(params);
  for (int i = 0; i < kDraws; ++i) {
    row.output_position = i;
    const auto token = sample(logits, static_cast<int64_t>(logits.size()), row, scratch);
    ASSERT_TRUE(token.ok());
    ++counts[static_cast<size_t>(token->token)];
  }
  double chi2 = 0.0;
  double rest_expected = 0.0;
  double rest_count = 0.0;
  int cells = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0.0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was filtered out";
    } else if (p[i] * kDraws < 5.0) {  // pooled: the test needs cells of some size
      rest_expected += p[i] * kDraws;
      rest_count += counts[i];
    } else {
      chi2 += std::pow(counts[i] - p[i] * kDraws, 2) / (p[i] * kDraws);
      ++cells;
    }
  }
  if (rest_expected >= 5.0) {
    chi2 += std::pow(rest_count - rest_expected, 2) / rest_expected;
    ++cells;
  }
  const double k = std::max(1, cells - 1);
  const double bound = k * std::pow(1.0 - 2.0 / (9.0 * k) + 4.75 * std::sqrt(2.0 / (9.0 * k)), 3);
  EXPECT_LT(chi2, bound) << "degrees of freedom " << k;
}

std::vector<float> normal_logits(size_t count, float scale, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> logits(count);
  for (float& logit : logits) {
    logit = normal(rng);
  }
  return logits;
}

TEST(Philox, MatchesThePublishedVectors) {
  // Random123's kat_vectors, philox4x32 with 10 rounds.
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformDrawsDifferInEveryPartOfTheKey) {
  std::set<double> seen;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32U, ~uint64_t{0}}) {
    for (const int32_t choice : {0, 1, 7}) {
      for (const int64_t position : {int64_t{0}, int64_t{1}, int64_t{1} << 33U}) {
        const double u = uniform_draw(seed, choice, position);
        EXPECT_GE(u, 0.0);
        EXPECT_LT(u, 1.0);
        seen.insert(u);
      }
    }
  }
  EXPECT_EQ(seen.size(), 4U * 3U * 3U);
}

TEST(Sampler, GreedyTakesTheLowestIdOfEquals) {
  EXPECT_EQ(pick({1, 3, 3, 2}, row_with({.temperature = 0.0F})), 1);
  EXPECT_EQ(pick({-kInf, -5}, row_with({.temperature = 0.0F})), 1);
}

TEST(Sampler, NeverDrawsBeyondTheVocabulary) {
  const std::vector<float> logits = {0, 1, 99, 99};
  SamplerScratch scratch;
  EXPECT_EQ(sample(logits, 2, row_with({.temperature = 0.0F}), scratch)->token, 1);
  for (int64_t i = 0; i < 100; ++i) {
    SampleRow row = row_with({.top_logprobs = 3});
    row.output_position = i;
    const auto token = sample(logits, 2, row, scratch);
    EXPECT_LT(token->token, 2);
    EXPECT_EQ(token->top.size(), 2U);
  }
  // A limit above the row's width is the row's width.
  EXPECT_EQ(sample(logits, 10, row_with({.temperature = 0.0F}), scratch)->token, 2);
}

TEST(Sampler, RefusesLogitsThatAreNoNumbers) {
  SamplerScratch scratch;
  for (const float temperature : {0.0F, 1.0F}) {
    const SampleRow row = row_with({.temperature = temperature, .top_p = 0.5F});
    for (const auto& logits : std::vector<std::vector<float>>{
             {1, kNan, 2}, {kNan}, {kInf, 1}, {-kInf, -kInf}, {1, 2, -kNan}}) {
      const auto token = sample(logits, 5, row, scratch);
      ASSERT_FALSE(token.ok());
      EXPECT_EQ(token.status().code(), StatusCode::kInternal);
    }
  }
  // NaN in the padding does not matter.
  EXPECT_TRUE(sample(std::vector<float>{1, 2, kNan}, 2, row_with({}), scratch).ok());
}

TEST(Sampler, ExtremeTemperaturesAreSafe) {
  const std::vector<float> logits = {1.0F, 3.0e38F, -3.0e38F, 2.0F, -kInf};
  for (const float t : {std::numeric_limits<float>::denorm_min(), 1e-30F, 1e-3F}) {
    EXPECT_EQ(pick(logits, row_with({.temperature = t})), 1);
    EXPECT_EQ(pick(logits, row_with({.temperature = t, .top_k = 3, .top_p = 0.9F})), 1);
  }
  std::set<int32_t> seen;
  for (int64_t i = 0; i < 200; ++i) {
    SampleRow row = row_with({.temperature = std::numeric_limits<float>::max()});
    row.output_position = i;
    seen.insert(pick({0, 50, -50, -kInf}, row));
  }
  EXPECT_EQ(seen, (std::set<int32_t>{0, 1, 2}));
}

TEST(Sampler, DistributionsAreExact) {
  const std::vector<float> small = {2.0F, 1.0F, 0.5F, 0.5F, -1.0F, -kInf, 0.0F, 1.5F};
  const std::vector<float> large = normal_logits(400, 2.0F, 5);
  for (const auto& logits : {small, large, std::vector<float>(50, 1.0F)}) {
    expect_distribution(logits, {.seed = 1});
    expect_distribution(logits, {.temperature = 0.6F, .seed = 2});
    expect_distribution(logits, {.temperature = 2.0F, .seed = 3});
    expect_distribution(logits, {.top_k = 3, .seed = 4});
    expect_distribution(logits, {.top_k = 40, .seed = 5});
    expect_distribution(logits, {.top_p = 0.8F, .seed = 6});
    expect_distribution(logits, {.top_p = 0.01F, .seed = 7});
    expect_distribution(logits, {.min_p = 0.2F, .seed = 8});
    expect_distribution(logits, {.temperature = 0.8F, .top_k = 30, .top_p = 0.9F, .seed = 9});
    expect_distribution(
        logits, {.temperature = 1.3F, .top_k = 6, .top_p = 0.9F, .min_p = 0.1F, .seed = 10});
  }
}

/// Which tokens can come at all: draws with many seeds reach every kept token of a small row.
std::set<int32_t> support(const std::vector<float>& logits, SamplingParams params) {
  std::set<int32_t> seen;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    params.seed = seed;
    seen.insert(pick(logits, row_with(params)));
  }
  return seen;
}

TEST(Sampler, TopKKeepsExactlyKAlsoAmongEquals) {
  EXPECT_EQ(support({1, 1, 1, 1}, {.top_k = 2}), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(support({0, 1, 1, 1}, {.top_k = 1}), (std::set<int32_t>{1}));
  EXPECT_EQ(support({0, 0, 0}, {.top_k = 3}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support({0, 0, 0}, {.top_k = 1000000}), (std::set<int32_t>{0, 1, 2}));
}

TEST(Sampler, TopPKeepsTheTokenThatReachesTheMass) {
  // Probabilities 0.5, 0.3, 0.2.
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  EXPECT_EQ(support(logits, {.top_p = 0.49F}), (std::set<int32_t>{0}));
  EXPECT_EQ(support(logits, {.top_p = 0.51F}), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(support(logits, {.top_p = 0.79F}), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(support(logits, {.top_p = 0.81F}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support(logits, {.top_p = 1e-20F}), (std::set<int32_t>{0}));
  // After top-k 2 the first has 0.625 of what is left.
  EXPECT_EQ(support(logits, {.top_k = 2, .top_p = 0.6F}), (std::set<int32_t>{0}));
  EXPECT_EQ(support(logits, {.top_p = 0.6F}), (std::set<int32_t>{0, 1}));
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  EXPECT_EQ(support(logits, {.min_p = 0.39F}), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(support(logits, {.min_p = 0.41F}), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(support(logits, {.min_p = 0.61F}), (std::set<int32_t>{0}));
  EXPECT_EQ(support(logits, {.min_p = 1.0F}), (std::set<int32_t>{0}));
}

TEST(Sampler, LargeNucleiMatchTheDefinition) {
  // Flat rows make nuclei of thousands of tokens; the kept count is known in closed form.
  const std::vector<float> flat(5000, 0.25F);
  SamplerScratch scratch;
  for (const float top_p : {0.1F, 0.5F, 0.9F}) {
    int32_t highest = 0;
    for (int64_t i = 0; i < 500; ++i) {
      SampleRow row = row_with({.top_p = top_p, .seed = 3});
      row.output_position = i;
      highest = std::max(highest, sample(flat, 5000, row, scratch)->token);
    }
    // Equal tokens enter by id, so the highest id tells the size of the nucleus.
    EXPECT_LE(highest, std::lround(5000 * top_p));
    EXPECT_GT(highest, std::lround(5000 * top_p) - 200);
  }
}

TEST(Sampler, PenaltiesMatchHandComputedValues) {
  // Greedy shows the order of penalised logits. Row: 4.0, 3.0, -1.0, 2.9.
  const std::vector<float> logits = {4.0F, 3.0F, -1.0F, 2.9F};
  const auto greedy =
      [&](SamplingParams params, std::vector<int32_t> prompt, std::vector<int32_t> output) {
        params.temperature = 0.0F;
        SampleRow row = row_with(params);
        row.prompt_tokens = std::move(prompt);
        row.output_tokens = std::move(output);
        return pick(logits, row);
      };
  // Presence: once, generated tokens only. 4 - 0.9 = 3.1 > 3; 4 - 1.1 = 2.9 < 3.
  EXPECT_EQ(greedy({.presence_penalty = 0.9F}, {}, {0, 0, 0}), 0);
  EXPECT_EQ(greedy({.presence_penalty = 1.1F}, {}, {0}), 1);
  EXPECT_EQ(greedy({.presence_penalty = 1.1F}, {0}, {}), 0);
  // Frequency: per occurrence. 4 - 2 * 0.4 = 3.2; 4 - 3 * 0.4 = 2.8.
  EXPECT_EQ(greedy({.frequency_penalty = 0.4F}, {0, 0, 0}, {0, 0}), 0);
  EXPECT_EQ(greedy({.frequency_penalty = 0.4F}, {}, {0, 0, 0}), 1);
  // Repetition: prompt and output, once. 4 / 1.3 = 3.08; 4 / 1.4 = 2.86.
  EXPECT_EQ(greedy({.repetition_penalty = 1.3F}, {0, 0}, {0, 0}), 0);
  EXPECT_EQ(greedy({.repetition_penalty = 1.4F}, {0}, {}), 1);
  EXPECT_EQ(greedy({.repetition_penalty = 1.4F}, {}, {0}), 1);
  // Repetition first, then presence: 4 / 1.1 - 0.6 = 3.04 > 3, while (4 - 0.6) / 1.1 = 3.09;
  // 4 / 1.25 - 0.25 = 2.95 < 3, while (4 - 0.25) / 1.25 = 3.0.
  EXPECT_EQ(greedy({.presence_penalty = 0.6F, .repetition_penalty = 1.1F}, {}, {0}), 0);
  EXPECT_EQ(greedy({.presence_penalty = 0.25F, .repetition_penalty = 1.25F}, {}, {0}), 1);
  // Below 1 it rewards: 3 / 0.5 = 6. Negative logits are multiplied: -1 * 0.5.
  EXPECT_EQ(greedy({.repetition_penalty = 0.5F}, {1}, {}), 1);
  // Ids outside the row (padding, foreign) are ignored.
  EXPECT_EQ(greedy({.presence_penalty = 2.0F}, {-1, 99}, {-7, 1000}), 0);
}

TEST(Sampler, PenaltiesOnNegativeLogitsMultiply) {
  SampleRow row = row_with({.temperature = 0.0F, .repetition_penalty = 2.0F});
  row.prompt_tokens = {0};
  EXPECT_EQ(pick({-1.0F, -1.5F}, row), 1);  // -2 against -1.5
  row.params.repetition_penalty = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(pick({1.0F, 2.0F}, row), 0);  // overflows; still a number
}

TEST(Sampler, ScratchDoesNotCarryOver) {
  SamplerScratch scratch;
  const std::vector<float> logits = {1.0F, 0.9F};
  SampleRow row = row_with({.temperature = 0.0F, .presence_penalty = 0.5F});
  row.output_tokens = {0};
  EXPECT_EQ(sample(logits, 2, row, scratch)->token, 1);
  row.output_tokens = {};
  EXPECT_EQ(sample(logits, 2, row, scratch)->token, 0);
}

TEST(Sampler, SameKeySameTokenWhateverTheScratchHeld) {
  const auto logits = normal_logits(1000, 1.0F, 9);
  const auto other = normal_logits(4000, 3.0F, 10);
  SamplerScratch used;
  for (int64_t position = 0; position < 50; ++position) {
    SampleRow row = row_with({.temperature = 0.9F, .top_p = 0.95F, .seed = 42});
    row.output_position = position;
    SamplerScratch fresh;
    (void)sample(other, 4000, row_with({.seed = 7}), used);
    EXPECT_EQ(sample(logits, 1000, row, used)->token, sample(logits, 1000, row, fresh)->token);
  }
}

TEST(Sampler, ChoicesDiffer) {
  const std::vector<float> flat(1000, 0.0F);
  std::set<int32_t> seen;
  for (int32_t choice = 0; choice < 8; ++choice) {
    SampleRow row = row_with({.seed = 5});
    row.choice = choice;
    seen.insert(pick(flat, row));
  }
  EXPECT_GE(seen.size(), 7U);
}

TEST(Sampler, LogprobsAreOfTheUnmodifiedDistribution) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F), -kInf};
  SampleRow row = row_with({.temperature = 0.0F, .presence_penalty = 2.0F, .top_logprobs = 2});
  row.output_tokens = {0};
  SamplerScratch scratch;
  const auto token = sample(logits, 4, row, scratch);
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(token->token, 1);
  EXPECT_NEAR(token->logprob, std::log(0.3), 1e-6);
  ASSERT_EQ(token->top.size(), 2U);
  EXPECT_EQ(token->top[0].token, 0);
  EXPECT_NEAR(token->top[0].logprob, std::log(0.5), 1e-6);
  EXPECT_EQ(token->top[1].token, 1);
  row.params.top_logprobs = 0;
  EXPECT_TRUE(sample(logits, 4, row, scratch)->top.empty());
  row.params.top_logprobs = 20;  // forbidden tokens are no alternatives
  EXPECT_EQ(sample(logits, 4, row, scratch)->top.size(), 3U);
  row.params.top_logprobs = -1;
  EXPECT_EQ(sample(logits, 4, row, scratch)->logprob, 0.0F);
}

TEST(Sampler, TopLogprobsMatchASort) {
  const auto logits = normal_logits(20000, 3.0F, 4);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  SamplerScratch scratch;
  const auto token =
      sample(logits, 20000, row_with({.temperature = 0.0F, .top_logprobs = 20}), scratch);
  ASSERT_EQ(token->top.size(), 20U);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(token->top[i].token, order[i]);
  }
}

}  // namespace
}  // namespace tutti
