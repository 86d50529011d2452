// tutti serve: the HTTP server, one model behind it.
#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include <pthread.h>

#include "apps/text_model.h"
#include "base/log.h"
#include "serve/http_server.h"

namespace tutti {

namespace {

// SIGINT and SIGTERM are taken from here by wait(), never by a handler. Made before any thread
// starts, since threads inherit the mask.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
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

Status serve(const ServeOptions& options, Shutdown& shutdown) {
  const Environment environment = read_environment();
  ServerConfig config;
  config.host = options.host;
  config.port = static_cast<uint16_t>(options.port);
  config.api_key = options.api_key.empty() ? environment.api_key : options.api_key;
  config.insecure = options.insecure;
  auto served = std::make_shared<ServedModels>();
  // Listening first: a taken port is reported before minutes of loading, and /ready tells the truth
  // meanwhile.
  TUTTI_TRY(const std::unique_ptr<HttpServer> server, HttpServer::start(config, served));
  log_info("listening on {}; loading {}", server->url(), display_name(options.model));

  TUTTI_TRY(const TextModel model, load_text_model(options.model, options.served_model_name));
  log_info("{}: {}", model.engine->info().id, model.description);
  shutdown.loaded();  // before anybody can see the model: from here on a signal finishes requests
  TUTTI_RETURN_IF_ERROR(served->add({.model = model.engine, .prompts = model.prompts}));
  log_info("ready: {}/v1 serves {}. Ctrl-C ends it", server->url(), model.engine->info().id);

  const int signal = shutdown.wait();
  log_info("{}: finishing open requests (at most {} s; the same again ends at once)",
           signal == SIGINT ? "Ctrl-C" : "SIGTERM",
           options.drain_seconds);
  server->drain(std::chrono::seconds(options.drain_seconds));
  server->stop();
  model.engine->shutdown();
  log_info("stopped");
  return ok_status();
}

}  // namespace

int serve_command(const ServeOptions& options) {
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
