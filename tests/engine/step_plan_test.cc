// A StepPlan is the same after a trip through bytes; bytes that are none are refused; and what
// check_plan() lets through stays within the ranks' tensors and tables.
#include "engine/ranks/step_plan.h"

#include <array>
#include <memory>
#include <random>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "engine/ranks/step_planner.h"

namespace tutti {
namespace {

constexpr uint64_t kSeed = 20261129;

StepShape shape() {
  return {.max_tokens = 96,
          .max_sequences = 12,
          .max_logit_rows = 20,
          .max_context = 200,
          .block_size = 16,
          .num_blocks = 200,
          .max_adjusted = 6,
          .vocab_size = 700,
          .vocab_limit = 690,
          .long_ropes = true};
}

// A random but legal life of batches: sequences join, prefill in chunks, decode, and leave.
class Life {
 public:
  explicit Life(uint64_t seed) : rng_(seed) {
    planner_.configure(
        {.shape = shape(), .long_rope_from = 30, .records = true, .devices_sample = true});
  }

  StepPlan next() {
    batch_.clear(++step_);
    for (int32_t slot = 0; slot < 12; ++slot) {
      State& s = states_[usize(slot)];
      if (s.id == 0 && one_in(3)) {
        join(slot);
      }
      if (s.id != 0 && !one_in(4)) {
        run(slot);
      }
    }
    StepPlan plan;
    std::vector<SampledRow> rows;
    const Status status = planner_.plan(
        batch_, [this] { return answer(); }, plan, rows);
    EXPECT_TRUE(status.ok()) << status.message();
    answered_ = batch_;
    rows_ = rows;
    host_ = plan.host_chooses;
    rows_of_logits_ = plan.rows.logits;
    if (one_in(2)) {
      EXPECT_TRUE(answer().ok());
    }
    return plan;
  }

 private:
  struct State {
    uint64_t id = 0;
    int64_t prompt = 0;
    int64_t done = 0;
    int64_t most = 0;
  };

  bool one_in(uint64_t n) { return rng_() % n == 0; }

  void join(int32_t slot) {
    State& s = states_[usize(slot)];
    s = {.id = ++ids_, .prompt = 1 + static_cast<int64_t>(rng_() % 60)};
    s.most = s.prompt + static_cast<int64_t>(rng_() % 60);
    BatchJoin join{.slot = slot};
    join.row.params.temperature = one_in(2) ? 0.0F : 0.7F;
    join.row.params.repetition_penalty = one_in(3) ? 1.2F : 1.0F;
    join.row.params.top_logprobs = one_in(3) ? 3 : -1;
    for (int i = 0; i < 10; ++i) {
      join.row.prompt_tokens.push_back(static_cast<int32_t>(rng_() % 700));
    }
    if (one_in(3)) {
      LogitRules rules;
      rules.end_ids = {1, 2};
      rules.bias.push_back({.token = 5, .bias = 1.0F});
      if (one_in(3)) {
        rules.bad_words.push_back({3, 4});  // the host's business
      }
      join.row.rules = std::make_shared<const LogitRules>(std::move(rules));
    }
    batch_.joins.push_back(std::move(join));
    std::vector<int32_t> blocks;
    for (int64_t b = 0; b * 16 < s.most + 1; ++b) {
      blocks.push_back(static_cast<int32_t>(rng_() % 200));
    }
    batch_.update_blocks(slot, 0, blocks);
  }

  void run(int32_t slot) {
    State& s = states_[usize(slot)];
    const int64_t room = 96 - ssize(batch_.tokens.size());
    const int64_t left = s.prompt - s.done;
    const int64_t count =
        left > 0 ? std::min<int64_t>({left, room, 17}) : std::min<int64_t>(1, room);
    if (count == 0) {
      return;
    }
    batch_.sequences.push_back({.sequence_id = s.id,
                                .slot = slot,
                                .sample = s.done + count >= s.prompt,
                                .token_begin = ssize(batch_.tokens.size()),
                                .token_count = count,
                                .context_before = s.done,
                                .prompt_tokens = s.prompt});
    for (int64_t i = 0; i < count; ++i) {
      batch_.tokens.push_back(left > 0 ? static_cast<int32_t>(rng_() % 700) : kSampledToken);
      batch_.positions.push_back(narrow<int32_t>(s.done + i));
    }
    s.done += count;
    if (s.done >= s.most) {
      s = {};
    }
  }

  // What the ranks say of the step planned last.
  Status answer() {
    if (host_) {
      const std::vector<float> logits(usize(rows_of_logits_ * 700), 0.5F);
      StepOutput output;
      planner_.sampler().sample_on_host(answered_, logits, output);
    }
    for (const SampledRow& row : rows_) {
      planner_.sampler().took(row, static_cast<int32_t>(rng_() % 690));
    }
    rows_.clear();
    host_ = false;
    return ok_status();
  }

  std::mt19937_64 rng_;
  StepPlanner planner_;
  Batch batch_;
  Batch answered_;
  uint64_t step_ = 0;
  uint64_t ids_ = 0;
  std::array<State, 12> states_{};
  std::vector<SampledRow> rows_;
  bool host_ = false;
  int64_t rows_of_logits_ = 0;
};

TEST(StepPlan, TravelsAsBytes) {
  Life life(kSeed);
  int recorded = 0;
  int adjusted = 0;
  for (int i = 0; i < 2000; ++i) {
    const StepPlan plan = life.next();
    recorded += plan.recorded ? 1 : 0;
    adjusted += plan.rows.adjusted > 0 ? 1 : 0;
    const Status legal = check_plan(plan, shape());
    ASSERT_TRUE(legal.ok()) << legal.message() << ", step " << i << ", seed=" << kSeed;
    std::string bytes;
    encode(plan, bytes);
    Result<StepPlan> back = decode(bytes);
    ASSERT_TRUE(back.ok()) << back.status().message();
    ASSERT_EQ(*back, plan) << "step " << i << ", seed=" << kSeed;
  }
  EXPECT_GT(recorded, 50);
  EXPECT_GT(adjusted, 200);
}

TEST(StepPlan, RefusesWhatIsCutOffOrFollowed) {
  Life life(kSeed + 1);
  StepPlan plan;
  for (int i = 0; i < 20; ++i) {
    plan = life.next();
  }
  std::string bytes;
  encode(plan, bytes);
  for (size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_FALSE(decode(std::string_view(bytes).substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(decode(bytes + "x").ok());
  bytes[0] = static_cast<char>(bytes[0] + 1);
  const Status other = decode(bytes).status();
  EXPECT_NE(other.message().find("version 2"), std::string::npos) << other.message();
}

// Bytes are changed at random. What still decodes and passes the check must keep its promises; they
// are looked at here in other words than in check_plan().
TEST(StepPlan, WhatPassesTheCheckStaysWithinBounds) {
  Life life(kSeed + 2);
  std::mt19937_64 rng(kSeed + 3);
  const StepShape s = shape();
  int passed = 0;
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    encode(life.next(), bytes);
    for (uint64_t edits = 1 + rng() % 3; edits > 0; --edits) {
      const size_t at = rng() % bytes.size();
      bytes[at] = rng() % 2 == 0 ? static_cast<char>(bytes[at] ^ (1 << (rng() % 8)))
                                 : static_cast<char>(rng());
    }
    const Result<StepPlan> plan = decode(bytes);
    if (!plan.ok() || !check_plan(*plan, s).ok()) {
      ++refused;
      continue;
    }
    ++passed;
    const StepRows& rows = plan->rows;
    ASSERT_EQ(ssize(plan->inputs.size()), rows.input_words());
    ASSERT_EQ(ssize(plan->sampling.size()), rows.sampling_words());
    const int32_t* w = plan->inputs.data();
    for (int64_t t = 0; t < rows.tokens; ++t) {
      ASSERT_LT(w[t], s.vocab_size);
      ASSERT_LT(static_cast<uint32_t>(w[rows.tokens + t]), 12U);
      ASSERT_LT(static_cast<uint32_t>(w[2 * rows.tokens + t]), 200U);
      ASSERT_LT(w[3 * rows.tokens + t], 200 * 16);
      ASSERT_GE(w[3 * rows.tokens + t], -1);
    }
    const int32_t* begin = w + 4 * rows.tokens;
    const int32_t* context = begin + rows.sequences + 1;
    for (int64_t q = 0; q < rows.sequences; ++q) {
      ASSERT_LE(0, begin[q]);
      ASSERT_LE(begin[q], begin[q + 1]);
      ASSERT_LE(begin[q + 1], rows.tokens);
      ASSERT_GE(context[q], 0);
      ASSERT_LE(context[q] + begin[q + 1] - begin[q], plan->table_width * s.block_size);
    }
    if (plan->recorded) {
      ASSERT_EQ(rows.tokens, rows.sequences);
      ASSERT_LE(rows.sequences, 12);
      ASSERT_EQ(plan->table_width, 13);
    }
    ASSERT_EQ(rows.ropes, rows.tokens);
    for (const int32_t place : plan->table_places) {
      ASSERT_LT(static_cast<uint32_t>(place), 12U * 13U);
    }
    for (const StateWrite& write : plan->state_writes) {
      ASSERT_LE(int64_t{write.begin} + write.count, ssize(plan->state_words.size()));
      ASSERT_LT(static_cast<uint32_t>(write.state), 6U);
    }
  }
  EXPECT_GT(passed, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(StepPlan, PaddedSizesAscendAndEndWithTheMost) {
  for (int64_t most = 1; most < 700; ++most) {
    const std::vector<int64_t> sizes = padded_sizes(most);
    ASSERT_EQ(sizes.front(), 1);
    ASSERT_EQ(sizes.back(), most);
    for (size_t i = 1; i < sizes.size(); ++i) {
      ASSERT_GT(sizes[i], sizes[i - 1]);
      ASSERT_LE(sizes[i], 2 * sizes[i - 1]);
    }
  }
}

}  // namespace
}  // namespace tutti
