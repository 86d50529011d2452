// The life of one engine process as a state machine: what is known of it, how long it may take, and
// what is to be done next. No process, no clock: who drives it says what happened and when.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "supervise/engine_report.h"
#include "supervise/exit_cause.h"

namespace tutti {

enum class ReplicaState {
  kPending,   ///< to be started, now or after a pause
  kPlanning,  ///< which GPUs, how split
  kLoading,   ///< reads weights
  kWarming,   ///< tries and measures kernels
  kReady,
  kDraining,  ///< finishes replies, then ends
  kFailed,    ///< will not be started again
  kGone,      ///< was asked to end, and has
};

/// "loading"
const char* state_name(ReplicaState state);

struct ReplicaTimes {
  std::chrono::seconds planning{120};
  std::chrono::seconds loading{600};  ///< without any progress
  std::chrono::seconds warming{1800};
  std::chrono::seconds alive{60};     ///< ready, and silent
  std::chrono::seconds draining{60};  ///< after SIGTERM, before SIGKILL
  std::chrono::seconds killing{30};   ///< after SIGKILL: a kernel may not let go of it
};

struct RestartRules {
  std::chrono::milliseconds first_pause{500};  ///< doubled after every crash
  std::chrono::milliseconds longest_pause{30'000};
  int crashes = 5;  ///< so many within `window`: it has failed
  std::chrono::seconds window{600};
};

class Replica {
 public:
  using Clock = std::chrono::steady_clock;

  Replica(ReplicaTimes times, RestartRules rules, Clock::time_point now);

  enum class Action {
    kNone,
    kStart,
    kTerminate,  ///< SIGTERM
    kKill,       ///< SIGKILL
  };

  /// What is to be done now; each action is returned once. Call it after every event, and at
  /// next_time().
  Action next(Clock::time_point now);

  /// When next() may want something though nothing happened; max(): never.
  Clock::time_point next_time() const;

  // Events.
  void started(Clock::time_point now);
  void reported(const EngineReport& report, Clock::time_point now);
  /// Also of a start that came to nothing.
  void ended(const ExitCause& cause, Clock::time_point now);
  void not_started(const Status& why, Clock::time_point now);
  /// It is not wanted any more.
  void stop(Clock::time_point now);

  ReplicaState state() const { return state_; }

  Clock::time_point since() const { return since_; }

  /// Whether a process is there.
  bool running() const { return running_; }

  bool killed() const { return killed_; }

  int64_t done_bytes() const { return done_bytes_; }

  int64_t total_bytes() const { return total_bytes_; }

  int64_t max_context() const { return max_context_; }

  int64_t created_unix() const { return created_unix_; }

  const std::string& description() const { return description_; }

  /// Processes that ended unasked, all in all.
  int64_t crashes() const { return crashes_; }

  /// Why the last process ended, or why there will be none; ok while all is well.
  const Status& last_error() const { return last_error_; }

 private:
  void enter(ReplicaState state, Clock::time_point now);
  void set_time_out(std::chrono::seconds time, Clock::time_point now);
  void crashed(Status why, Clock::time_point now);

  ReplicaTimes times_;
  RestartRules rules_;
  ReplicaState state_ = ReplicaState::kPending;
  Clock::time_point since_;
  Clock::time_point start_at_;
  Clock::time_point time_out_ = Clock::time_point::max();
  bool running_ = false;
  bool stopping_ = false;
  bool terminated_ = false;
  bool killed_ = false;
  std::string stuck_;  // why it was killed: the state that took too long
  std::optional<EngineReport> farewell_;
  std::vector<Clock::time_point> recent_crashes_;
  int64_t crashes_ = 0;
  int64_t done_bytes_ = 0;
  int64_t total_bytes_ = 0;
  int64_t max_context_ = 0;
  int64_t created_unix_ = 0;
  std::string description_;
  Status last_error_;
};

}  // namespace tutti
