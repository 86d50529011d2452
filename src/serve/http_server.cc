#include "serve/http_server.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include <sys/resource.h>

#include "base/log.h"
#include "serve/http_api.h"
#include "serve/http_session.h"
#include "serve/io.h"
#include "serve/tls.h"
#include "serve/worker_pool.h"

namespace tutti {

namespace {

// How long aborted replies get to send their error before the sockets are closed.
constexpr std::chrono::seconds kAbortGrace{2};
// How often a draining server looks whether replies are left.
constexpr std::chrono::milliseconds kDrainPoll{5};

int64_t open_descriptors() {
  std::error_code ec;
  const std::filesystem::directory_iterator entries("/proc/self/fd", ec);
  return ec ? 0 : std::distance(begin(entries), end(entries));
}

// Connections must never take the last file descriptors: others of the process need some, and a
// probe above the limit needs one to be answered.
void fit_descriptors(HttpLimits& limits) {
  constexpr int64_t kForOthers = 64;
  rlimit allowed{};
  if (getrlimit(RLIMIT_NOFILE, &allowed) != 0 || allowed.rlim_cur == RLIM_INFINITY) {
    return;
  }
  const auto all =
      static_cast<int64_t>(std::min<rlim_t>(allowed.rlim_cur, std::numeric_limits<int32_t>::max()));
  const int64_t room =
      all - open_descriptors() - limits.probe_connections - std::min<int64_t>(kForOthers, all / 4);
  if (room < limits.connections) {
    const auto fits = static_cast<int32_t>(std::max<int64_t>(1, room));
    log_warn("{} file descriptors allow {} connections, not {}; raise ulimit -n for more",
             all,
             fits,
             limits.connections);
    limits.connections = fits;
  }
}

}  // namespace

namespace {

/// Forgets kept replies in time.
class Tidier final : public Ticker {
 public:
  explicit Tidier(RunningReplies& replies) : replies_(replies) {}

  void on_tick(Clock::time_point now) override {
    if (now - last_ >= kEvery) {
      last_ = now;
      replies_.tidy(now);
    }
  }

 private:
  static constexpr std::chrono::milliseconds kEvery{200};

  RunningReplies& replies_;
  Clock::time_point last_;
};

}  // namespace

struct HttpServer::Impl {
  Impl(ServerConfig c, HttpApiConfig api_config, std::shared_ptr<ServedModels> models)
      : config(std::move(c)),
        api(std::move(api_config), std::move(models)),
        workers(config.limits.prepare_threads, config.limits.prepare_queue),
        shared{api, workers} {
    for (int32_t i = 0; i < std::max(1, config.io_threads); ++i) {
      shards.push_back(std::make_unique<Shard>());
      if (config.remote != nullptr) {
        shards.back()->engines = std::make_shared<EnginePool>(shards.back()->thread.context());
      }
    }
  }

  /// One io thread and the sessions that live on it.
  struct Shard {
    IoThread thread;
    std::unordered_set<HttpSession*> sessions;  // on its thread only
    std::deque<HttpSession*> probes;            // same; oldest first
    std::shared_ptr<EnginePool> engines;        // same; of a gateway
  };

  ServerConfig config;
  std::shared_ptr<const TlsContext> tls;  // nullptr: none
  BindAddress address;
  HttpApi api;
  WorkerPool workers;
  HttpSession::Shared shared;
  std::vector<std::unique_ptr<Shard>> shards;
  std::unique_ptr<Listener> listener;
  Tidier tidier{api.replies()};
  std::mutex mutex;
  int64_t live_sessions = 0;                  // under mutex
  int64_t full_sessions = 0;                  // under mutex; the others are probes
  std::map<std::string, int64_t> by_address;  // under mutex
  bool stopped = false;

  void accept(Shard& shard, std::unique_ptr<Conn> conn);
  HttpSession::Kind admit(const Conn& conn);
  void leave(const HttpSession& session);
  void end_session(Shard& shard, HttpSession& session);
  void for_all_sessions(const std::function<void(HttpSession&)>& action);
  static bool wait_until(const std::function<bool()>& done, Clock::duration timeout);
  bool no_sessions();
};

HttpSession::Kind HttpServer::Impl::admit(const Conn& conn) {
  const std::lock_guard lock(mutex);
  ++live_sessions;
  if (full_sessions >= config.limits.connections) {
    return HttpSession::Kind::kProbe;
  }
  if (!conn.peer_is_loopback()) {
    int64_t& count = by_address[conn.peer_address()];
    if (count >= config.limits.connections_per_address) {
      return HttpSession::Kind::kProbe;
    }
    ++count;
  }
  ++full_sessions;
  return HttpSession::Kind::kFull;
}

void HttpServer::Impl::leave(const HttpSession& session) {
  const std::lock_guard lock(mutex);
  --live_sessions;
  if (session.kind() == HttpSession::Kind::kFull) {
    --full_sessions;
    const auto found = by_address.find(session.peer_address());
    if (found != by_address.end() && --found->second == 0) {
      by_address.erase(found);
    }
  }
}

void HttpServer::Impl::accept(Shard& shard, std::unique_ptr<Conn> conn) {
  HttpMetrics& metrics = api.metrics();
  const HttpSession::Kind kind = admit(*conn);
  ++metrics.connections_total;
  ++metrics.connections_open;
  auto session =
      std::make_shared<HttpSession>(shared, shard.thread, std::move(conn), kind, shard.engines);
  shard.sessions.insert(session.get());
  if (kind == HttpSession::Kind::kProbe) {
    ++metrics.connections_over_limit;
    // A real probe sends its request at once; whoever holds the oldest place does not.
    if (shard.probes.size() >= static_cast<size_t>(config.limits.probe_connections)) {
      shard.probes.front()->evict();
      shard.probes.pop_front();
    }
    shard.probes.push_back(session.get());
  }
  const auto on_end = [this, &shard](HttpSession& ended) { end_session(shard, ended); };
  shard.thread.spawn([session, on_end] { return HttpSession::run(session, on_end); });
}

void HttpServer::Impl::end_session(Shard& shard, HttpSession& session) {
  shard.sessions.erase(&session);
  std::erase(shard.probes, &session);
  --api.metrics().connections_open;
  leave(session);
}

void HttpServer::Impl::for_all_sessions(const std::function<void(HttpSession&)>& action) {
  for (const auto& shard : shards) {
    shard->thread.post([&sessions = shard->sessions, action] {
      for (HttpSession* session : sessions) {
        action(*session);
      }
    });
  }
}

bool HttpServer::Impl::wait_until(const std::function<bool()>& done, Clock::duration timeout) {
  const auto end = Clock::now() + timeout;
  while (!done()) {
    if (Clock::now() >= end) {
      return false;
    }
    std::this_thread::sleep_for(kDrainPoll);
  }
  return true;
}

bool HttpServer::Impl::no_sessions() {
  const std::lock_guard lock(mutex);
  return live_sessions == 0;
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  stop();
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerConfig config,
                                                      std::shared_ptr<ServedModels> models) {
  fit_descriptors(config.limits);
  HttpApiConfig api_config;
  api_config.limits = config.limits;
  api_config.version = config.version;
  api_config.build = config.build;
  api_config.gpus = config.gpus;
  api_config.request_limits = config.request_limits;
  if (config.keys != nullptr) {
    api_config.keys = config.keys;
  }
  if (config.use_key || !config.api_key.empty()) {
    TUTTI_TRY(const KeyDigest digest, digest_of_new_key(config.api_key));
    api_config.keys->add_master(digest);
    config.api_key.assign(config.api_key.size(), '\0');  // only the digest stays in memory
  }
  TUTTI_TRY(api_config.cors, Cors::parse(config.allowed_origins));
  BindAddress address{.host = {}, .ip = {}, .loopback = true, .unix_path = config.unix_socket};
  if (config.unix_socket.empty()) {
    TUTTI_TRY(address, resolve(config.host, config.port));
  }
  if (!address.loopback && !api_config.keys->required() && !config.insecure) {
    return invalid(
        "‹host› {} lets other machines use this server without an API key; "
        "give one with ‹api_key›, allow it with ‹insecure›, or keep to this one with ‹host› "
        "127.0.0.1",
        config.host);
  }
  if (!address.loopback && !config.insecure) {
    api_config.keys->always_require();  // also when the last one is taken away
  }
  TUTTI_TRY(api_config.allowed_hosts, AllowedHosts::parse(config.allowed_hosts));
  api_config.check_host = address.loopback && config.unix_socket.empty();
  api_config.behind_gateway = !config.unix_socket.empty();
  api_config.remote = config.remote;
  api_config.management = config.management;
  api_config.responses = config.responses;
  api_config.reachable = !address.loopback;
  std::shared_ptr<const TlsContext> tls;
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return invalid("‹tls_cert› and ‹tls_key› go together; give both");
  }
  if (!config.tls_certificate.empty()) {
    TUTTI_TRY(tls, TlsContext::load(config.tls_certificate, config.tls_key));
  }
  auto impl = std::make_unique<Impl>(std::move(config), std::move(api_config), std::move(models));
  impl->tls = std::move(tls);
  TUTTI_TRY(impl->listener, Listener::bind(impl->shards[0]->thread, address));
  address.port = impl->listener->port();
  impl->address = address;
  std::vector<IoThread*> threads;
  for (const auto& shard : impl->shards) {
    threads.push_back(&shard->thread);
  }
  Impl* raw = impl.get();
  const auto on_accept = [raw](IoThread& thread, std::unique_ptr<Conn> conn) {
    for (const auto& shard : raw->shards) {
      if (&shard->thread == &thread) {
        raw->accept(
            *shard,
            raw->tls == nullptr ? std::move(conn) : raw->tls->wrap(std::move(conn), thread));
        return;
      }
    }
  };
  impl->listener->start(threads, on_accept, impl->config.limits.accept_pause);
  for (IoThread* thread : threads) {
    thread->start();
  }
  threads.front()->post([raw] { raw->shards.front()->thread.add_ticker(&raw->tidier); });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

uint16_t HttpServer::port() const {
  return impl_->address.port;
}

std::string HttpServer::url() const {
  const BindAddress& address = impl_->address;
  if (!address.unix_path.empty()) {
    return "unix:" + address.unix_path;
  }
  const bool v6 = address.ip.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}",
                     impl_->tls == nullptr ? "http" : "https",
                     v6 ? "[" : "",
                     address.ip,
                     v6 ? "]" : "",
                     address.port);
}

void HttpServer::drain(std::chrono::milliseconds timeout) {
  drain(timeout, shutting_down());
}

void HttpServer::drain(std::chrono::milliseconds timeout, const Status& why) {
  if (impl_->stopped) {
    return;
  }
  impl_->api.set_draining();
  (void)Impl::wait_until([this] { return impl_->shared.requests == 0; }, timeout);
  // Idle connections go now; replies that are left end with an error.
  impl_->listener->close();
  impl_->api.replies().stop_kept();
  impl_->for_all_sessions([&why](HttpSession& session) { session.abort(why); });
  if (!Impl::wait_until([this] { return impl_->no_sessions(); }, kAbortGrace)) {
    log_warn("some connections did not end in time; closing them");
  }
}

void HttpServer::stop() {
  if (impl_->stopped) {
    return;
  }
  drain(std::chrono::milliseconds(0));
  impl_->stopped = true;
  impl_->workers.stop();
  for (const auto& shard : impl_->shards) {
    shard->thread.stop();
  }
  impl_->shared.keepers.clear();
  impl_->shared.log.end();
}

}  // namespace tutti
