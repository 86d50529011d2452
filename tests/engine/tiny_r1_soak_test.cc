// Random load with cancellations for as long as one likes: the model that ships with the program on
// several ranks, a KV pool too small for what runs, requests that come and go. Every answer must be
// what the same request gets when it is alone, and a cancelled one the beginning of that.
//   TUTTI_SOAK_SECONDS=3600  how long (unset: the test is skipped)
//   TUTTI_SOAK_TP=2          ranks
//   TUTTI_SOAK_DEVICE=cuda   cpu is the default
//   TUTTI_SOAK_SEED=7        of the load; printed
// On a GPU rounding depends on what else is in the batch: there a greedy answer may leave the one
// of the lone request where two tokens were nearly equally likely, and drawn answers are only asked
// to end as they should.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>

#include <sys/resource.h>

#include "backend/cpu_backend.h"
#include "base/units.h"
#include "cuda/cuda_testing.h"
#include "engine/tiny_r1_load.h"

namespace tutti::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kRequests = 32;
constexpr int64_t kBlocks = 34;  // one sequence at full length
constexpr size_t kShown = 5;     // wrong answers that are printed

std::string setting(const char* name, const char* otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? given : otherwise;
}

// A reply as it comes, with the alternatives to each token where they were asked for.
struct Reply {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;
  std::string finish;
  Status error;
};

// What came of all replies. Filled by the delivery thread, read when the engine is idle.
struct Tally {
  int64_t requests = 0;
  int64_t cancelled = 0;
  int64_t tokens = 0;
  int64_t near_ties = 0;
  std::vector<std::string> wrong;
};

class Judge {
 public:
  /// `tie`: how much likelier one token may be than another that is as good; 0: none, and drawn
  /// answers are compared too.
  Judge(const std::vector<GenerationRequest>& requests, float tie)
      : requests_(requests), tie_(tie) {}

  std::vector<Reply> expected;

  void judge(size_t index, const Reply& reply, Tally& tally) const {
    const Reply& want = expected[index];
    ++tally.requests;
    tally.tokens += ssize(reply.tokens.size());
    const bool cancelled = reply.error.code() == StatusCode::kCancelled;
    tally.cancelled += cancelled ? 1 : 0;
    if (!cancelled && !reply.error.ok()) {
      tally.wrong.push_back(fmt::format("request {}: {}", index, reply.error.message()));
      return;
    }
    if (tie_ > 0 && requests_[index].sampling.temperature > 0) {
      return;
    }
    const auto [got, wanted] = std::mismatch(
        reply.tokens.begin(), reply.tokens.end(), want.tokens.begin(), want.tokens.end());
    const bool beginning = got == reply.tokens.end();
    const bool whole = beginning && wanted == want.tokens.end() && reply.text == want.text &&
                       reply.finish == want.finish;
    if (cancelled ? beginning && want.text.starts_with(reply.text) : whole) {
      return;
    }
    const size_t at = usize(got - reply.tokens.begin());
    if (tie_ > 0 && near_tie(want, at, beginning ? -1 : *got)) {
      ++tally.near_ties;
      return;
    }
    tally.wrong.push_back(
        fmt::format("request {}: token {} is another; wanted \"{}\" ({}), got "
                    "\"{}\" ({})",
                    index,
                    at,
                    want.text,
                    want.finish,
                    reply.text,
                    cancelled ? "cancelled" : reply.finish));
  }

 private:
  // Whether the lone request could as well have gone on with `token` at place `at`.
  bool near_tie(const Reply& want, size_t at, int32_t token) const {
    if (at >= want.logprobs.size()) {
      return false;
    }
    const TokenLogprobs& place = want.logprobs[at];
    for (const TokenLogprobs::Alternative& other : place.top) {
      if (other.token == token || (token < 0 && other.token != place.token)) {
        return place.logprob - other.logprob <= tie_;
      }
    }
    return false;
  }

  const std::vector<GenerationRequest>& requests_;
  const float tie_;
};

class SoakSink final : public GenerationSink {
 public:
  using Ended = std::function<void(const Reply&)>;

  explicit SoakSink(Ended ended) : ended_(std::move(ended)) {}

  void on_delta(GenerationDelta delta) override {
    for (const OutputEvent& event : delta.events) {
      reply_.text += event.text;
    }
    reply_.tokens.insert(reply_.tokens.end(), delta.tokens.begin(), delta.tokens.end());
    std::move(delta.logprobs.begin(), delta.logprobs.end(), std::back_inserter(reply_.logprobs));
    if (delta.finish) {
      reply_.finish = to_string(*delta.finish);
    }
  }

  void on_done(const GenerationUsage& /*usage*/) override { ended_(reply_); }

  void on_error(const Status& status) override {
    reply_.error = status;
    ended_(reply_);
  }

 private:
  Reply reply_;
  Ended ended_;
};

// The answer of each request when nothing else runs.
std::vector<Reply> answer_alone(TextEngine& engine,
                                const std::vector<GenerationRequest>& requests) {
  std::vector<Reply> replies(requests.size());
  std::counting_semaphore<> done(0);
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto id =
        engine.generate(requests[i], std::make_shared<SoakSink>([&](const Reply& reply) {
                          replies[i] = reply;
                          done.release();
                        }));
    EXPECT_TRUE(id.ok()) << id.status().message();
    done.acquire();
    EXPECT_TRUE(replies[i].error.ok()) << replies[i].error.message();
  }
  return replies;
}

struct Cancel {
  Clock::time_point at;
  uint64_t generation = 0;
};

void soak(TextEngine& engine,
          const std::vector<GenerationRequest>& requests,
          const Judge& judge,
          std::chrono::duration<double> time,
          uint64_t seed,
          Tally& tally) {
  std::mt19937_64 rng(seed);
  std::counting_semaphore<> room(kConcurrency);
  std::vector<Cancel> cancels;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(time);
  while (Clock::now() < end && engine.health().ok()) {
    const auto due = std::partition(
        cancels.begin(), cancels.end(), [](const Cancel& c) { return c.at > Clock::now(); });
    std::for_each(due, cancels.end(), [&](const Cancel& c) { engine.cancel(c.generation); });
    cancels.erase(due, cancels.end());
    if (!room.try_acquire_for(std::chrono::milliseconds(2))) {
      continue;
    }
    const size_t index = rng() % requests.size();
    const auto id =
        engine.generate(requests[index], std::make_shared<SoakSink>([&, index](const Reply& reply) {
                          judge.judge(index, reply, tally);
                          room.release();
                        }));
    ASSERT_TRUE(id.ok()) << id.status().message();
    if (rng() % 4 == 0) {
      const std::chrono::milliseconds after(rng() % 500);
      cancels.push_back({.at = Clock::now() + after, .generation = *id});
    }
    if (rng() % 64 == 0) {  // sometimes nearly nothing runs
      std::this_thread::sleep_for(std::chrono::milliseconds(rng() % 500));
    }
  }
  EXPECT_TRUE(engine.drain(std::chrono::minutes(2)));
}

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

Result<std::unique_ptr<Backend>> open_backend(bool cuda, int ranks) {
  if (cuda) {
    return open_cuda({.ranks = ranks});
  }
  return make_cpu_backend({.threads = 2});
}

TEST(TinyR1Soak, EveryAnswerIsAsIfTheRequestWereAlone) {
  const double seconds = std::strtod(setting("TUTTI_SOAK_SECONDS", "0").c_str(), nullptr);
  if (seconds <= 0) {
    GTEST_SKIP() << "TUTTI_SOAK_SECONDS says how long";
  }
  const bool cuda = setting("TUTTI_SOAK_DEVICE", "cpu") == "cuda";
  const int ranks = std::atoi(setting("TUTTI_SOAK_TP", "2").c_str());
  const uint64_t seed = std::strtoull(setting("TUTTI_SOAK_SEED", "1").c_str(), nullptr, 10);
  auto backend = open_backend(cuda, ranks);
  ASSERT_TRUE(backend.ok()) << backend.status().message();
  printf("soak: %d rank(s) on %s, %.0f s, seed %llu\n",
         ranks,
         (*backend)->describe({.ranks = ranks}).c_str(),
         seconds,
         static_cast<unsigned long long>(seed));

  const Model model = load_text();
  std::vector<GenerationRequest> requests = make_requests(model, kRequests, /*grow=*/false);
  if (cuda) {
    for (GenerationRequest& request : requests) {
      request.sampling.frequency_penalty = 0;  // the gap between two tokens is that of the model
      request.sampling.top_logprobs = request.sampling.temperature > 0 ? -1 : 5;
      request.ignore_eos = true;  // an end has no log-probability that could be looked at
    }
  }
  // In bf16 a logit of tiny-r1 is some 0.1 off; in f32 0.001.
  const bool bf16 = (*backend)->default_compute() == DType::kBF16;
  Judge judge(requests, !cuda ? 0.0F : bf16 ? 0.4F : 0.01F);
  {
    const std::unique_ptr<TextEngine> alone = start(**backend, model, {.ranks = ranks});
    ASSERT_NE(alone, nullptr);
    judge.expected = answer_alone(*alone, requests);
    printf("soak: the answers of %zu requests alone are known\n", kRequests);
  }
  Tally tally;
  const std::unique_ptr<TextEngine> engine =
      start(**backend, model, {.ranks = ranks, .blocks = kBlocks, .chunk = 64, .cache = true});
  ASSERT_NE(engine, nullptr);
  const int64_t before = peak_rss_bytes();
  soak(*engine, requests, judge, std::chrono::duration<double>(seconds), seed, tally);
  // Drained, so it takes no requests; but the ranks are well.
  EXPECT_NE(engine->health().code(), StatusCode::kDevice) << engine->health().message();
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.kv_blocks_used, 0);
  for (size_t i = 0; i < std::min(tally.wrong.size(), kShown); ++i) {
    ADD_FAILURE() << tally.wrong[i];
  }
  EXPECT_GT(tally.requests, 0);
  if (seconds >= 10) {
    EXPECT_GT(tally.cancelled, 0);
    EXPECT_GT(stats.preemptions, 0U) << "the pool was never full";
  }
  printf(
      "soak: %lld requests, %lld cancelled, %lld tokens, %llu preemptions, wrong answers = %zu, "
      "near ties = %lld, peak RSS %s (%s before)\n",
      static_cast<long long>(tally.requests),
      static_cast<long long>(tally.cancelled),
      static_cast<long long>(tally.tokens),
      static_cast<unsigned long long>(stats.preemptions),
      tally.wrong.size(),
      static_cast<long long>(tally.near_ties),
      format_bytes(peak_rss_bytes()).c_str(),
      format_bytes(before).c_str());
  EXPECT_EQ(tally.wrong.size(), 0U);
}

}  // namespace
}  // namespace tutti::test
