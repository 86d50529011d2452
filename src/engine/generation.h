// One request on its way out: the events of its sequences become deltas, usage and exactly one end.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/choice_stream.h"
#include "engine/engine.h"
#include "engine/language_model.h"

namespace tutti {

class Generation;

/// Alternatives per prompt token that `request` needs, for its prompt_logprobs or its echo; -1:
/// none.
int32_t prompt_logprobs_wanted(const GenerationRequest& request);

/// Which generations live, so that others can cancel them, and how the past ones ended.
/// Thread-safe.
class GenerationTable {
 public:
  enum class End { kFinished, kCancelled, kFailed };

  void add(uint64_t id, std::shared_ptr<Generation> generation, int64_t prompt_tokens);
  /// It never began: forget it.
  void withdraw(uint64_t id, int64_t prompt_tokens);
  void end(uint64_t id, End how);
  std::shared_ptr<Generation> find(uint64_t id) const;
  /// Replaces the engine's counts of sequences by those of requests.
  void fill(EngineStats& stats) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Generation>> live_;
  EngineStats counters_;
};

/// Everything but request_cancel() runs on the delivery thread.
class Generation final : public TokenSink {
 public:
  /// What it works with; all outlive it.
  struct Parts {
    Engine* engine = nullptr;
    GenerationTable* table = nullptr;
    const TokenText* text = nullptr;  ///< nullptr: deltas hold ids only
  };

  /// Its sequences are first_id, first_id + 1, ... one per choice; first_id is its own id too.
  Generation(const Parts& parts,
             const GenerationRequest& request,
             uint64_t first_id,
             std::shared_ptr<GenerationSink> sink);

  void on_event(const SequenceEvent& event) override;

  /// Any thread.
  void request_cancel();

 private:
  using Clock = std::chrono::steady_clock;

  struct Choice {
    ChoiceStream stream;
    bool finished = false;
  };

  void add_scores(const SequenceEvent& event);
  void begin_choices();
  void add_tokens(Choice& choice, const SequenceEvent& event);
  void finish_choice(Choice& choice, FinishReason reason);
  void fail(const Status& status);
  void log_end(const char* outcome) const;

  const Parts parts_;
  const uint64_t first_id_;
  const std::string request_id_;
  const Clock::time_point start_ = Clock::now();
  std::shared_ptr<GenerationSink> sink_;  // released at the end
  std::vector<Choice> choices_;
  int64_t unfinished_;
  GenerationUsage usage_;
  const bool only_echo_;  // no output is wanted

  // What each choice begins with, until all of it is known.
  struct Beginning {
    bool echo = false;
    std::string text;
    int32_t echo_top = -1;    // alternatives, -1: no log-probabilities
    int32_t prompt_top = -1;  // the same of prompt_logprobs
    std::vector<TokenLogprobs> prompt;
  };

  std::optional<Beginning> beginning_;
  Clock::time_point first_token_{};
  FinishReason last_reason_ = FinishReason::kStop;
  std::atomic<bool> cancel_requested_ = false;
};

}  // namespace tutti
