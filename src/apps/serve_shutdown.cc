#include "apps/serve_shutdown.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include <pthread.h>
#include <sys/resource.h>

namespace tutti {

namespace {

// From when all replies have ended to when the model has; a step may still be under way.
constexpr std::chrono::seconds kStopTimeout{30};

bool is_ignored(int signal) {
  struct sigaction now {};

  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

Signals::Signals() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGTERM);
  for (const int signal : {SIGINT, SIGHUP}) {
    if (!is_ignored(signal)) {
      sigaddset(&set_, signal);
    }
  }
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a client that went away is an error of its write alone
}

int Signals::wait() const {
  int signal = 0;
  sigwait(&set_, &signal);
  return signal;
}

Shutdown::Shutdown(const Signals& signals) {
  std::thread([this, &signals] {
    const int first = signals.wait();
    if (!loaded_) {
      log_info("stopped while loading");
      std::_Exit(128 + first);
    }
    signal_.set_value(first);
    signals.wait();
    log_warn("second signal: ending now");
    std::_Exit(130);
  }).detach();
}

std::optional<int> Shutdown::wait_for(std::chrono::milliseconds time) {
  return came_.wait_for(time) == std::future_status::ready ? std::optional(came_.get())
                                                           : std::nullopt;
}

const char* signal_name(int signal) {
  return signal == SIGINT ? "Ctrl-C" : signal == SIGHUP ? "SIGHUP" : "SIGTERM";
}

void log_draining(int signal, const HttpLimits& limits) {
  log_info("{}: finishing open requests (at most {} s; the same again ends at once)",
           signal_name(signal),
           std::chrono::duration_cast<std::chrono::seconds>(limits.drain_timeout).count());
}

void bound_the_end() {
  std::thread([] {
    std::this_thread::sleep_for(kStopTimeout);
    log_error("the model did not stop within {} s; ending without it, with exit code {}",
              kStopTimeout.count(),
              kFailedWhileServing);
    std::_Exit(kFailedWhileServing);
  }).detach();
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

LogLevel log_level_of(const ServeOptions& options) {
  const LogLevel level = options.log_level == "debug"     ? LogLevel::kDebug
                         : options.log_level == "warning" ? LogLevel::kWarn
                         : options.log_level == "error"   ? LogLevel::kError
                                                          : LogLevel::kInfo;
  return options.model.quiet ? std::max(level, LogLevel::kWarn) : level;
}

}  // namespace tutti
