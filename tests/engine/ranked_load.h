// Thirty random requests to a real model of the fixtures, all at once or one by one, and what each
// of them says.
#pragma once
#include <functional>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/ranks/ranked_model_runner.h"

namespace tutti::test {

constexpr int64_t kBlockSize = 4;
constexpr int64_t kContext = 64;

struct LoadSetup {
  std::string fixtures = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures";
  std::string fixture;
  int ranks = 1;
  int64_t blocks = 0;
  int64_t sequences = 8;
  int64_t adjusted = AdjustedRows::kMaxRows;  // ModelLoadOptions::max_adjusted_rows
  EngineConfig engine;
};

class Recorder final : public TokenSink {
 public:
  explicit Recorder(std::counting_semaphore<>& done) : done_(done) {}

  void on_event(const SequenceEvent& event) override {
    for (const SampledToken& token : event.tokens) {
      said.push_back({token.token, token.logprob});
      for (const TopLogprob& top : token.top) {
        said.push_back({top.token, top.logprob});
      }
    }
    if (event.last()) {
      status = event.status;
      done_.release();
    }
  }

  std::vector<std::pair<int32_t, float>> said;
  Status status;

 private:
  std::counting_semaphore<>& done_;
};

inline std::unique_ptr<Engine> start(const LoadSetup& setup, Backend& backend) {
  ModelLoadOptions options;
  options.directory = setup.fixtures + "/" + setup.fixture;
  options.compute = DType::kF32;
  options.ranks = setup.ranks;
  options.context = kContext;
  options.kv_memory = int64_t{8} << 20;
  options.max_batch_tokens = 24;
  options.max_batch_sequences = setup.sequences;
  options.max_logit_rows = setup.sequences;
  options.max_adjusted_rows = setup.adjusted;
  options.block_size = kBlockSize;
  auto probe = RankedModelRunner::load(backend, options);
  EXPECT_TRUE(probe.ok()) << probe.status().message();
  options.kv_memory = setup.blocks * kBlockSize * (*probe)->kv_bytes_per_token();
  auto runner = RankedModelRunner::load(backend, options);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  return std::make_unique<Engine>(setup.engine, std::move(runner).value());
}

inline std::vector<std::vector<SequenceRequest>> make_requests(int64_t vocab, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<int32_t> story;
  for (int64_t i = 0; i < kContext; ++i) {
    story.push_back(static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab)));
  }
  std::vector<std::vector<SequenceRequest>> requests;
  uint64_t id = 1;
  for (int i = 0; i < 30; ++i) {
    SequenceRequest r;
    const auto length = static_cast<std::ptrdiff_t>(1 + rng() % 40);
    r.prompt.assign(story.begin(), story.begin() + length);
    if (rng() % 2 == 0) {
      r.prompt[rng() % r.prompt.size()] = 0;
    }
    r.max_tokens = 1 + static_cast<int64_t>(rng() % 20);
    r.sampling.temperature = rng() % 2 == 0 ? 0.0F : 2.0F;
    r.sampling.presence_penalty = rng() % 3 == 0 ? 0.7F : 0.0F;
    r.sampling.repetition_penalty = rng() % 4 == 0 ? 1.3F : 1.0F;
    r.sampling.top_logprobs = rng() % 4 == 0 ? 3 : -1;
    r.sampling.seed = rng();
    if (rng() % 3 == 0) {
      LogitRules rules;
      rules.min_tokens = static_cast<int64_t>(rng() % 10);
      rules.end_ids = {1, 2, 3};
      const auto any = [&] { return static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab)); };
      for (int k = 0; k < 8; ++k) {
        rules.bad_words.push_back({any()});
        rules.bad_words.push_back({any(), any()});
        rules.bias.push_back({.token = k * 3, .bias = static_cast<float>(rng() % 7) - 3.0F});
      }
      r.rules = std::make_shared<const LogitRules>(std::move(rules));
    }
    r.stop_ids = {2};
    r.awaits_token = rng() % 6 == 0;
    r.priority = static_cast<int32_t>(rng() % 3);
    const uint64_t choices = rng() % 5 == 0 ? 3 : 1;
    std::vector<SequenceRequest>& group = requests.emplace_back();
    for (uint64_t c = 0; c < choices; ++c) {
      r.fork_of = c == 0 ? 0 : group[0].id;
      r.id = id++;
      r.choice = static_cast<int32_t>(c);
      group.push_back(r);
    }
  }
  return requests;
}

/// What a test alters about each request.
using Change = std::function<void(SequenceRequest&)>;

struct LoadRun {
  // Per sequence.
  std::vector<std::vector<std::pair<int32_t, float>>> said;
  std::vector<StatusCode> codes;
  EngineStats stats;
};

/// `alone`: every sequence by itself, without its siblings.
inline LoadRun run_load(const LoadSetup& setup,
                        bool alone,
                        uint64_t seed,
                        Backend& backend,
                        const Change& change = {}) {
  LoadRun out;
  const std::unique_ptr<Engine> engine = start(setup, backend);
  std::counting_semaphore<> done(0);
  std::vector<std::shared_ptr<Recorder>> recorders;
  for (std::vector<SequenceRequest>& group : make_requests(engine->limits().vocab_size, seed)) {
    for (SequenceRequest& r : group) {
      recorders.push_back(std::make_shared<Recorder>(done));
      if (change) {
        change(r);
      }
      r.fork_of = alone ? 0 : r.fork_of;
      EXPECT_TRUE(engine->submit({r}, recorders.back()).ok());
      if (alone) {
        done.acquire();
      }
    }
  }
  EXPECT_TRUE(engine->drain(std::chrono::minutes(2)));
  for (const auto& recorder : recorders) {
    out.codes.push_back(recorder->status.code());
    out.said.push_back(recorder->said);
  }
  out.stats = engine->stats();
  EXPECT_EQ(out.stats.kv_blocks_used, 0);
  return out;
}

}  // namespace tutti::test
