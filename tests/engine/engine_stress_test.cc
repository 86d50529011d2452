// Many threads submit, cancel and read statistics at once; every request must end exactly once and
// finished ones must say what they say alone.
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "engine/text_engine_fakes.h"

namespace tutti {
namespace {

/// Cancels its own generation from the delivery thread after some deltas.
class ImpatientSink final : public GenerationSink {
 public:
  void on_delta(GenerationDelta /*delta*/) override {
    if (++deltas_ == 3) {
      engine->cancel(id.load());
    }
  }

  void on_done(const GenerationUsage& /*usage*/) override { ended.fetch_add(1); }

  void on_error(const Status& /*status*/) override { ended.fetch_add(1); }

  LanguageModel* engine = nullptr;
  std::atomic<uint64_t> id = 0;
  std::atomic<int> ended = 0;

 private:
  int deltas_ = 0;
};

TextEngineParts tight_parts() {
  RunnerLimits limits = fake_limits();
  limits.num_blocks = 34;  // little more than one full context: preemptions are frequent
  TextEngineParts parts;
  parts.runner = std::make_unique<FakeModelRunner>(limits);
  parts.defaults.eos_token_ids = {299};
  parts.text = std::make_shared<FakeTokenText>(std::vector<std::string>{});
  parts.engine = {.max_waiting = 64, .delivery_capacity = 4, .max_prefill_chunk = 7};
  return parts;
}

GenerationRequest random_request(std::mt19937_64& rng) {
  GenerationRequest request;
  for (uint64_t i = 0; i < 1 + rng() % 60; ++i) {
    request.prompt.push_back(static_cast<int32_t>(rng() % 300));
  }
  request.sampling.seed = rng();
  request.max_tokens = 1 + static_cast<int64_t>(rng() % 60);
  request.n = rng() % 4 == 0 ? 3 : 1;
  return request;
}

struct Tally {
  std::atomic<int> finished = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<int> refused = 0;
};

void client(TextEngine& engine, uint64_t seed, int requests, Tally& tally) {
  std::mt19937_64 rng(seed);
  for (int i = 0; i < requests; ++i) {
    const GenerationRequest request = random_request(rng);
    const auto sink = std::make_shared<RecordingSink>();
    const auto id = engine.generate(request, sink);
    if (!id.ok()) {
      EXPECT_EQ(id.status().code(), StatusCode::kOverloaded);
      tally.refused.fetch_add(1);
      std::this_thread::yield();
      continue;
    }
    if (rng() % 3 == 0) {
      if (rng() % 2 == 0) {
        sink->wait_for_delta();
      }
      engine.cancel(*id);
    }
    ASSERT_TRUE(sink->wait()) << "seed=" << seed;
    ASSERT_TRUE(sink->well_behaved());
    if (sink->status().ok()) {
      tally.finished.fetch_add(1);
      const std::vector<int32_t> eos = {299};
      for (int32_t c = 0; c < request.n; ++c) {
        ASSERT_EQ(sink->tokens(static_cast<size_t>(c)),
                  fake_output(request.prompt, request.sampling, c, *request.max_tokens, eos, 300))
            << "seed=" << seed;
      }
    } else {
      ASSERT_EQ(sink->status().code(), StatusCode::kCancelled) << sink->status().message();
      tally.cancelled.fetch_add(1);
    }
  }
}

TEST(EngineStress, ManyClientsAtOnce) {
  TextEngine engine(tight_parts());
  Tally tally;
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    threads.emplace_back([&, seed] { client(engine, seed, 60, tally); });
  }
  for (int i = 0; i < 200; ++i) {
    const EngineStats stats = engine.stats();
    EXPECT_LE(stats.kv_blocks_used, stats.kv_blocks_total);
    EXPECT_TRUE(engine.health().ok());
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_TRUE(engine.drain(std::chrono::seconds(30)));
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.requests_running + stats.requests_waiting, 0);
  EXPECT_EQ(stats.requests_finished, static_cast<uint64_t>(tally.finished.load()));
  EXPECT_EQ(stats.requests_cancelled, static_cast<uint64_t>(tally.cancelled.load()));
  EXPECT_GT(stats.preemptions, 0U);
  EXPECT_GT(tally.finished.load(), 100);
}

TEST(EngineStress, SinksMayCancelFromTheDeliveryThread) {
  std::vector<std::shared_ptr<ImpatientSink>> sinks;
  TextEngine engine(tight_parts());
  std::mt19937_64 rng(3);
  for (int i = 0; i < 60; ++i) {
    const auto sink = std::make_shared<ImpatientSink>();
    sink->engine = &engine;
    const auto id = engine.generate(random_request(rng), sink);
    if (id.ok()) {
      sink->id = *id;
      sinks.push_back(sink);
    }
  }
  EXPECT_TRUE(engine.drain(std::chrono::seconds(30)));
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->ended.load(), 1);
  }
}

TEST(EngineStress, ShutdownDuringSubmission) {
  for (uint64_t round = 0; round < 20; ++round) {
    TextEngine engine(tight_parts());
    std::vector<std::thread> threads;
    std::atomic<int> accepted = 0;
    std::atomic<int> ended = 0;
    for (uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 rng(round * 10 + t);
        std::vector<std::shared_ptr<RecordingSink>> sinks;
        for (int i = 0; i < 10; ++i) {
          const auto sink = std::make_shared<RecordingSink>();
          if (engine.generate(random_request(rng), sink).ok()) {
            accepted.fetch_add(1);
            sinks.push_back(sink);
          }
        }
        for (const auto& sink : sinks) {
          ended.fetch_add(sink->wait() && sink->well_behaved() ? 1 : 0);
        }
      });
    }
    engine.shutdown();
    for (std::thread& thread : threads) {
      thread.join();
    }
    ASSERT_EQ(accepted.load(), ended.load()) << "round " << round;
  }
}

}  // namespace
}  // namespace tutti
