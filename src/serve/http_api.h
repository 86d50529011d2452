// The routes: which there are, who may call them, and what they answer. No I/O, thread-safe.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/allowed_hosts.h"
#include "serve/cors.h"
#include "serve/generation_reply.h"
#include "serve/http_limits.h"
#include "serve/http_message.h"
#include "serve/http_metrics.h"
#include "serve/key_ring.h"
#include "serve/management.h"
#include "serve/remote_models.h"
#include "serve/running_replies.h"
#include "serve/served_models.h"
#include "serve/waker.h"

namespace tutti {

enum class RouteId {
  kGenerate,       ///< POST of a dialect: parsed by it; most generate
  kPage,           ///< GET of a dialect
  kResponse,       ///< a stored response
  kResponseInput,  ///< its input
  kForgetResponse,
  kReplies,  ///< those under way
  kReply,    ///< the events of one that is kept
  kStopReply,
  kModels,
  kModel,
  kLive,
  kReady,
  kIndex,
  kVersion,
  kMetrics,
  kGpus,
  kOpenApi,
  kDocs,
  kManage,  ///< of the server's Management
};

class Dialect;
class ResponseStore;
struct DialectRoute;

struct Route {
  RouteId id;
  const char* method;  ///< "GET" (answers HEAD too) or "POST" (takes a JSON body)
  const char* path;    ///< one that ends with / takes a name after it, but for "/" itself
  bool needs_key;
  bool probe;                        ///< answered above the connection limit too
  const Dialect* dialect = nullptr;  ///< of kGenerate and kPage: whose route it is
  int number = 0;                    ///< and its number there
  const char* of = "model";          ///< what the name is of
  const char* after = "";            ///< follows the name

  const DialectRoute& dialect_route() const;

  bool takes_body() const { return std::string_view(method) == "POST"; }

  /// Answers HEAD too.
  bool reads() const { return std::string_view(method) == "GET"; }

  bool takes_name() const {
    return std::string_view(path) != "/" && std::string_view(path).ends_with('/');
  }

  /// "/v1/models/{model}"
  std::string pattern() const;

  /// Says how the server is, to anybody.
  bool health() const { return probe && !needs_key; }
};

/// Every route there is.
std::span<const Route> route_table();

struct RouteMatch {
  const Route* route = nullptr;
  std::string name;             ///< decoded rest of the path
  std::shared_ptr<KeyUse> use;  ///< of a key with limits
  std::string owner;            ///< KeyRing::Pass::owner
};

/// What a route answers: at once, or as the model generates.
using Reply = std::variant<HttpResponse, std::unique_ptr<GenerationReply>>;

/// And what the client should know besides: printable ASCII, for a header and the log.
struct PostReply {
  Reply reply;
  std::vector<std::string> warnings;
};

struct ReplyInput {
  std::string request_id;
  std::shared_ptr<Waker> waker;                   ///< told when something arrived for the reply
  std::shared_ptr<const std::atomic<bool>> gone;  ///< the client left; work no further
  std::chrono::steady_clock::time_point begun;    ///< when the first byte of the request came
  std::string owner;                              ///< RouteMatch::owner
};

struct HttpApiConfig {
  std::shared_ptr<KeyRing> keys = std::make_shared<KeyRing>();
  Cors cors;
  bool check_host = true;       ///< the server is bound to loopback: only loopback names are served
  AllowedHosts allowed_hosts;   ///< names that are served besides; if there are some, no others are
  bool behind_gateway = false;  ///< requests come from a gateway, which says for whom
  std::shared_ptr<RemoteModels> remote;      ///< of a gateway: where its models are
  std::shared_ptr<Management> management;    ///< nullptr: nothing can be managed
  std::shared_ptr<ResponseStore> responses;  ///< nullptr: none are kept
  bool reachable = false;                    ///< by other machines: then a key is wanted to manage
  HttpLimits limits;
  RequestLimits request_limits;
  std::string version;  ///< of the program, as GET /version tells it
  std::string build;
  std::function<GpuStatus()> gpus;  ///< of the machine; unset: none is watched
};

class HttpApi {
 public:
  HttpApi(HttpApiConfig config, std::shared_ptr<ServedModels> models)
      : config_(std::move(config)), models_(std::move(models)) {}

  /// Everything that can be refused before the body is read: host, route, method, key, type, size.
  /// A preflight gets its answer here too.
  std::variant<RouteMatch, HttpResponse> admit(const HttpHead& head,
                                               std::string_view request_id) const;

  /// Header lines that every reply to this request has besides its own.
  std::string reply_headers(const HttpHead& head, std::string_view request_id) const;

  /// The most body bytes a route takes.
  int64_t body_limit(const RouteMatch& match) const;

  /// Whether get() asks others, and so belongs on a worker thread.
  bool takes_long(const RouteMatch& match) const {
    const RouteId id = match.route->id;
    const bool stored =
        id == RouteId::kResponse || id == RouteId::kResponseInput || id == RouteId::kForgetResponse;
    return stored || (remote() != nullptr && (id == RouteId::kMetrics || id == RouteId::kGpus));
  }

  /// Routes without a body; quick but where takes_long(). `head` has passed admit().
  HttpResponse get(const RouteMatch& match, const HttpHead& head) const;

  /// Routes with a body; may take as long as parsing and tokenizing it do.
  PostReply post(const RouteMatch& match, std::string_view body, const ReplyInput& input);

  /// From here on generation is refused and /ready says so; everything else goes on.
  void set_draining() { draining_ = true; }

  bool draining() const { return draining_; }

  /// nullptr: this is no gateway.
  RemoteModels* remote() const { return config_.remote.get(); }

  bool behind_gateway() const { return config_.behind_gateway; }

  Management* management() const { return config_.management.get(); }

  HttpMetrics& metrics() { return metrics_; }

  RunningReplies& replies() { return replies_; }

  const HttpLimits& limits() const { return config_.limits; }

 private:
  std::vector<ModelCard> cards() const;
  HttpResponse list_models(const HttpHead& head) const;
  HttpResponse show_model(const std::string& id, const HttpHead& head) const;
  HttpResponse list_replies(const std::string& owner) const;
  HttpResponse stop_reply(const RouteMatch& match) const;
  HttpResponse stored_response(const RouteMatch& match, const HttpHead& head) const;
  HttpResponse live() const;
  HttpResponse ready() const;
  HttpResponse version() const;

  GpuStatus gpu_status() const;

  Status readiness() const;
  Status check_host(const HttpHead& head, const RouteMatch& match) const;
  std::variant<RouteMatch, HttpResponse> admit_management(const HttpHead& head,
                                                          const Management::Match& match) const;
  HttpResponse options_of_health(const RouteMatch& match, const HttpHead& head) const;
  Result<Reply> generate(const Route& route,
                         std::string_view body,
                         const ReplyInput& input,
                         std::vector<std::string>& warnings);

  HttpApiConfig config_;
  std::shared_ptr<ServedModels> models_;
  HttpMetrics metrics_;
  mutable RunningReplies replies_{config_.limits};
  std::atomic<bool> draining_{false};
};

}  // namespace tutti
