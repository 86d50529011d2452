// The HTTP server of `tutti serve`: OpenAI's API over the models in a ServedModels.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "serve/http_limits.h"
#include "serve/key_ring.h"
#include "serve/management.h"
#include "serve/remote_models.h"
#include "serve/served_models.h"
#include "watch/gpu_status.h"

namespace tutti {

class ResponseStore;

struct ServerConfig {
  std::string host = "127.0.0.1";
  uint16_t port = 9997;           ///< 0: any free one
  bool use_key = false;           ///< require `api_key`; a blank one is refused
  std::string api_key;            ///< setting it sets use_key
  bool insecure = false;          ///< allow an address others can reach without an API key
  std::shared_ptr<KeyRing> keys;  ///< more keys, which may come and go; nullptr: none
  std::string tls_certificate;    ///< file: TlsContext::load(); "": no TLS
  std::string tls_key;            ///< the same
  std::string allowed_hosts;      ///< names that Host may have: AllowedHosts::parse()
  std::string allowed_origins;    ///< whose web pages may use the server: Cors::parse()
  std::string unix_socket;  ///< path of a Unix socket to listen on instead: a gateway's engine does
  std::shared_ptr<RemoteModels> remote;    ///< a gateway serves these instead of models of its own
  std::shared_ptr<Management> management;  ///< routes that manage them
  std::shared_ptr<ResponseStore> responses;  ///< where responses are kept; nullptr: nowhere
  int32_t io_threads = 1;
  HttpLimits limits;
  RequestLimits request_limits;
  std::string version;  ///< of the program, as GET /version tells it
  std::string build;
  std::function<GpuStatus()> gpus;  ///< what /v1/cluster/gpus and /metrics tell; quick, any thread
};

class HttpServer {
 public:
  /// Listens and serves when it returns. `models` may be empty and be filled later. Errors say what
  /// to change: port taken, host unknown, blank key, open to the network without a key.
  static Result<std::unique_ptr<HttpServer>> start(ServerConfig config,
                                                   std::shared_ptr<ServedModels> models);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  /// "http://127.0.0.1:9997", "https://…" or "unix:" and the path
  std::string url() const;

  /// Refuses new generation (503) and says so at /ready, lets replies under way finish; those that
  /// are not done after `timeout` end with an error. Then stops accepting and closes all
  /// connections. Blocks at most a few seconds longer than `timeout`.
  void drain(std::chrono::milliseconds timeout);
  /// As drain(); replies that do not end in time end with `why`.
  void drain(std::chrono::milliseconds timeout, const Status& why);

  /// drain() without waiting, then ends all threads. Idempotent; the destructor calls it.
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti
