// Logits and greedy continuations of tiny random checkpoints against Hugging Face transformers, at
// every legal rank count, as one prefill, in chunks of 7 and token by token. README.md explains the
// fixtures.
#include "golden/golden.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "golden/forwarding_ops.h"
#include "golden/wrapped_backend.h"
#include "loader/checkpoint.h"

namespace tutti {
namespace {

using testing::error_over_tolerance;
using testing::fixture_names;
using testing::ForwardingOps;
using testing::Golden;
using testing::load_golden;
using testing::WrappedBackend;

constexpr double kClearGap = 0.01;  // no fixture has a smaller one

std::unique_ptr<RankedModelRunner> load_model(const Golden& golden,
                                              int ranks,
                                              const ModelOptions& model = {},
                                              bool reference = false) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2, .reference = reference});
  Result<std::unique_ptr<RankedModelRunner>> runner =
      testing::load_model(*backend, golden.directory, ranks, model);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  return runner.ok() ? std::move(runner).value() : nullptr;
}

void expect_close(const Golden& golden, const std::vector<float>& got, const std::string& what) {
  EXPECT_LE(error_over_tolerance(golden, got), 1.0) << what;
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, LogitsAtEveryRankCountAndChunk) {
  const Golden golden = load_golden(GetParam());
  for (const int64_t ranks : golden.legal_ranks) {
    const auto runner = load_model(golden, narrow<int>(ranks));
    ASSERT_NE(runner, nullptr);
    const std::vector<float> whole = testing::run_model(*runner, golden.ids, 0, 64);
    expect_close(golden, whole, fmt::format("ranks {} whole", ranks));
    for (const int64_t chunk : {int64_t{7}, int64_t{1}}) {
      const std::vector<float> chunked = testing::run_model(*runner, golden.ids, 0, chunk);
      EXPECT_EQ(chunked, whole) << "chunking must not change a bit; ranks " << ranks << " chunk "
                                << chunk;
    }
  }
}

TEST_P(GoldenTest, GreedyContinuation) {
  const Golden golden = load_golden(GetParam());
  for (const int64_t ranks : golden.legal_ranks) {
    const auto runner = load_model(golden, narrow<int>(ranks));
    ASSERT_NE(runner, nullptr);
    const int64_t vocab = golden.logits.cols;
    std::vector<int32_t> ids = golden.ids;
    std::vector<float> logits = testing::run_model(*runner, ids, 0, 64);
    ASSERT_GE(golden.greedy.size(), 32U);
    for (int64_t i = 0; i < ssize(golden.greedy.size()); ++i) {
      const auto last = logits.end() - vocab;
      const auto token = static_cast<int32_t>(std::max_element(last, logits.end()) - last);
      ASSERT_GE(golden.greedy_gap[usize(i)], kClearGap) << "the reference itself is a coin toss";
      ASSERT_EQ(token, golden.greedy[usize(i)]) << "ranks " << ranks << " token " << i;
      ids.push_back(token);
      logits = testing::run_model(*runner, ids, ssize(ids.size()) - 1, 1);
    }
  }
}

TEST_P(GoldenTest, ReferenceOpsAndExpandedMlaAgree) {
  const Golden golden = load_golden(GetParam());
  const auto reference = load_model(golden, 1, {}, /*reference=*/true);
  ASSERT_NE(reference, nullptr);
  expect_close(golden, testing::run_model(*reference, golden.ids, 0, 64), "reference ops");
  const auto expanded = load_model(golden, 2, {.mla_form = MlaForm::kExpanded});
  ASSERT_NE(expanded, nullptr);
  expect_close(golden, testing::run_model(*expanded, golden.ids, 0, 64), "expanded");
  expect_close(golden, testing::run_model(*expanded, golden.ids, 0, 7), "expanded, chunk 7");
}

TEST_P(GoldenTest, RanksReadTheirSlicesOnly) {
  const Golden golden = load_golden(GetParam());
  const auto one = load_model(golden, 1);
  ASSERT_NE(one, nullptr);
  const int64_t whole = one->read_bytes().front();
  for (const int64_t ranks : golden.legal_ranks) {
    const auto runner = load_model(golden, narrow<int>(ranks));
    ASSERT_NE(runner, nullptr);
    int64_t sum = 0;
    for (const int64_t bytes : runner->read_bytes()) {
      sum += bytes;
      EXPECT_LT(bytes, ranks == 1 ? whole + 1 : whole) << "ranks " << ranks;
    }
    EXPECT_GE(sum, whole);
  }
}

// Of the same model, made up from its configuration: every parameter in the format that the
// checkpoint has it in.
TEST_P(GoldenTest, MadeUpWeightsAreAsLargeAsTheCheckpoint) {
  const Golden golden = load_golden(GetParam());
  const HfConfig config = HfConfig::load(golden.directory).value();
  const auto checkpoint = Checkpoint::open(golden.directory).value();
  const TensorInfo* embedding = checkpoint->find("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  for (const int64_t ranks : golden.legal_ranks) {
    for (int rank = 0; rank < ranks; ++rank) {
      const auto worker = RankWorker::create(config, {}, rank, narrow<int>(ranks)).value();
      const int64_t stored = worker->plan(checkpoint.get(), config.quant)->weight_bytes;
      EXPECT_EQ(worker->plan(nullptr, config.quant, embedding->dtype)->weight_bytes, stored)
          << "rank " << rank << " of " << ranks;
    }
  }
}

TEST_P(GoldenTest, IllegalRankCountNamesTheLegalOnes) {
  const Golden golden = load_golden(GetParam());
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
  ModelLoadOptions options;
  options.directory = golden.directory;
  options.ranks = 3;
  const Result<std::unique_ptr<RankedModelRunner>> runner =
      RankedModelRunner::load(*backend, options);
  ASSERT_FALSE(runner.ok());
  EXPECT_EQ(runner.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(runner.status().message().find("legal for this model: 1, 2, 4"), std::string::npos)
      << runner.status().message();
}

// Lacks products of FP8 blocks; ends the test if any operation is called.
class DenseOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

  Status supports(const OpCall& op) const override {
    return op.visit([](const auto& args) -> Status {
      if constexpr (requires { args.weight.format(); }) {
        if (!args.weight.format().dense()) {
          return error(StatusCode::kUnsupported, "{}: {}", args.kName, args.weight.name);
        }
      }
      return ok_status();
    });
  }

 private:
  void execute(const OpCall& op) override { TUTTI_CHECK_MSG(false, "{} was called", op.name()); }
};

TEST(SupportTest, WhatABackendLacksIsRefusedAtLoad) {
  const auto load = [](const std::string& fixture) {
    const Golden golden = load_golden(fixture);
    WrappedBackend backend(make_cpu_backend({.threads = 1}), [](RankResources& rank) {
      return std::make_unique<DenseOps>(std::move(rank.ops));
    });
    return testing::load_model(backend, golden.directory, 2).status();
  };
  EXPECT_TRUE(load("dsv3_bf16").ok());
  const Status status = load("dsv3_fp8");
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_NE(status.message().find("linear: model.layers.0.self_attn.q_a_proj+kv_a_proj_with_mqa"),
            std::string::npos)
      << status.message();
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         GoldenTest,
                         ::testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti
