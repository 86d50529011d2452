// The model that ships with the program under load: 32 requests at once, a KV pool much too small
// for them, every chunk size, prefix cache off and on, one and two ranks. Every byte must be what
// the request gets when it is alone.
//   TUTTI_LOAD_FULL=1: 200 requests in every combination; otherwise fewer in a few.
#include "engine/tiny_r1_load.h"

#include <chrono>
#include <cstdlib>
#include <semaphore>

#include "backend/cpu_backend.h"

namespace tutti::test {
namespace {

bool full() {
  return std::getenv("TUTTI_LOAD_FULL") != nullptr;
}

struct LoadRun {
  std::vector<Answer> answers;
  EngineStats stats;
  double seconds = 0;
};

LoadRun run(const Model& model,
            const std::vector<GenerationRequest>& requests,
            const LoadSetup& setup) {
  LoadRun out;
  out.answers.resize(requests.size());
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 2});
  const std::unique_ptr<TextEngine> engine = start(*backend, model, setup);
  if (engine == nullptr) {
    return out;
  }
  std::counting_semaphore<> room(setup.concurrency);
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < requests.size(); ++i) {
    room.acquire();
    const auto id =
        engine->generate(requests[i], std::make_shared<AnswerSink>(out.answers[i], room));
    EXPECT_TRUE(id.ok()) << id.status().message();
  }
  EXPECT_TRUE(engine->drain(std::chrono::minutes(10)));
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  out.stats = engine->stats();
  EXPECT_EQ(out.stats.kv_blocks_used, 0);
  return out;
}

TEST(TinyR1Load, EveryByteIsAsIfTheRequestWereAlone) {
  const Model model = load_text();
  const size_t count = full() ? 200 : 24;
  const std::vector<GenerationRequest> requests = make_requests(model, count, full());
  int64_t tokens = 0;
  for (const int ranks : {1, 2}) {
    const LoadRun alone = run(model, requests, {.ranks = ranks, .concurrency = 1});
    for (const Answer& answer : alone.answers) {
      ASSERT_TRUE(answer.finish == "stop" || answer.finish == "length") << answer.finish;
      tokens += ssize(answer.tokens.size());
    }
    printf("%d rank(s): %zu requests alone, %d tokens, %.1f s\n",
           ranks,
           count,
           static_cast<int>(alone.stats.generated_tokens),
           alone.seconds);
    std::vector<LoadSetup> setups;
    for (const bool cache : {false, true}) {
      for (const int64_t chunk : {16, 64, 512}) {
        // Otherwise one of each, spread over the ranks.
        if (full() || (chunk == 16 && cache && ranks == 1) ||
            (chunk == 64 && !cache && ranks == 2)) {
          setups.push_back({.ranks = ranks, .blocks = 34, .chunk = chunk, .cache = cache});
        }
      }
    }
    for (const LoadSetup& setup : setups) {
      const LoadRun loaded = run(model, requests, setup);
      printf(
          "%d rank(s), chunk %3d, cache %s: %d preemptions, %d of %d prompt tokens cached, %d "
          "evictions, %.1f s\n",
          setup.ranks,
          static_cast<int>(setup.chunk),
          setup.cache ? "on " : "off",
          static_cast<int>(loaded.stats.preemptions),
          static_cast<int>(loaded.stats.prefix_cache_hits),
          static_cast<int>(loaded.stats.prefix_cache_queries),
          static_cast<int>(loaded.stats.prefix_cache_evictions),
          loaded.seconds);
      for (size_t i = 0; i < requests.size(); ++i) {
        ASSERT_EQ(loaded.answers[i].text, alone.answers[i].text) << "request " << i;
        ASSERT_EQ(loaded.answers[i], alone.answers[i]) << "request " << i;
      }
      // The short run has fewer requests than may run at once.
      EXPECT_GE(loaded.stats.preemptions, full() ? count : count / 4);
      EXPECT_EQ(loaded.stats.prefix_cache_hits > 0, setup.cache);
    }
  }
  EXPECT_GT(tokens, ssize(count) * 20) << "the model must have said something";
}

}  // namespace
}  // namespace tutti::test
