// How long the engine thread has been in one call of its runner, for others to see.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace tutti {

class StepWatch {
 public:
  using Clock = std::chrono::steady_clock;

  /// While it lives the engine thread is in the runner.
  class Call {
   public:
    explicit Call(StepWatch& watch) : watch_(watch) { watch_.turns_.fetch_add(1); }

    ~Call() { watch_.turns_.fetch_add(1); }

    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    StepWatch& watch_;
  };

  /// For how long the present call has been seen, by calls of this. Between two looks at most a
  /// second counts, so that a process that was stopped for an hour has not waited for an hour. One
  /// thread at a time.
  std::chrono::milliseconds look(Clock::time_point now) {
    constexpr Clock::duration kMost = std::chrono::seconds(1);
    const uint64_t turn = turns_.load();
    if (turn % 2 == 0 || turn != seen_) {
      waited_ = Clock::duration::zero();
    } else {
      waited_ += std::min(now - last_look_, kMost);
    }
    seen_ = turn;
    last_look_ = now;
    return std::chrono::duration_cast<std::chrono::milliseconds>(waited_);
  }

 private:
  std::atomic<uint64_t> turns_{0};  // odd: in the runner
  uint64_t seen_ = 0;
  Clock::time_point last_look_;
  Clock::duration waited_{0};
};

}  // namespace tutti
