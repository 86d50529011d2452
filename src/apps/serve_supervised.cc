#include "apps/serve_supervised.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common.h"
#include "apps/machine_inventory.h"
#include "apps/serve_config.h"
#include "apps/version.h"
#include "backend/cuda_plugin.h"
#include "backend/select.h"
#include "base/file.h"
#include "base/log_event.h"
#include "serve/http_server.h"
#include "supervise/keys_api.h"
#include "supervise/launches.h"
#include "supervise/runtime_directory.h"
#include "supervise/xinference_api.h"
#include "supervise/xinference_json.h"

namespace tutti {

namespace {

constexpr std::chrono::milliseconds kPoll{200};
// Beyond its own time-out for replies an engine gets this long to free what it has.
constexpr std::chrono::seconds kToFree{35};

// A line of an engine's log, as it is: it has its time and level. Never waits for whoever reads our
// own log; what they do not take in time is lost.
void pass_on(std::string_view prefix, std::string_view line) {
  pollfd out{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0) {
    const std::string whole = std::string(prefix) + std::string(line) + '\n';
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

// Flags that the server was started with hold for every engine, unless its launch says otherwise.
std::vector<std::string> engine_arguments(const std::vector<std::vector<std::string>>& common,
                                          const EngineSpec& spec,
                                          const std::string& socket) {
  std::vector<std::string> out{"engine-process"};
  for (const std::vector<std::string>& flag : common) {
    const auto same = std::find(spec.arguments.begin(), spec.arguments.end(), flag.front());
    if (same == spec.arguments.end()) {
      out.insert(out.end(), flag.begin(), flag.end());
    }
  }
  out.insert(out.end(), {"--socket", socket});
  out.insert(out.end(), spec.arguments.begin(), spec.arguments.end());
  return out;
}

MachineFacts facts_of(const Inventory& inventory) {
  MachineFacts facts;
  facts.gpus = static_cast<int64_t>(inventory.gpus.size());
  for (const Gpu& gpu : inventory.gpus) {
    facts.gpu_bytes += gpu.memory_total_bytes.value_or(0);
  }
  facts.cpus = inventory.host.cpus.value_or(0);
  facts.memory_bytes = inventory.host.memory_bytes.value_or(0);
  const int64_t free_pages = sysconf(_SC_AVPHYS_PAGES);
  facts.memory_available_bytes = free_pages * sysconf(_SC_PAGESIZE);
  return facts;
}

/// Looks at the machine once, on a thread of its own: asking a driver takes seconds.
class MachineLook {
 public:
  MachineLook() : thread_([this] { look(); }) {}

  ~MachineLook() { thread_.join(); }

  MachineLook(const MachineLook&) = delete;
  MachineLook& operator=(const MachineLook&) = delete;

  /// nullopt: not done, and the waker is told when it is.
  std::optional<MachineFacts> facts(const std::shared_ptr<Waker>& waker) {
    const std::lock_guard lock(mutex_);
    if (!inventory_) {
      waiting_.push_back(waker);
      return std::nullopt;
    }
    return facts_of(*inventory_);
  }

 private:
  void look() {
    Inventory found = this_inventory();
    std::vector<std::shared_ptr<Waker>> waiting;
    {
      const std::lock_guard lock(mutex_);
      inventory_ = std::move(found);
      waiting.swap(waiting_);
    }
    for (const auto& waker : waiting) {
      waker->wake();
    }
  }

  std::mutex mutex_;
  std::optional<Inventory> inventory_;
  std::vector<std::shared_ptr<Waker>> waiting_;
  std::thread thread_;  // last: it uses the others
};

std::shared_ptr<XinferenceApi> make_management(std::shared_ptr<KeyRing> keys,
                                               Launches& launches,
                                               std::shared_ptr<MachineLook> machine,
                                               const std::string& url) {
  XinferenceApiConfig config;
  config.address = url.substr(url.find("//") + 2);
  config.version = program_version();
  config.build = build_id();
  config.needs_key = [keys = std::move(keys)] { return keys->required(); };
  config.machine = [machine = std::move(machine)](const std::shared_ptr<Waker>& waker) {
    return machine->facts(waker);
  };
  return std::make_shared<XinferenceApi>(std::move(config), launches);
}

// The models of this start: the one that was typed, or those of the file.
Result<std::vector<LaunchSpec>> wanted_models(const ServeOptions& options) {
  if (!options.many()) {
    LaunchSpec spec;
    spec.model = options.model.model;
    spec.uid = options.served_model_name.empty() ? display_name(options.model.model)
                                                 : options.served_model_name;
    return std::vector<LaunchSpec>{std::move(spec)};
  }
  if (options.models_file.empty()) {
    return std::vector<LaunchSpec>();
  }
  if (is_directory(options.models_file)) {
    return invalid(
        "-f {}: is a directory, wanted a file of models; one model is served by: tutti serve MODEL",
        options.models_file);
  }
  TUTTI_TRY(const std::string text, read_input(options.models_file));
  Result<std::vector<LaunchSpec>> specs = read_models_file(text);
  if (!specs.ok()) {
    return std::move(specs).status().with_context(input_name(options.models_file));
  }
  return specs;
}

// Where launches are kept over a restart; "": nowhere.
std::string state_file(const ServeOptions& options) {
  if (!options.state.empty() || !options.many()) {
    return options.state;
  }
  const std::string home = read_environment().home;
  mkdir(home.c_str(), S_IRWXU);  // whether it is there shows when the file is opened
  return join_path(home, "state.db");
}

/// Tells once that the server is ready, from the supervisor's thread.
class ReadyLine {
 public:
  explicit ReadyLine(std::string names) : names_(std::move(names)) {}

  /// Nothing is told before the server listens.
  void listens(const std::string& url) {
    url_ = url;
    listens_ = true;
  }

  void tell() {
    if (listens_ && !told_.exchange(true)) {
      log_notice(fmt::format("ready: {}/v1 serves {}. Ctrl-C ends it", url_, names_));
    }
  }

  bool told() const { return told_; }

 private:
  const std::string names_;
  std::string url_;  // before listens_ is set
  std::atomic<bool> listens_{false};
  std::atomic<bool> told_{false};
};

// Until a signal comes; nullopt: the only model has failed for good, and `why` says how.
std::optional<int> serve_until_the_end(Shutdown& shutdown,
                                       Launches& launches,
                                       bool many,
                                       Status& why) {
  std::optional<int> signal;
  while (!signal) {
    const std::vector<LaunchView> all = launches.all();
    if (!many && all.size() == 1 && all.front().failed()) {
      why = all.front().error();
      return std::nullopt;
    }
    launches.unload_idle();
    signal = shutdown.wait_for(kPoll);
  }
  return signal;
}

std::string names_of(const std::vector<LaunchSpec>& specs) {
  std::string names;
  for (const LaunchSpec& spec : specs) {
    names += (names.empty() ? "" : ", ") + spec.uid;
  }
  return names.empty() ? "no model yet; tutti launch MODEL adds one" : names;
}

SupervisorConfig supervisor_config(const ServeOptions& options, const std::string& directory) {
  SupervisorConfig config;
  config.program = kThisProgram;
  config.environment = engine_environment();
  config.socket_directory = directory;
  config.times.draining =
      std::chrono::ceil<std::chrono::seconds>(options.limits.drain_timeout) + kToFree;
  config.one_by_one = nvidia_device_present("/");
  config.arguments = [common = options.engine_flags](const EngineSpec& spec,
                                                     const std::string& socket) {
    return engine_arguments(common, spec, socket);
  };
  const bool named = options.many() && options.log_format != "json";
  config.on_line = [named](const EngineSpec& spec, std::string_view line) {
    pass_on(named ? "[" + spec.model + "] " : "", line);
  };
  return config;
}

Result<int> supervise(const ServeOptions& options, Shutdown& shutdown) {
  raise_descriptor_limit();
  const bool many = options.many();
  TUTTI_TRY(const std::vector<LaunchSpec> specs, wanted_models(options));
  const std::string names = names_of(specs);
  TUTTI_TRY(const std::unique_ptr<RuntimeDirectory> directory,
            RuntimeDirectory::make(read_environment().runtime));
  TUTTI_TRY(std::unique_ptr<Store> opened, Store::open(state_file(options)));
  const std::shared_ptr<Store> store = std::move(opened);
  const auto ring = std::make_shared<KeyRing>();
  TUTTI_TRY(const std::unique_ptr<Keys> keys, Keys::open(store, ring));
  auto gateway = std::make_shared<Gateway>();
  ReadyLine ready(names);
  Launches::Config config{.supervisor = supervisor_config(options, directory->path()),
                          .store = store,
                          .gateway = gateway,
                          .on_change = {}};
  config.on_change = [&] {
    if (gateway->ready().ok()) {
      ready.tell();
    }
  };
  TUTTI_TRY(const std::unique_ptr<Launches> launches, Launches::start(std::move(config)));
  gateway->describe_with([raw = launches.get()](const std::string& model) {
    const std::optional<LaunchView> launch = raw->find(model);
    return launch ? xinference_members(*launch) : std::string();
  });
  ServerConfig server_config = serve_config(options);
  server_config.remote = gateway;
  const std::string address = fmt::format("http://{}:{}", options.host, options.port);
  server_config.keys = ring;
  server_config.management = std::make_shared<KeysApi>(
      *keys, make_management(ring, *launches, std::make_shared<MachineLook>(), address));
  TUTTI_TRY(const std::unique_ptr<HttpServer> server,
            HttpServer::start(std::move(server_config), std::make_shared<ServedModels>()));
  ready.listens(server->url());
  log_info("listening on {}; loading {}", server->url(), names);
  shutdown.loaded();
  std::vector<std::string> uids;
  for (const LaunchSpec& spec : specs) {
    uids.push_back(spec.uid);
  }
  TUTTI_RETURN_IF_ERROR(launches->restore(uids));
  for (const LaunchSpec& spec : specs) {
    TUTTI_RETURN_IF_ERROR(launches->add(spec, false));
  }
  if (many) {
    ready.tell();  // to be told what to serve, or to load what is asked for
  }

  Status why;
  const std::optional<int> signal = serve_until_the_end(shutdown, *launches, many, why);
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
  launches->shut_down();
  log_info("stopped");
  return 0;
}

}  // namespace

int serve_supervised(const ServeOptions& options, Shutdown& shutdown) {
  const Result<int> code = supervise(options, shutdown);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace tutti
