// The whole server (HTTP, text engine, engine, scheduler) over a model that costs nothing: it paces
// its steps by a clock, and each token is the number of its step. Load tests then measure the
// server alone, and know when each token was due.
//
//   stream_server [STEPS_PER_SECOND=20] [SEQUENCES=2048] [IO_THREADS=1] [SOCKET]
//
// SOCKET: listens on this Unix socket too, as an engine does for its gateway. STEPS_PER_SECOND 0:
// as fast as it can. Prints one JSON line (url, pid, clock of the steps), serves until standard
// input ends.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <thread>

#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "engine/text_engine.h"
#include "serve/http_server.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kContext = 4096;
constexpr int64_t kBlock = 16;
constexpr int64_t kVocabulary = 1 << 20;  // steps are counted modulo this

/// Step s is due at begin + s * period. A step that nobody waited for is skipped, never caught up.
class PacedRunner final : public ModelRunner {
 public:
  PacedRunner(const RunnerLimits& limits, Clock::time_point begin, Clock::duration period)
      : limits_(limits), begin_(begin), period_(period) {}

  const RunnerLimits& limits() const override { return limits_; }

  Status submit(const Batch& batch) override {
    submitted_.push_back(&batch);
    return ok_status();
  }

  Status collect(StepOutput& output) override {
    const Batch& batch = *submitted_.front();
    submitted_.pop_front();
    ++step_;
    if (period_ > Clock::duration::zero()) {
      // An engine that was idle goes on with the next step due. One that is late stays late: its
      // step is not skipped, so that the delay shows.
      const int64_t now = (Clock::now() - begin_) / period_;
      if (idle_since(batch) && now + 1 > step_) {
        step_ = now + 1;
      }
      std::this_thread::sleep_until(begin_ + step_ * period_);
    }
    output.clear(batch.step);
    for (const BatchSequence& s : batch.sequences) {
      if (s.sample) {
        SampledToken token;
        token.token = static_cast<int32_t>(step_ % kVocabulary);
        output.add(s.sequence_id, std::move(token));
      }
    }
    return ok_status();
  }

 private:
  // No sequence goes on from the step before: the engine had nothing to do in between.
  static bool idle_since(const Batch& batch) {
    return std::all_of(batch.sequences.begin(), batch.sequences.end(), [](const BatchSequence& s) {
      return s.context_before == 0;
    });
  }

  const RunnerLimits limits_;
  const Clock::time_point begin_;
  const Clock::duration period_;
  std::deque<const Batch*> submitted_;  // the engine keeps them until they are collected
  int64_t step_ = 0;
};

/// Token n reads " n".
class NumberText final : public TokenText {
 public:
  std::unique_ptr<TextStream> open(bool /*skip_special_tokens*/) const override {
    return std::make_unique<Stream>();
  }

  std::string token_bytes(int32_t token) const override { return " " + std::to_string(token); }

  bool is_special(int32_t /*token*/) const override { return false; }

  Result<std::vector<int32_t>> encode(std::string_view /*text*/) const override {
    return error(StatusCode::kUnsupported, "this model reads no words");
  }

 private:
  class Stream final : public TextStream {
   public:
    std::string push(int32_t token) override { return " " + std::to_string(token); }

    std::string finish() override { return {}; }
  };
};

/// One token per byte.
class ByteEngine final : public LanguageModel {
 public:
  explicit ByteEngine(std::shared_ptr<TextEngine> engine) : engine_(std::move(engine)) {}

  const ModelInfo& info() const override { return engine_->info(); }

  const GenerationDefaults& defaults() const override { return engine_->defaults(); }

  Result<Prompt> prepare(const ChatInput& chat) const override {
    return prepare(to_string(chat.messages));
  }

  Result<Prompt> prepare(const std::string& text) const override {
    Prompt prompt;
    for (const char c : text) {
      prompt.tokens.push_back(static_cast<unsigned char>(c));
    }
    return prompt;
  }

  Result<std::shared_ptr<const TokenGrammar>> constrain(
      const OutputWish& wish,
      const OutputForm& form,
      std::span<const int32_t> stop_ids) const override {
    return engine_->constrain(wish, form, stop_ids);
  }

  Result<uint64_t> generate(GenerationRequest request,
                            std::shared_ptr<GenerationSink> sink) override {
    return engine_->generate(std::move(request), std::move(sink));
  }

  void cancel(uint64_t generation) override { engine_->cancel(generation); }

  Status health() const override { return engine_->health(); }

  EngineStats stats() const override { return engine_->stats(); }

 private:
  std::shared_ptr<TextEngine> engine_;
};

int serve(double steps_per_second, int64_t sequences, int io_threads, const std::string& socket) {
  set_log_level(LogLevel::kWarn);  // a line per request is no part of the measurement
  const auto begin = Clock::now();
  const auto period = steps_per_second > 0
                          ? std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(1.0 / steps_per_second))
                          : Clock::duration::zero();
  const RunnerLimits limits{.block_size = kBlock,
                            .num_blocks = sequences * kContext / kBlock,
                            .max_batch_tokens = sequences + 8192,
                            .max_batch_sequences = sequences,
                            .max_context = kContext,
                            .vocab_size = kVocabulary};
  TextEngineParts parts;
  parts.info.id = "steps";
  parts.info.architecture = "steps";
  parts.defaults.sampling.temperature = 0.0F;
  parts.engine.max_waiting = std::max<int64_t>(256, sequences);
  parts.runner = std::make_unique<PacedRunner>(limits, begin, period);
  parts.text = std::make_shared<NumberText>();
  auto engine = std::make_shared<TextEngine>(std::move(parts));

  auto models = std::make_shared<ServedModels>();
  const Status added = models->add(std::make_shared<ByteEngine>(engine));
  ServerConfig config;
  config.port = 0;
  config.io_threads = io_threads;
  config.limits.connections = static_cast<int32_t>(sequences + 64);
  config.limits.prepare_queue = static_cast<int32_t>(sequences);
  auto server = HttpServer::start(config, models);
  Result<std::unique_ptr<HttpServer>> behind = std::unique_ptr<HttpServer>();
  if (!socket.empty()) {
    config.unix_socket = socket;
    behind = HttpServer::start(config, models);
  }
  if (!added.ok() || !server.ok() || !behind.ok()) {
    const Status& why = server.ok() ? behind.status() : server.status();
    std::fprintf(stderr, "stream_server: %s\n", why.message().c_str());
    return 1;
  }
  const auto nanoseconds = [](Clock::duration d) {
    return static_cast<int64_t>(std::chrono::nanoseconds(d).count());
  };
  std::cout << to_string(Json::object({{"url", (*server)->url()},
                                       {"pid", static_cast<int64_t>(getpid())},
                                       {"begin_ns", nanoseconds(begin.time_since_epoch())},
                                       {"period_ns", nanoseconds(period)}}))
            << std::endl;
  while (std::getchar() != EOF) {
  }
  (*server)->stop();
  if (*behind != nullptr) {
    (*behind)->stop();
  }
  engine->shutdown();
  return 0;
}

}  // namespace
}  // namespace tutti

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const double rate = argc > 1 ? std::atof(argv[1]) : 20.0;
  const int64_t sequences = argc > 2 ? std::atoll(argv[2]) : 2048;
  const int io_threads = argc > 3 ? std::atoi(argv[3]) : 1;
  if (rate < 0 || sequences < 1 || sequences > 65536 || io_threads < 1) {
    std::fprintf(stderr,
                 "usage: stream_server [STEPS_PER_SECOND] [SEQUENCES] [IO_THREADS] [SOCKET]\n");
    return 64;
  }
  return tutti::serve(rate, sequences, io_threads, argc > 4 ? argv[4] : "");
}
