// tutti serve: the HTTP server, one model behind it.
#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include <pthread.h>
#include <sys/resource.h>

#include "apps/text_model.h"
#include "base/log_event.h"
#include "serve/http_server.h"

namespace tutti {

namespace {

// SIGINT, SIGTERM and SIGHUP (the terminal is gone) are taken from here by wait(), never by a
// handler. Made before any thread starts, since threads inherit the mask.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGHUP);
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

  int wait() { return signal_.get_future().get(); }

 private:
  std::atomic<bool> loaded_ = false;
  std::promise<int> signal_;
};

const char* signal_name(int signal) {
  return signal == SIGINT ? "Ctrl-C" : signal == SIGHUP ? "SIGHUP" : "SIGTERM";
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

Status serve(const ServeOptions& options, Shutdown& shutdown) {
  raise_descriptor_limit();
  const Environment environment = read_environment();
  ServerConfig config;
  config.host = options.host;
  config.port = static_cast<uint16_t>(options.port);
  config.api_key = options.api_key.empty() ? environment.api_key : options.api_key;
  config.insecure = options.insecure;
  config.limits = options.limits;
  config.request_limits = options.request_limits;
  auto served = std::make_shared<ServedModels>();
  // Listening first: a taken port is reported before minutes of loading, and /ready tells the truth
  // meanwhile.
  TUTTI_TRY(const std::unique_ptr<HttpServer> server, HttpServer::start(config, served));
  log_info("listening on {}; loading {}", server->url(), display_name(options.model));

  TUTTI_TRY(const TextModel model,
            load_text_model(
                options.model, options.served_model_name, {.max_waiting = options.limits.waiting}));
  log_info("{}: {}", model.engine->info().id, model.description);
  shutdown.loaded();  // before anybody can see the model: from here on a signal finishes requests
  TUTTI_RETURN_IF_ERROR(served->add({.model = model.engine, .prompts = model.prompts}));
  log_info("ready: {}/v1 serves {}. Ctrl-C ends it", server->url(), model.engine->info().id);

  const int signal = shutdown.wait();
  log_info("{}: finishing open requests (at most {} s; the same again ends at once)",
           signal_name(signal),
           std::chrono::duration_cast<std::chrono::seconds>(options.limits.drain_timeout).count());
  server->drain(options.limits.drain_timeout);
  server->stop();
  model.engine->shutdown();
  log_info("stopped");
  return ok_status();
}

}  // namespace

int serve_command(const ServeOptions& options) {
  set_log_format(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  if (options.model.quiet) {
    set_log_level(LogLevel::kWarn);
  }
  // Static: the thread that waits for a second signal outlives this function.
  static const Signals signals;
  static Shutdown shutdown(signals);
  const Status status = serve(options, shutdown);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
