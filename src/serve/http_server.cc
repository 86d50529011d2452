#include "serve/http_server.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "base/log.h"
#include "serve/http_api.h"
#include "serve/http_session.h"
#include "serve/io.h"
#include "serve/worker_pool.h"

namespace tutti {

namespace {

// How long aborted replies get to send their error before the sockets are closed.
constexpr std::chrono::seconds kAbortGrace{2};

}  // namespace

struct HttpServer::Impl {
  Impl(ServerConfig c, HttpApiConfig api_config, std::shared_ptr<ServedModels> models)
      : config(std::move(c)),
        api(std::move(api_config), std::move(models)),
        workers(config.limits.prepare_threads, config.limits.prepare_queue),
        shared{api, workers} {
    for (int32_t i = 0; i < std::max(1, config.io_threads); ++i) {
      shards.push_back(std::make_unique<Shard>());
    }
  }

  /// One io thread and the sessions that live on it.
  struct Shard {
    IoThread thread;
    std::unordered_set<HttpSession*> sessions;  // on its thread only
  };

  ServerConfig config;
  BindAddress address;
  HttpApi api;
  WorkerPool workers;
  HttpSession::Shared shared;
  std::vector<std::unique_ptr<Shard>> shards;
  std::unique_ptr<Listener> listener;
  std::mutex mutex;
  std::condition_variable session_ended;
  int64_t live_sessions = 0;                  // under mutex
  std::map<std::string, int64_t> by_address;  // under mutex
  bool stopped = false;

  void accept(Shard& shard, std::unique_ptr<Conn> conn);
  bool take_slot(const Conn& conn);
  void release_slot(const HttpSession& session);
  void for_all_sessions(const std::function<void(HttpSession&)>& action);
  bool wait_for_sessions(std::chrono::milliseconds timeout);
};

bool HttpServer::Impl::take_slot(const Conn& conn) {
  const std::lock_guard lock(mutex);
  if (live_sessions >= config.limits.connections) {
    return false;
  }
  if (!conn.peer_is_loopback()) {
    int64_t& count = by_address[conn.peer_address()];
    if (count >= config.limits.connections_per_address) {
      return false;
    }
    ++count;
  }
  ++live_sessions;
  return true;
}

void HttpServer::Impl::release_slot(const HttpSession& session) {
  {
    const std::lock_guard lock(mutex);
    --live_sessions;
    const auto found = by_address.find(session.peer_address());
    if (found != by_address.end() && --found->second == 0) {
      by_address.erase(found);
    }
  }
  session_ended.notify_all();
}

void HttpServer::Impl::accept(Shard& shard, std::unique_ptr<Conn> conn) {
  HttpMetrics& metrics = api.metrics();
  if (!take_slot(*conn)) {
    ++metrics.connections_refused;
    const HttpResponse response = error_response(
        to_api_error(Status(StatusCode::kUnavailable, "too many connections; try again later")));
    const WriteOptions options{.keep_alive = false, .request_id = "none"};
    (void)conn->try_write(write_response(response, options));
    conn->shutdown_send();
    return;
  }
  ++metrics.connections_total;
  ++metrics.connections_open;
  auto session = std::make_shared<HttpSession>(shared, shard.thread, std::move(conn));
  shard.sessions.insert(session.get());
  const auto on_end = [this, &shard](HttpSession& ended) {
    shard.sessions.erase(&ended);
    --api.metrics().connections_open;
    release_slot(ended);
  };
  shard.thread.spawn([session, on_end] { return HttpSession::run(session, on_end); });
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

bool HttpServer::Impl::wait_for_sessions(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex);
  return session_ended.wait_for(lock, timeout, [this] { return live_sessions == 0; });
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  stop();
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerConfig config,
                                                      std::shared_ptr<ServedModels> models) {
  HttpApiConfig api_config;
  api_config.limits = config.limits;
  api_config.request_limits = config.request_limits;
  if (config.use_key || !config.api_key.empty()) {
    TUTTI_TRY(api_config.key, ApiKey::make(config.api_key));
    config.api_key.assign(config.api_key.size(), '\0');  // only the digest stays in memory
  }
  TUTTI_TRY(BindAddress address, resolve(config.host, config.port));
  if (!address.loopback && !api_config.key.required() && !config.insecure) {
    return invalid(
        "--host {} lets other machines use this server without an API key; "
        "give one with --api-key, or allow it with --insecure",
        config.host);
  }
  api_config.check_host = address.loopback;
  auto impl = std::make_unique<Impl>(std::move(config), std::move(api_config), std::move(models));
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
        raw->accept(*shard, std::move(conn));
        return;
      }
    }
  };
  impl->listener->start(threads, on_accept, impl->config.limits.accept_pause);
  for (IoThread* thread : threads) {
    thread->start();
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

uint16_t HttpServer::port() const {
  return impl_->address.port;
}

std::string HttpServer::url() const {
  const BindAddress& address = impl_->address;
  const bool v6 = address.ip.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", v6 ? "[" : "", address.ip, v6 ? "]" : "", address.port);
}

void HttpServer::drain(std::chrono::seconds timeout) {
  if (impl_->stopped) {
    return;
  }
  impl_->shared.draining = true;
  impl_->listener->close();
  impl_->for_all_sessions([](HttpSession& session) { session.drain(); });
  if (timeout.count() > 0 && impl_->wait_for_sessions(timeout)) {
    return;
  }
  const Status status(StatusCode::kUnavailable, "the server is shutting down");
  impl_->for_all_sessions([status](HttpSession& session) { session.abort(status); });
  if (!impl_->wait_for_sessions(kAbortGrace)) {
    log_warn("some connections did not end in time; closing them");
  }
}

void HttpServer::stop() {
  if (impl_->stopped) {
    return;
  }
  drain(std::chrono::seconds(0));
  impl_->stopped = true;
  impl_->workers.stop();
  for (const auto& shard : impl_->shards) {
    shard->thread.stop();
  }
}

}  // namespace tutti
