// A GenerationSink for commands: the calling thread waits, and may be interrupted by Ctrl-C.
#pragma once
#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "engine/language_model.h"

namespace tutti {

class Collector final : public GenerationSink {
 public:
  using OnDelta = std::function<void(const GenerationDelta&)>;

  explicit Collector(OnDelta on_delta = {}) : on_delta_(std::move(on_delta)) {}

  void on_delta(GenerationDelta delta) override;
  void on_done(const GenerationUsage& usage) override;
  void on_error(const Status& status) override;

  /// Blocks until the generation ends; `poll` is called about 20 times per second.
  Status wait(const std::function<void()>& poll = {});

  // Valid after wait().
  const CollectedChoice& choice() const { return choice_; }

  const std::string& content() const { return choice_.content; }

  const std::vector<int32_t>& tokens() const { return choice_.tokens; }

  const GenerationUsage& usage() const { return usage_; }

  FinishReason finish() const { return choice_.finish; }

 private:
  OnDelta on_delta_;
  std::mutex mutex_;
  std::condition_variable ended_cv_;
  bool ended_ = false;
  Status status_;
  CollectedChoice choice_;
  GenerationUsage usage_;
};

/// Notices, asked about 20 times per second, that a model failed and that whoever waits for its
/// answer is not told, because the engine's thread hangs in a driver.
class HangWatch {
 public:
  /// Ends the process with the exit code of kDevice and the cause if that has been so for seconds:
  /// nothing could be freed. Calls `before_exit` first.
  void look(const LanguageModel& model, const std::function<void()>& before_exit = {});

 private:
  int failed_looks_ = 0;
};

/// Counts Ctrl-C instead of dying from it, while it lives. If our parent had us ignore it, it stays
/// ignored.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static int count();
  static void reset();

 private:
  struct sigaction before_ {};
};

}  // namespace tutti
