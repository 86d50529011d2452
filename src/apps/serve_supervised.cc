// tutti serve with the model in a process of its own: a gateway, which starts engines, passes
// requests on to them and starts again what crashes.
#include "apps/serve_supervised.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>

#include <poll.h>
#include <unistd.h>

#include "apps/common.h"
#include "apps/version.h"
#include "backend/cuda_plugin.h"
#include "base/log_event.h"
#include "serve/http_server.h"
#include "supervise/gateway.h"
#include "supervise/runtime_directory.h"
#include "supervise/supervisor.h"

namespace tutti {

namespace {

constexpr std::chrono::milliseconds kPoll{200};
// Beyond its own time-out for replies an engine gets this long to free what it has.
constexpr std::chrono::seconds kToFree{35};

// A line of an engine's log, as it is: it has its time and level. Never waits for whoever reads our
// own log; what they do not take in time is lost.
void pass_on(std::string_view line) {
  pollfd out{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0) {
    const std::string whole = std::string(line) + '\n';
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, whole.data(), whole.size());
  }
}

// Of this process, but for what engines have no use for.
std::vector<std::string> engine_environment() {
  std::vector<std::string> out;
  for (const auto& [name, value] : all_variables()) {
    if (name != "TUTTI_API_KEY") {
      out.push_back(name + "=" + value);
    }
  }
  return out;
}

ServerConfig gateway_config(const ServeOptions& options, std::shared_ptr<RemoteModels> models) {
  ServerConfig config;
  config.host = options.host;
  config.port = static_cast<uint16_t>(options.port);
  config.api_key = options.api_key.empty() ? read_environment().api_key : options.api_key;
  config.insecure = options.insecure;
  config.allowed_origins = options.allowed_origins;
  config.limits = options.limits;
  config.request_limits = options.request_limits;
  config.version = program_version();
  config.build = build_id();
  config.remote = std::move(models);
  return config;
}

/// Tells once that the server is ready, from the supervisor's thread.
class ReadyLine {
 public:
  ReadyLine(std::string url, std::string model) : url_(std::move(url)), model_(std::move(model)) {}

  void tell_if(bool ready) {
    if (ready && !told_.exchange(true)) {
      log_notice(fmt::format("ready: {}/v1 serves {}. Ctrl-C ends it", url_, model_));
    }
  }

  bool told() const { return told_; }

 private:
  const std::string url_;
  const std::string model_;
  std::atomic<bool> told_{false};
};

// Until a signal comes; nullopt: the model has failed for good, and `why` says how.
std::optional<int> serve_until_the_end(Shutdown& shutdown,
                                       const Supervisor& supervisor,
                                       Status& why) {
  std::optional<int> signal;
  while (!signal) {
    const std::vector<ReplicaView> replicas = supervisor.replicas();
    const bool failed = std::all_of(replicas.begin(), replicas.end(), [](const ReplicaView& r) {
      return r.state == ReplicaState::kFailed;
    });
    if (failed && !replicas.empty()) {
      why = replicas.front().last_error;
      return std::nullopt;
    }
    signal = shutdown.wait_for(kPoll);
  }
  return signal;
}

Result<int> supervise(const ServeOptions& options, Shutdown& shutdown) {
  raise_descriptor_limit();
  const std::string name = options.served_model_name.empty() ? display_name(options.model.model)
                                                             : options.served_model_name;
  const Environment environment = read_environment();
  auto gateway = std::make_shared<Gateway>();
  TUTTI_TRY(const std::unique_ptr<HttpServer> server,
            HttpServer::start(gateway_config(options, gateway), std::make_shared<ServedModels>()));
  TUTTI_TRY(const std::unique_ptr<RuntimeDirectory> directory,
            RuntimeDirectory::make(environment.runtime));
  log_info("listening on {}; loading {}", server->url(), name);
  shutdown.loaded();

  ReadyLine ready(server->url(), name);
  std::atomic<Supervisor*> supervisor_now = nullptr;
  SupervisorConfig config;
  config.program = kThisProgram;
  config.environment = engine_environment();
  config.socket_directory = directory->path();
  config.times.draining =
      std::chrono::ceil<std::chrono::seconds>(options.limits.drain_timeout) + kToFree;
  config.arguments = [](const EngineSpec& spec, const std::string& socket) {
    std::vector<std::string> arguments{"engine"};
    arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
    arguments.insert(arguments.end(), {"--socket", socket});
    return arguments;
  };
  config.on_line = [](const EngineSpec&, std::string_view line) { pass_on(line); };
  config.on_change = [&] {
    if (Supervisor* supervisor = supervisor_now) {
      gateway->update(supervisor->replicas());
      ready.tell_if(gateway->ready().ok());
    }
  };
  TUTTI_TRY(const std::unique_ptr<Supervisor> supervisor, Supervisor::start(std::move(config)));
  supervisor_now = supervisor.get();
  std::vector<std::string> arguments = options.engine_arguments;
  arguments.insert(arguments.end(), {"--served-model-name", name});
  supervisor->launch({.model = name, .arguments = std::move(arguments)});

  Status why;
  const std::optional<int> signal = serve_until_the_end(shutdown, *supervisor, why);
  if (!signal && !ready.told()) {
    return why;  // as a server does whose model cannot be loaded
  }
  if (!signal) {
    log_error("ending with exit code {}", kFailedWhileServing);
    server->drain(std::chrono::milliseconds(0), why);
    return kFailedWhileServing;
  }
  log_draining(*signal, options.limits);
  server->drain(options.limits.drain_timeout);
  server->stop();
  supervisor->shut_down();
  log_info("stopped");
  return 0;
}

}  // namespace

int serve_supervised(const ServeOptions& options, Shutdown& shutdown) {
  const Result<int> code = supervise(options, shutdown);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace tutti
