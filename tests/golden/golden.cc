#include "golden/golden.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <stdexcept>

#include "base/file.h"

namespace tutti::testing {

namespace {

std::vector<int32_t> ints(const Json& json) {
  std::vector<int32_t> out;
  for (const Json& j : json.as_array()) {
    out.push_back(narrow<int32_t>(j.as_int()));
  }
  return out;
}

}  // namespace

std::string fixtures_directory() {
  const char* elsewhere = std::getenv("TUTTI_FIXTURES");  // NOLINT(concurrency-mt-unsafe)
  return elsewhere != nullptr ? elsewhere
                              : std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures";
}

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures_directory())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
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
  golden.bf16 = {.nmse = json.find("bf16_nmse")->as_number(),
                 .row_nmse = json.find("bf16_row_nmse")->as_number(),
                 .gap = json.find("bf16_gap")->as_number()};
  if (const Json* margin = json.find("router_margin")) {
    // Two scores may each be off by the error, towards each other.
    golden.steady_experts = margin->as_number() > 2 * json.find("bf16_router_error")->as_number();
  }
  golden.logits = read_npy(join_path(golden.directory, "logits.npy")).value();
  return golden;
}

Result<std::unique_ptr<RankedModelRunner>> load_model(Backend& backend,
                                                      const std::string& directory,
                                                      int ranks,
                                                      const ModelOptions& model,
                                                      std::optional<DType> compute,
                                                      bool record_steps) {
  ModelLoadOptions options;
  options.directory = directory;
  options.ranks = ranks;
  options.context = 128;
  options.kv_memory = int64_t{8} << 20;
  options.max_batch_tokens = 64;
  options.max_batch_sequences = 4;
  options.max_logit_rows = 64;
  options.model = model;
  options.compute = compute;
  options.record_steps = record_steps;
  // What one test measures the next need not measure again.
  options.cache_directory =
      (std::filesystem::temp_directory_path() / "tutti-golden-tuning").string();
  return RankedModelRunner::load(backend, options);
}

std::vector<float> run_model(RankedModelRunner& runner,
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
    batch.sequences.push_back({.sequence_id = 1,
                               .token_count = count,
                               .context_before = at,
                               .prompt_tokens = ssize(ids.size())});
    batch.update_blocks(0, 0, blocks);
    const Result<std::vector<float>> logits = runner.logits(batch, rows);
    if (!logits.ok()) {
      throw std::runtime_error(logits.status().message());
    }
    all.insert(all.end(), logits->begin(), logits->end());
  }
  return all;
}

double error_over_tolerance(const Golden& golden, const std::vector<float>& got) {
  constexpr double kMaxRelative = 2e-5;
  constexpr double kMaxNmse = 1e-8;
  const std::vector<float>& want = golden.logits.values;
  TUTTI_CHECK_EQ(got.size(), want.size());
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
  if (!std::isfinite(error2)) {
    return std::numeric_limits<double>::infinity();
  }
  const double nmse = error2 / want2 / kMaxNmse;
  return golden.weights == "f32" ? std::max(nmse, worst / (kMaxRelative * largest)) : nmse;
}

}  // namespace tutti::testing
