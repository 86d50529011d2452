// The same model over 1, 2, 4 and 8 ranks, in mixed batches and in both MLA forms. What the right
// logits are, tests/golden says; here results must agree with each other.
#include <algorithm>
#include <array>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "base/file.h"
#include "engine/ranks/ranked_model_runner.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kBlocksEach = 4;  // of 16 tokens: room for 64 per sequence

struct LoadSettings {
  int ranks = 1;
  MlaForm form = MlaForm::kAbsorbed;
  bool dummy = false;
};

std::unique_ptr<RankedModelRunner> load(const std::string& fixture, const LoadSettings& settings) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
  ModelLoadOptions options;
  options.directory = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/" + fixture;
  options.ranks = settings.ranks;
  options.context = 64;
  options.kv_memory = int64_t{4} << 20;
  options.max_batch_tokens = 64;
  options.max_batch_sequences = 4;
  options.max_logit_rows = 64;
  options.model.mla_form = settings.form;
  options.format = settings.dummy ? LoadFormat::kDummy : LoadFormat::kCheckpoint;
  Result<std::unique_ptr<RankedModelRunner>> runner = RankedModelRunner::load(*backend, options);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  return runner.ok() ? std::move(runner).value() : nullptr;
}

// One sequence of the test: its tokens, and where its KV lives.
struct Sequence {
  uint64_t id = 0;
  std::vector<int32_t> tokens;
  std::vector<int32_t> blocks;
};

Sequence make_sequence(const RankedModelRunner& runner, int index, int64_t length) {
  Sequence s{.id = static_cast<uint64_t>(index) + 1};
  for (int64_t i = 0; i < length; ++i) {
    s.tokens.push_back(
        narrow<int32_t>((i * 7919 + index * 104729 + 5) % runner.limits().vocab_size));
  }
  for (int64_t b = 0; b < kBlocksEach; ++b) {  // interleaved with the other sequences' blocks
    s.blocks.push_back(narrow<int32_t>((kBlocksEach - 1 - b) * 4 + index));
  }
  return s;
}

// Adds tokens [begin, begin + count) of `s`; they become the next rows of the batch.
void append(Batch& batch, const Sequence& s, int64_t begin, int64_t count) {
  const auto slot = static_cast<int32_t>(s.id) - 1;
  batch.sequences.push_back({.sequence_id = s.id,
                             .slot = slot,
                             .token_begin = ssize(batch.tokens.size()),
                             .token_count = count,
                             .context_before = begin});
  batch.update_blocks(slot, 0, s.blocks);
  for (int64_t i = begin; i < begin + count; ++i) {
    batch.tokens.push_back(s.tokens[usize(i)]);
    batch.positions.push_back(narrow<int32_t>(i));
  }
}

std::vector<float> all_logits(RankedModelRunner& runner, const Batch& batch) {
  std::vector<int32_t> rows(batch.tokens.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<int32_t>(i);
  }
  Result<std::vector<float>> logits = runner.logits(batch, rows);
  EXPECT_TRUE(logits.ok()) << logits.status().message();
  return logits.ok() ? std::move(logits).value() : std::vector<float>();
}

std::vector<float> prefill(RankedModelRunner& runner, const Sequence& s, int64_t count) {
  Batch batch;
  append(batch, s, 0, count);
  return all_logits(runner, batch);
}

// Largest difference, as a share of the largest value.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    EXPECT_TRUE(std::isfinite(a[i]));
  }
  return worst / largest;
}

class TensorParallelTest : public ::testing::TestWithParam<std::string> {};

TEST_P(TensorParallelTest, EveryRankCountGivesTheSameLogits) {
  const auto one = load(GetParam(), {});
  ASSERT_NE(one, nullptr);
  const Sequence s = make_sequence(*one, 0, 40);
  const std::vector<float> want = prefill(*one, s, 40);
  for (const int ranks : {2, 4, 8}) {
    const auto many = load(GetParam(), {.ranks = ranks});
    ASSERT_NE(many, nullptr);
    EXPECT_EQ(many->ranks(), ranks);
    const std::vector<float> got = prefill(*many, s, 40);
    EXPECT_LE(difference(want, got), 1e-5) << ranks << " ranks";
    EXPECT_EQ(prefill(*many, s, 40), got) << "a second run must give the same bits";
  }
}

TEST_P(TensorParallelTest, RanksShareTheWork) {
  const auto one = load(GetParam(), {});
  ASSERT_NE(one, nullptr);
  for (const int ranks : {2, 4, 8}) {
    const auto many = load(GetParam(), {.ranks = ranks});
    ASSERT_NE(many, nullptr);
    const std::vector<int64_t> read = many->read_bytes();
    ASSERT_EQ(read.size(), static_cast<size_t>(ranks));
    const auto [least, most] = std::minmax_element(read.begin(), read.end());
    EXPECT_LT(*most, one->read_bytes().front()) << ranks << " ranks";
    EXPECT_LT(static_cast<double>(*most), 1.15 * static_cast<double>(*least)) << ranks << " ranks";
    EXPECT_GE(many->weight_bytes(), one->weight_bytes()) << "nothing is lost by splitting";
    EXPECT_GT(many->load_seconds(), 0);
  }
}

// One prefill chunk and two decoding sequences in one forward pass, in every order, against each
// sequence alone: the same bits, because no sum on the CPU depends on the batch.
TEST_P(TensorParallelTest, AMixedBatchChangesNoBit) {
  for (const int ranks : {1, 2}) {
    const auto runner = load(GetParam(), {.ranks = ranks});
    ASSERT_NE(runner, nullptr);
    const size_t vocab = static_cast<size_t>(runner->limits().vocab_size);
    const Sequence a = make_sequence(*runner, 0, 30);
    const Sequence b = make_sequence(*runner, 1, 18);
    const Sequence c = make_sequence(*runner, 2, 34);
    // Alone: all tokens of each, in one pass.
    const std::vector<float> alone_a = prefill(*runner, a, 30);
    const std::vector<float> alone_b = prefill(*runner, b, 18);
    const std::vector<float> alone_c = prefill(*runner, c, 34);
    const auto rows = [vocab](const std::vector<float>& logits, size_t begin, size_t count) {
      const auto at = logits.begin() + static_cast<std::ptrdiff_t>(begin * vocab);
      return std::vector<float>(at, at + static_cast<std::ptrdiff_t>(count * vocab));
    };

    struct Part {
      const Sequence* sequence;
      const std::vector<float>* alone;
      int64_t begin;
      int64_t count;
    };

    // a: the rest of its prompt from inside a block; b and c: one new token each.
    std::vector<Part> parts{{&a, &alone_a, 13, 17}, {&b, &alone_b, 17, 1}, {&c, &alone_c, 33, 1}};
    std::sort(parts.begin(), parts.end(), [](const Part& x, const Part& y) {
      return x.sequence->id < y.sequence->id;
    });
    do {
      prefill(*runner, a, 13);
      prefill(*runner, b, 17);
      prefill(*runner, c, 33);
      Batch batch;
      for (const Part& p : parts) {
        append(batch, *p.sequence, p.begin, p.count);
      }
      const std::vector<float> mixed = all_logits(*runner, batch);
      size_t at = 0;
      for (const Part& p : parts) {
        EXPECT_EQ(rows(mixed, at, usize(p.count)), rows(*p.alone, usize(p.begin), usize(p.count)))
            << "sequence " << p.sequence->id << ", " << ranks << " ranks";
        at += usize(p.count);
      }
    } while (std::next_permutation(parts.begin(), parts.end(), [](const Part& x, const Part& y) {
      return x.sequence->id < y.sequence->id;
    }));
  }
}

TEST_P(TensorParallelTest, SubmittedStepsSampleTheBestTokenInOrder) {
  const auto runner = load(GetParam(), {.ranks = 4});
  ASSERT_NE(runner, nullptr);
  const auto vocab = static_cast<std::ptrdiff_t>(runner->limits().vocab_size);
  const Sequence a = make_sequence(*runner, 0, 20);
  const Sequence b = make_sequence(*runner, 1, 12);
  const auto best = [vocab](const std::vector<float>& logits) {
    return static_cast<int32_t>(std::max_element(logits.end() - vocab, logits.end()) -
                                (logits.end() - vocab));
  };
  const int32_t best_a = best(prefill(*runner, a, 20));
  const int32_t best_b = best(prefill(*runner, b, 12));
  std::array<Batch, 2> batches;
  for (uint64_t step = 1; step <= 2; ++step) {
    Batch& batch = batches[step - 1];
    batch.step = step;
    append(batch, a, 0, 20);
    append(batch, b, 0, 12);
    for (BatchSequence& s : batch.sequences) {
      s.sample = step == 2 || s.sequence_id == 2;
      BatchJoin join{.slot = s.slot};
      join.row.params.temperature = 0.0F;
      batch.joins.push_back(join);
    }
    ASSERT_TRUE(runner->submit(batch).ok());
  }
  StepOutput out;
  ASSERT_TRUE(runner->collect(out).ok());
  EXPECT_EQ(out.step, 1U);
  ASSERT_EQ(out.rows.size(), 1U) << "only sequences that asked for a token get one";
  EXPECT_EQ(out.rows[0].sequence_id, 2U);
  EXPECT_EQ(out.tokens.at(0).token, best_b);
  ASSERT_TRUE(runner->collect(out).ok());
  EXPECT_EQ(out.step, 2U);
  ASSERT_EQ(out.rows.size(), 2U);
  EXPECT_EQ(out.tokens.at(0).token, best_a);
  EXPECT_EQ(out.tokens.at(1).token, best_b);
}

// Two steps in flight: the second continues with a token that only the ranks know yet.
TEST_P(TensorParallelTest, ASampledTokenFeedsTheNextStep) {
  for (const int ranks : {1, 4}) {
    const auto runner = load(GetParam(), {.ranks = ranks});
    ASSERT_NE(runner, nullptr);
    constexpr int64_t kNew = 12;
    const auto generate = [&](bool ahead) {
      Sequence s = make_sequence(*runner, 0, 20);
      std::vector<int32_t> made;
      std::array<Batch, 2> batches;
      StepOutput out;
      const auto collect = [&] {
        ASSERT_TRUE(runner->collect(out).ok());
        made.push_back(out.tokens.at(0).token);
        s.tokens.push_back(made.back());
      };
      for (int64_t i = 0; i < kNew; ++i) {
        Batch& batch = batches[usize(i % 2)];
        batch.clear(static_cast<uint64_t>(i));
        if (i == 0) {
          BatchJoin join{.slot = 0};
          join.row.params.temperature = 0.0F;
          batch.joins.push_back(join);
          append(batch, s, 0, 20);
        } else {
          s.tokens.resize(usize(20 + i), kSampledToken);
          append(batch, s, 19 + i, 1);
          s.tokens.resize(20 + made.size());
        }
        batch.sequences[0].sample = true;
        batch.sequences[0].output_position = i;
        EXPECT_TRUE(runner->submit(batch).ok());
        if (!ahead || i > 0) {
          collect();
        }
      }
      if (ahead) {
        collect();
      }
      return made;
    };
    const std::vector<int32_t> in_step = generate(false);
    EXPECT_EQ(in_step.size(), usize(kNew));
    EXPECT_EQ(generate(true), in_step) << ranks << " ranks";
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         TensorParallelTest,
                         ::testing::Values("dsv3_base_f32", "llama_base_f32"),
                         [](const auto& test) { return test.param; });

TEST(MlaFormTest, AbsorbedAndExpandedAgree) {
  for (const char* fixture : {"dsv3_base_f32", "dsv3_top1_bias_f32", "dsv3_yarn_mscale_f32"}) {
    for (const int ranks : {1, 4}) {
      const auto absorbed = load(fixture, {.ranks = ranks});
      const auto expanded = load(fixture, {.ranks = ranks, .form = MlaForm::kExpanded});
      ASSERT_NE(absorbed, nullptr);
      ASSERT_NE(expanded, nullptr);
      const Sequence a = make_sequence(*absorbed, 0, 40);
      const Sequence b = make_sequence(*absorbed, 1, 9);
      EXPECT_LE(difference(prefill(*absorbed, a, 40), prefill(*expanded, a, 40)), 1e-5) << fixture;
      Batch mixed;  // a decode beside a prefill
      append(mixed, a, 39, 1);
      append(mixed, b, 0, 9);
      EXPECT_LE(difference(all_logits(*absorbed, mixed), all_logits(*expanded, mixed)), 1e-5)
          << fixture;
    }
  }
}

TEST(DummyWeightsTest, RunOnEveryRankCount) {
  for (const char* fixture : {"dsv3_base_f32", "llama_base_f32"}) {
    for (const int ranks : {1, 2, 8}) {
      const auto runner = load(fixture, {.ranks = ranks, .dummy = true});
      ASSERT_NE(runner, nullptr);
      const Sequence s = make_sequence(*runner, 0, 12);
      const std::vector<float> logits = prefill(*runner, s, 12);
      EXPECT_TRUE(
          std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }));
      EXPECT_NE(*std::min_element(logits.begin(), logits.end()),
                *std::max_element(logits.begin(), logits.end()));
    }
  }
}

TEST(LegalRanksTest, CountsThatTheModelAllows) {
  const std::string fixtures = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/";
  for (const char* fixture : {"dsv3_base_f32", "llama_base_f32"}) {
    EXPECT_THAT(legal_rank_counts(HfConfig::load(fixtures + fixture).value(), {}, 64),
                ElementsAre(1, 2, 4, 8));
  }
}

}  // namespace
}  // namespace tutti
