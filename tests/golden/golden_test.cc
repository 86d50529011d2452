// Logits and greedy continuations of tiny random checkpoints against Hugging Face transformers, at
// every legal rank count, as one prefill, in chunks of 7 and token by token. README.md explains the
// fixtures.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "base/file.h"
#include "engine/ranks/ranked_model_runner.h"
#include "golden/npy.h"

namespace tutti {
namespace {

constexpr int64_t kGreedyTokens = 32;

struct Golden {
  std::string directory;
  std::string weights;
  std::vector<int32_t> ids;
  std::vector<int32_t> greedy;
  std::vector<double> greedy_gap;
  std::vector<int64_t> legal_ranks;
  testing::NpyMatrix logits;
};

std::string fixtures_directory() {
  return std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures";
}

std::vector<int32_t> ints(const Json& json) {
  std::vector<int32_t> out;
  for (const Json& j : json.as_array()) {
    out.push_back(narrow<int32_t>(j.as_int()));
  }
  return out;
}

Golden load_golden(const std::string& name) {
  Golden golden;
  golden.directory = join_path(fixtures_directory(), name);
  const Json json = parse_json_file(join_path(golden.directory, "golden.json")).value();
  golden.weights = json.find("weights")->as_string();
  golden.ids = ints(*json.find("ids"));
  golden.greedy = ints(*json.find("greedy"));
  for (const Json& gap : json.find("greedy_gap")->as_array()) {
    golden.greedy_gap.push_back(gap.as_number());
  }
  for (const int32_t ranks : ints(*json.find("legal_tp"))) {
    golden.legal_ranks.push_back(ranks);
  }
  golden.logits = testing::read_npy(join_path(golden.directory, "logits.npy")).value();
  return golden;
}

std::unique_ptr<RankedModelRunner> load_model(const Golden& golden,
                                              int ranks,
                                              const ModelOptions& model = {},
                                              bool reference = false) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2, .reference = reference});
  ModelLoadOptions options;
  options.directory = golden.directory;
  options.ranks = ranks;
  options.context = 128;
  options.kv_memory = int64_t{8} << 20;
  options.max_batch_tokens = 64;
  options.max_batch_sequences = 4;
  options.max_logit_rows = 64;
  options.model = model;
  Result<std::unique_ptr<RankedModelRunner>> runner = RankedModelRunner::load(*backend, options);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  return runner.ok() ? std::move(runner).value() : nullptr;
}

// Runs `ids` from position `begin` in steps of `chunk` and returns the logits of every token.
std::vector<float> run(RankedModelRunner& runner,
                       const std::vector<int32_t>& ids,
                       int64_t begin,
                       int64_t chunk) {
  std::vector<float> all;
  // Blocks in a scattered order, so that nothing can rely on contiguous storage.
  const std::vector<int32_t> blocks{5, 2, 9, 0, 7, 3, 11, 8};
  for (int64_t at = begin; at < ssize(ids.size()); at += chunk) {
    const int64_t count = std::min(chunk, ssize(ids.size()) - at);
    Batch batch;
    std::vector<int32_t> rows;
    for (int64_t i = 0; i < count; ++i) {
      batch.tokens.push_back(ids[usize(at + i)]);
      batch.positions.push_back(narrow<int32_t>(at + i));
      rows.push_back(narrow<int32_t>(i));
    }
    batch.sequences.push_back(
        {.sequence_id = 1, .token_count = count, .context_before = at, .blocks = blocks});
    const std::vector<float> logits = runner.logits(batch, rows).value();
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

void expect_close(const Golden& golden, const std::vector<float>& got, const std::string& what) {
  const std::vector<float>& want = golden.logits.values;
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  double largest = 0;
  double error2 = 0;
  double want2 = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    worst = std::max(worst, std::abs(difference));
    largest = std::max(largest, std::abs(static_cast<double>(want[i])));
    error2 += difference * difference;
    want2 += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  if (golden.weights == "f32") {
    EXPECT_LE(worst, 2e-5 * largest) << what;
  }
  EXPECT_LE(error2 / want2, 1e-8) << what;
  EXPECT_TRUE(std::isfinite(error2)) << what;
}

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, LogitsAtEveryRankCountAndChunk) {
  const Golden golden = load_golden(GetParam());
  for (const int64_t ranks : golden.legal_ranks) {
    const auto runner = load_model(golden, narrow<int>(ranks));
    ASSERT_NE(runner, nullptr);
    const std::vector<float> whole = run(*runner, golden.ids, 0, 64);
    expect_close(golden, whole, fmt::format("ranks {} whole", ranks));
    for (const int64_t chunk : {int64_t{7}, int64_t{1}}) {
      const std::vector<float> chunked = run(*runner, golden.ids, 0, chunk);
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
    std::vector<float> logits = run(*runner, ids, 0, 64);
    for (int64_t i = 0; i < kGreedyTokens; ++i) {
      const auto last = logits.end() - vocab;
      const auto token = static_cast<int32_t>(std::max_element(last, logits.end()) - last);
      if (golden.greedy_gap[usize(i)] < 0.01) {
        break;  // from here on the reference itself is a coin toss
      }
      ASSERT_EQ(token, golden.greedy[usize(i)]) << "ranks " << ranks << " token " << i;
      ids.push_back(token);
      logits = run(*runner, ids, ssize(ids.size()) - 1, 1);
    }
  }
}

TEST_P(GoldenTest, ReferenceOpsAndExpandedMlaAgree) {
  const Golden golden = load_golden(GetParam());
  const auto reference = load_model(golden, 1, {}, /*reference=*/true);
  ASSERT_NE(reference, nullptr);
  expect_close(golden, run(*reference, golden.ids, 0, 64), "reference ops");
  const auto expanded = load_model(golden, 2, {.mla_form = MlaForm::kExpanded});
  ASSERT_NE(expanded, nullptr);
  expect_close(golden, run(*expanded, golden.ids, 0, 64), "expanded");
  expect_close(golden, run(*expanded, golden.ids, 0, 7), "expanded, chunk 7");
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

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures_directory())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         GoldenTest,
                         ::testing::ValuesIn(fixture_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti
