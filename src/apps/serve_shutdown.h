// How a server ends: signals become decisions, and nothing on the way out may take for ever.
#pragma once
#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <optional>

#include "apps/options.h"
#include "base/log.h"

namespace tutti {

inline constexpr int kFailedWhileServing = 74;  // sysexits.h EX_IOERR; docs/serving.md

/// SIGINT, SIGTERM and SIGHUP (the terminal is gone) are taken from here by wait(), never by a
/// handler. Made before any thread starts, since threads inherit the mask. What our parent had us
/// ignore (nohup: SIGHUP; a shell's background jobs: SIGINT) stays ignored; taken by sigwait() it
/// would not. SIGTERM always counts, or only SIGKILL would be left.
class Signals {
 public:
  Signals();

  int wait() const;

 private:
  sigset_t set_{};
};

/// Turns signals into decisions on a thread of its own: the first one ends the server in order, or
/// at once while the model still loads; a second one always ends it at once.
class Shutdown {
 public:
  explicit Shutdown(const Signals& signals);

  /// Also where nothing loads: from here on a signal finishes requests.
  void loaded() { loaded_ = true; }

  /// nullopt: none came within `time`.
  std::optional<int> wait_for(std::chrono::milliseconds time);

 private:
  std::atomic<bool> loaded_ = false;
  std::promise<int> signal_;
  std::shared_future<int> came_ = signal_.get_future();
};

/// "Ctrl-C"
const char* signal_name(int signal);

/// "SIGTERM: finishing open requests …"
void log_draining(int signal, const HttpLimits& limits);

/// Ends the process if what follows takes longer than half a minute.
void bound_the_end();

/// Each connection is a descriptor; the soft limit of most shells (1024) is for programs that use
/// select().
void raise_descriptor_limit();

LogLevel log_level_of(const ServeOptions& options);

}  // namespace tutti
