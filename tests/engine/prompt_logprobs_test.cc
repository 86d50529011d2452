// Log-probabilities of prompts: over the fake runner whatever is cached, chunked or preempted; over
// real models bit for bit what their logits say, which is what `tutti score` writes.
#include <cmath>
#include <random>
#include <semaphore>

#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "engine/engine.h"
#include "engine/ranks/ranked_model_runner.h"
#include "engine/text_engine_fakes.h"

namespace tutti {
namespace {

struct Heard {
  std::vector<PromptScore> scores;
  std::vector<int32_t> tokens;
  bool late = false;  // a score after output
  Status status;
};

class Recorder final : public TokenSink {
 public:
  Recorder(Heard& heard, std::counting_semaphore<>& done) : heard_(heard), done_(done) {}

  void on_event(const SequenceEvent& event) override {
    heard_.late |= !event.scores.empty() && !heard_.tokens.empty();
    heard_.scores.insert(heard_.scores.end(), event.scores.begin(), event.scores.end());
    for (const SampledToken& token : event.tokens) {
      heard_.tokens.push_back(token.token);
    }
    if (event.last()) {
      heard_.status = event.status;
      done_.release();
    }
  }

 private:
  Heard& heard_;
  std::counting_semaphore<>& done_;
};

std::vector<Heard> run(Engine& engine, const std::vector<SequenceRequest>& requests) {
  std::vector<Heard> heard(requests.size());
  std::counting_semaphore<> done(0);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_TRUE(engine.submit({requests[i]}, std::make_shared<Recorder>(heard[i], done)).ok());
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    done.acquire();
  }
  return heard;
}

bool same(const PromptScore& a, const PromptScore& b) {
  if (a.token.token != b.token.token || a.token.logprob != b.token.logprob || a.rank != b.rank ||
      a.token.top.size() != b.token.top.size()) {
    return false;
  }
  for (size_t i = 0; i < a.token.top.size(); ++i) {
    if (a.token.top[i].token != b.token.top[i].token ||
        a.token.top[i].logprob != b.token.top[i].logprob) {
      return false;
    }
  }
  return true;
}

constexpr int64_t kContext = 64;

/// Prompts that begin alike; half of them want scores.
std::vector<SequenceRequest> make_requests(int64_t vocab, uint64_t seed, int count) {
  std::mt19937_64 rng(seed);
  std::vector<int32_t> story;
  for (int64_t i = 0; i < kContext; ++i) {
    story.push_back(static_cast<int32_t>(rng() % static_cast<uint64_t>(vocab)));
  }
  std::vector<SequenceRequest> requests;
  for (int i = 0; i < count; ++i) {
    SequenceRequest& r = requests.emplace_back();
    r.id = static_cast<uint64_t>(i) + 1;
    r.prompt.assign(story.begin(), story.begin() + static_cast<ptrdiff_t>(1 + rng() % 40));
    if (rng() % 2 == 0) {
      r.prompt[rng() % r.prompt.size()] = 0;
    }
    r.max_tokens = 1 + static_cast<int64_t>(rng() % 20);
    r.sampling.temperature = rng() % 2 == 0 ? 0.0F : 1.5F;
    r.sampling.seed = rng();
    r.sampling.top_logprobs = rng() % 4 == 0 ? 2 : -1;
    r.sampling.prompt_logprobs = rng() % 2 == 0 ? static_cast<int32_t>(rng() % 4) : -1;
  }
  return requests;
}

TEST(PromptLogprobs, EveryTokenIsScoredOnceWhateverIsCachedOrPreempted) {
  const uint64_t seed = 20251128;
  const std::vector<SequenceRequest> requests = make_requests(300, seed, 80);
  for (const bool cache : {false, true}) {
    for (const int64_t chunk : {1, 7, 0}) {
      RunnerLimits limits = fake_limits();
      limits.num_blocks = 24;
      limits.max_score_rows = 5;
      auto runner = std::make_unique<FakeModelRunner>(limits);
      std::atomic<int64_t> most = 0;
      runner->set_hook([&](const Batch& batch) {
        int64_t scores = 0;
        for (const BatchSequence& s : batch.sequences) {
          scores += batch.scores_of(s).count;
        }
        most = std::max(most.load(), scores);
        return Status();
      });
      EngineConfig config;
      config.prefix_cache = cache;
      config.max_prefill_chunk = chunk;
      Engine engine(config, std::move(runner));
      const std::vector<Heard> heard = run(engine, requests);
      for (size_t i = 0; i < requests.size(); ++i) {
        const SequenceRequest& r = requests[i];
        ASSERT_TRUE(heard[i].status.ok());
        ASSERT_FALSE(heard[i].late);
        const bool wants = r.sampling.prompt_logprobs >= 0;
        ASSERT_EQ(heard[i].scores.size(), wants ? r.prompt.size() - 1 : 0) << "request " << i;
        for (size_t t = 0; t < heard[i].scores.size(); ++t) {
          const auto want = fake_score(
              std::span(r.prompt).first(t + 1), r.prompt[t + 1], r.sampling.prompt_logprobs);
          ASSERT_TRUE(same(heard[i].scores[t], want)) << "request " << i << ", token " << t + 1;
        }
        ASSERT_EQ(heard[i].tokens,
                  fake_output(r.prompt, r.sampling, 0, r.max_tokens, {}, limits.vocab_size))
            << "request " << i << ", seed=" << seed;
      }
      const EngineStats stats = engine.stats();
      EXPECT_GT(stats.preemptions, 3U) << "cache " << cache << ", chunk " << chunk;
      EXPECT_EQ(stats.prefix_cache_hits > 0, cache) << "those without scores use the cache";
      EXPECT_LE(most.load(), 5);
      EXPECT_EQ(stats.kv_blocks_used, 0);
    }
  }
}

TEST(PromptLogprobs, ARunnerWithoutRoomForThemRefuses) {
  Engine engine({}, std::make_unique<FakeModelRunner>(fake_limits()));
  SequenceRequest request;
  request.id = 1;
  request.prompt = {1, 2};
  request.sampling.prompt_logprobs = 0;
  std::counting_semaphore<> done(0);
  Heard heard;
  const Status status = engine.submit({request}, std::make_shared<Recorder>(heard, done));
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_EQ(status.param(), "prompt_logprobs");
}

// ---- Real models

ModelLoadOptions load_options(const std::string& fixture, int ranks) {
  ModelLoadOptions options;
  options.directory = std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/" + fixture;
  options.ranks = ranks;
  options.context = kContext;
  options.kv_memory = int64_t{8} << 20;
  options.max_batch_tokens = 64;
  options.max_batch_sequences = 8;
  options.max_logit_rows = 8;
  options.block_size = 4;
  return options;
}

std::unique_ptr<RankedModelRunner> load(const ModelLoadOptions& options) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
  auto runner = RankedModelRunner::load(*backend, options);
  EXPECT_TRUE(runner.ok()) << runner.status().message();
  return std::move(runner).value();
}

/// The logits of a whole prompt as `tutti score` gets them, then the definition in plain double.
std::vector<PromptScore> by_definition(RankedModelRunner& runner, const SequenceRequest& request) {
  const auto count = ssize(request.prompt.size());
  Batch batch;
  std::vector<int32_t> rows;
  std::vector<int32_t> blocks;
  for (int64_t i = 0; i < count; ++i) {
    batch.tokens.push_back(request.prompt[usize(i)]);
    batch.positions.push_back(static_cast<int32_t>(i));
    rows.push_back(static_cast<int32_t>(i));
    if (i % 4 == 0) {
      blocks.push_back(static_cast<int32_t>(i / 4));
    }
  }
  batch.sequences.push_back({.sequence_id = 1, .token_count = count});
  batch.update_blocks(0, 0, blocks);
  const std::vector<float> all = runner.logits(batch, rows).value();
  const size_t vocab = usize(runner.limits().vocab_size);
  std::vector<PromptScore> out;
  for (int64_t i = 0; i + 1 < count; ++i) {
    const std::span<const float> logits = std::span(all).subspan(usize(i) * vocab, vocab);
    const double best = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const float logit : logits) {
      sum += std::exp(logit - best);
    }
    const auto logprob = [&](int32_t t) {
      return static_cast<float>(logits[usize(t)] - (best + std::log(sum)));
    };
    std::vector<int32_t> order(vocab);
    for (size_t t = 0; t < vocab; ++t) {
      order[t] = static_cast<int32_t>(t);
    }
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[usize(a)] > logits[usize(b)];
    });
    PromptScore& score = out.emplace_back();
    const int32_t token = request.prompt[usize(i + 1)];
    score.token.token = token;
    score.token.logprob = logprob(token);
    score.rank = static_cast<int32_t>(std::count_if(
        logits.begin(), logits.end(), [&](float l) { return l >= logits[usize(token)]; }));
    for (int32_t k = 0; k < request.sampling.prompt_logprobs; ++k) {
      score.token.top.push_back({.token = order[usize(k)], .logprob = logprob(order[usize(k)])});
    }
  }
  return out;
}

class PromptLogprobsOfModels : public ::testing::TestWithParam<std::string> {};

TEST_P(PromptLogprobsOfModels, AreThoseOfTheLogitsBitForBit) {
  const uint64_t seed = 20251129;
  for (const int ranks : {1, 2}) {
    ModelLoadOptions options = load_options(GetParam(), ranks);
    options.max_logit_rows = 64;
    std::vector<SequenceRequest> requests;
    std::vector<std::vector<PromptScore>> want;
    int64_t token_bytes = 0;
    {
      const auto scorer = load(options);
      token_bytes = scorer->kv_bytes_per_token();
      requests = make_requests(scorer->limits().vocab_size, seed, 24);
      for (const SequenceRequest& r : requests) {
        want.push_back(by_definition(*scorer, r));
      }
    }
    std::vector<std::vector<int32_t>> said;
    for (const bool cache : {false, true}) {
      for (const int64_t chunk : {1, 7, 0}) {
        ModelLoadOptions small = load_options(GetParam(), ranks);
        small.kv_memory = 24 * 4 * token_bytes;
        small.max_score_rows = chunk == 0 ? 64 : 9;
        EngineConfig config;
        config.prefix_cache = cache;
        config.max_prefill_chunk = chunk;
        Engine engine(config, load(small));
        const std::vector<Heard> heard = run(engine, requests);
        for (size_t i = 0; i < requests.size(); ++i) {
          ASSERT_TRUE(heard[i].status.ok()) << heard[i].status.message();
          const size_t count =
              requests[i].sampling.prompt_logprobs < 0 ? 0 : requests[i].prompt.size() - 1;
          ASSERT_EQ(heard[i].scores.size(), count);
          for (size_t t = 0; t < count; ++t) {
            ASSERT_TRUE(same(heard[i].scores[t], want[i][t]))
                << ranks << " ranks, cache " << cache << ", chunk " << chunk << ", request " << i
                << ", token " << t + 1 << ", seed=" << seed;
          }
          if (said.size() <= i) {
            said.push_back(heard[i].tokens);
          }
          ASSERT_EQ(heard[i].tokens, said[i]) << "request " << i << ", seed=" << seed;
        }
        EXPECT_GT(engine.stats().preemptions, 0U) << "cache " << cache << ", chunk " << chunk;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures,
                         PromptLogprobsOfModels,
                         ::testing::Values("dsv3_base_f32", "llama_base_f32"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti
