// tutti serve: the HTTP server, one model behind it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <optional>
#include <thread>

#include <pthread.h>
#include <sys/resource.h>

#include "apps/text_model.h"
#include "apps/version.h"
#include "backend/cuda_plugin.h"
#include "base/log_event.h"
#include "serve/http_server.h"

namespace tutti {

namespace {

constexpr int kFailedWhileServing = 74;  // sysexits.h EX_IOERR; documented in docs/serving.md
constexpr std::chrono::milliseconds kHealthPoll{200};
// After a failure, for probes and clients that come back: they are told the cause.
constexpr std::chrono::milliseconds kLastWords{2000};
// From when all replies have ended to when the model has; a step may still be under way.
constexpr std::chrono::seconds kStopTimeout{30};

// SIGINT, SIGTERM and SIGHUP (the terminal is gone) are taken from here by wait(), never by a
// handler. Made before any thread starts, since threads inherit the mask. What our parent had us
// ignore (nohup: SIGHUP; a shell's background jobs: SIGINT) stays ignored; taken by sigwait() it
// would not. SIGTERM always counts, or only SIGKILL would be left.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    for (const int signal : {SIGINT, SIGHUP}) {
      if (!is_ignored(signal)) {
        sigaddset(&set_, signal);
      }
    }
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE,
                SIG_IGN);  // a client that went away is an error of its write, not of the server
  }

  int wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }

 private:
  static bool is_ignored(int signal) {
    struct sigaction now {};

    return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
  }

  sigset_t set_{};
};

// Turns signals into decisions on a thread of its own: the first one ends the server in order, or
// at once while the model still loads; a second one always ends it at once.
class Shutdown {
 public:
  explicit Shutdown(const Signals& signals) {
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

  void loaded() { loaded_ = true; }

  /// nullopt: none came within `time`.
  std::optional<int> wait_for(std::chrono::milliseconds time) {
    return came_.wait_for(time) == std::future_status::ready ? std::optional(came_.get())
                                                             : std::nullopt;
  }

 private:
  std::atomic<bool> loaded_ = false;
  std::promise<int> signal_;
  std::shared_future<int> came_ = signal_.get_future();
};

const char* signal_name(int signal) {
  return signal == SIGINT ? "Ctrl-C" : signal == SIGHUP ? "SIGHUP" : "SIGTERM";
}

// Until a signal comes, or nullopt: the model has failed for good.
std::optional<int> serve_until_the_end(Shutdown& shutdown, const ServedModels& served) {
  std::optional<int> signal;
  while (!signal && served.live().ok()) {
    signal = shutdown.wait_for(kHealthPoll);
  }
  return signal;
}

// Requests under way have got their error from the engine, or get it here where its thread hangs.
// The process ends here and now: what would be freed on the way out may hang in the driver of a
// device that failed.
[[noreturn]] void end_after_failure(const ServeOptions& options,
                                    HttpServer& server,
                                    const ServedModels& served) {
  const Status why = served.live();
  log_error("{}", why.message());
  log_error("ending with exit code {}", kFailedWhileServing);
  const auto wait = std::min(kLastWords, options.limits.drain_timeout);
  std::this_thread::sleep_for(wait);
  server.drain(wait, why);
  std::_Exit(kFailedWhileServing);
}

// Ends the process if what follows takes longer than kStopTimeout.
void bound_the_end() {
  std::thread([] {
    std::this_thread::sleep_for(kStopTimeout);
    log_error("the model did not stop within {} s; ending without it, with exit code {}",
              kStopTimeout.count(),
              kFailedWhileServing);
    std::_Exit(kFailedWhileServing);
  }).detach();
}

// Each connection is a descriptor; the soft limit of most shells (1024) is for programs that use
// select().
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

Status serve(const ServeOptions& options, Shutdown& shutdown) {
  raise_descriptor_limit();
  const Environment environment = read_environment();
  ServerConfig config;
  config.host = options.host;
  config.port = static_cast<uint16_t>(options.port);
  config.api_key = options.api_key.empty() ? environment.api_key : options.api_key;
  config.insecure = options.insecure;
  config.allowed_origins = options.allowed_origins;
  config.limits = options.limits;
  config.request_limits = options.request_limits;
  config.version = program_version();
  config.build = build_id();
  auto served = std::make_shared<ServedModels>();
  // Listening first: a taken port is reported before minutes of loading, and /ready tells the truth
  // meanwhile.
  TUTTI_TRY(const std::unique_ptr<HttpServer> server, HttpServer::start(config, served));
  log_info("listening on {}; loading {}", server->url(), display_name(options.model.model));

  TUTTI_TRY(const TextModel model,
            load_text_model(options.model,
                            options.served_model_name,
                            TextNeeds::kServe,
                            {.max_waiting = options.limits.waiting}));
  log_info("{}: {}", model.engine->info().id, model.description);
  shutdown.loaded();  // before anybody can see the model: from here on a signal finishes requests
  TUTTI_RETURN_IF_ERROR(served->add(model.engine));
  // On quiet servers too: whoever started one waits for this line.
  log_notice(fmt::format(
      "ready: {}/v1 serves {}. Ctrl-C ends it", server->url(), model.engine->info().id));

  const std::optional<int> signal = serve_until_the_end(shutdown, *served);
  if (!signal) {
    end_after_failure(options, *server, *served);
  }
  log_info("{}: finishing open requests (at most {} s; the same again ends at once)",
           signal_name(*signal),
           std::chrono::duration_cast<std::chrono::seconds>(options.limits.drain_timeout).count());
  server->drain(options.limits.drain_timeout);
  if (!served->live().ok()) {
    end_after_failure(options, *server, *served);
  }
  bound_the_end();
  server->stop();
  model.engine->shutdown();
  log_info("stopped");
  return ok_status();
}

}  // namespace

int serve_command(const ServeOptions& options) {
  set_log_format(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  set_log_level(log_level_of(options));
  // Static: the thread that waits for a second signal outlives this function.
  static const Signals signals;
  static Shutdown shutdown(signals);
  const Status status = serve(options, shutdown);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
