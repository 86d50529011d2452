#include "serve/http_api.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "serve/dialect.h"
#include "serve/docs_page.h"
#include "serve/engine_gpus.h"
#include "serve/engine_metrics.h"
#include "serve/http_head.h"
#include "serve/index_page.h"
#include "serve/openapi.h"
#include "serve/route_guide.h"

namespace tutti {

namespace {

// Besides those of the dialects. Probes of orchestrators carry no key; everything else needs it.
constexpr Route kRoutes[] = {
    {RouteId::kModels, "GET", "/v1/models", true, false},
    {RouteId::kModel, "GET", "/v1/models/", true, false},
    {RouteId::kLive, "GET", "/health", false, true},
    {RouteId::kLive, "GET", "/health/live", false, true},
    {RouteId::kReady, "GET", "/health/ready", false, true},
    {RouteId::kReady, "GET", "/ready", false, true},
    // Where load balancers, orchestrators and people look if nobody tells them where.
    {RouteId::kIndex, "GET", "/", false, true},
    {RouteId::kReady, "GET", "/ping", false, true},
    {RouteId::kReady, "GET", "/readyz", false, true},
    {RouteId::kLive, "GET", "/healthz", false, true},
    {RouteId::kLive, "GET", "/livez", false, true},
    {RouteId::kVersion, "GET", "/version", true, false},
    {RouteId::kMetrics, "GET", "/metrics", true, true},
    {RouteId::kGpus, "GET", "/v1/cluster/gpus", true, false},
    {RouteId::kOpenApi, "GET", "/openapi.json", true, false},
    {RouteId::kDocs, "GET", "/docs", false, false},
    {RouteId::kReplies, "GET", "/v1/replies", true, false},
    {RouteId::kReply, "GET", "/v1/replies/", true, false, nullptr, 0, "reply"},
    {RouteId::kStopReply, "DELETE", "/v1/replies/", true, false, nullptr, 0, "reply"},
    {RouteId::kResponse, "GET", "/v1/responses/", true, false, nullptr, 0, "response"},
    {RouteId::kForgetResponse, "DELETE", "/v1/responses/", true, false, nullptr, 0, "response"},
    {RouteId::kResponseInput,
     "GET",
     "/v1/responses/",
     true,
     false,
     nullptr,
     0,
     "response",
     "/input_items"},
};

// Those of a Management, whatever their paths: how a match says what is wanted. Their metrics have
// one name, since paths hold names of models.
constexpr Route kManaged[] = {
    {RouteId::kManage, "GET", "(management)", true, false},
    {RouteId::kManage, "POST", "(management)", true, false},
    {RouteId::kManage, "DELETE", "(management)", true, false},
};

const Route* managed_route(std::string_view method) {
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Route& route : kManaged) {
    if (wanted == route.method) {
      return &route;
    }
  }
  return nullptr;
}

std::vector<Route> all_routes() {
  std::vector<Route> routes;
  for (const Dialect* dialect : dialects()) {
    int number = 0;
    for (const DialectRoute& route : dialect->routes()) {
      routes.push_back({.id = RouteId::kGenerate,
                        .method = "POST",
                        .path = route.path,
                        .needs_key = true,
                        .probe = false,
                        .dialect = dialect,
                        .number = number++});
    }
    number = 0;
    for (const DialectPage& page : dialect->pages()) {
      routes.push_back({.id = RouteId::kPage,
                        .method = "GET",
                        .path = page.path,
                        .needs_key = true,
                        .probe = false,
                        .dialect = dialect,
                        .number = number++});
    }
  }
  routes.insert(routes.end(), std::begin(kRoutes), std::end(kRoutes));
  return routes;
}

// The name in a path that fits the route; "" if the route takes none. Names of models may have
// slashes.
std::optional<std::string> fit(const Route& route, std::string_view path) {
  const std::string_view begin = route.path;
  const std::string_view end = route.after;
  if (!route.takes_name()) {
    return path == begin ? std::optional<std::string>("") : std::nullopt;
  }
  if (path.size() <= begin.size() + end.size() || !path.starts_with(begin) ||
      !path.ends_with(end)) {
    return std::nullopt;
  }
  const std::string_view name = path.substr(begin.size(), path.size() - begin.size() - end.size());
  const bool one_segment = route.id != RouteId::kModel;
  return one_segment && name.find('/') != std::string_view::npos ? std::nullopt
                                                                 : percent_decode(name);
}

// The first that has the method; else the first of this path.
RouteMatch match_route(std::string_view path, std::string_view method) {
  RouteMatch found;
  for (const Route& route : route_table()) {
    std::optional<std::string> name = fit(route, path);
    if (!name) {
      continue;
    }
    const bool right = method == route.method || (method == "HEAD" && route.reads());
    if (right || found.route == nullptr) {
      found.route = &route;
      found.name = *std::move(name);
    }
    if (right) {
      break;
    }
  }
  return found;
}

// Of a server bound to loopback. A page whose name was pointed at 127.0.0.1 (DNS rebinding) is told
// by its name in Host, which browsers always send. Proxies on this machine name us as they like
// when they ask for our health, which is no secret.
bool known_host(const HttpHead& head, const RouteMatch& match) {
  const bool health = match.route != nullptr && match.route->health();
  return head.host.empty() || is_loopback_host(head.host) || (health && is_local_name(head.host));
}

// What a key must be good for; a request that is refused anyway counts for nothing.
KeyScope scope_of(const Route* route, std::string_view method) {
  if (route == nullptr) {
    return KeyScope::kAny;
  }
  switch (route->id) {
    case RouteId::kGenerate:
      return method == route->method ? KeyScope::kInference : KeyScope::kAny;
    case RouteId::kMetrics:
    case RouteId::kGpus:
      return KeyScope::kMetrics;
    case RouteId::kResponse:
    case RouteId::kResponseInput:
    case RouteId::kForgetResponse:
    case RouteId::kReplies:
    case RouteId::kReply:
    case RouteId::kStopReply:
      return KeyScope::kInference;
    default:
      return KeyScope::kAny;
  }
}

bool is_json(const HttpHead& head) {
  const std::string* type = head.find("content-type");
  if (type == nullptr || head.count("content-type") != 1) {
    return false;
  }
  std::string essence = type->substr(0, type->find(';'));
  while (!essence.empty() && (essence.back() == ' ' || essence.back() == '\t')) {
    essence.pop_back();
  }
  for (char& c : essence) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return essence == "application/json";
}

// curl and others take a form for granted unless told otherwise.
std::string wrong_type(const HttpHead& head) {
  constexpr size_t kShown = 80;
  const std::string* type = head.find("content-type");
  return fmt::format(
      "Content-Type: got {}, wanted application/json; with curl: -H 'Content-Type: "
      "application/json'",
      type == nullptr ? "none"
                      : '"' + header_text(std::string_view(*type).substr(0, kShown)) + '"');
}

HttpResponse method_error(std::string_view method,
                          const Route& route,
                          std::string_view request_id) {
  std::string allowed;
  for (const Route& other : route_table()) {
    if (std::string_view(other.path) == route.path &&
        std::string_view(other.after) == route.after) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(other.method);
      allowed += other.health() ? ", HEAD, OPTIONS" : other.reads() ? ", HEAD" : "";
    }
  }
  HttpResponse response = error_response(
      http_error(405, wrong_method(method, route, allowed)), route.dialect, request_id);
  response.headers.push_back({"Allow", allowed});
  return response;
}

// Clients of Anthropic's API ask on the same routes for other members.
bool wants_anthropic(const HttpHead& head) {
  return head.find("anthropic-version") != nullptr;
}

std::string model_json(const ModelCard& card, const HttpHead& head) {
  std::string out = R"({"id":)";
  append_json_string(out, card.id);
  out += fmt::format(R"(,"object":"model","created":{},"owned_by":"tutti","max_model_len":{}{})",
                     card.created_unix,
                     card.max_context,
                     card.members);
  if (wants_anthropic(head)) {
    out += R"(,"type":"model","display_name":)";
    append_json_string(out, card.id);
    out += fmt::format(R"(,"created_at":"{}")", utc_text(card.created_unix));
  }
  return out + "}";
}

ModelCard card_of(const ModelInfo& info) {
  return {.id = info.id, .created_unix = info.created_unix, .max_context = info.max_context};
}

}  // namespace

std::span<const Route> route_table() {
  static const std::vector<Route> kAll = all_routes();
  return kAll;
}

std::string Route::pattern() const {
  return takes_name() ? fmt::format("{}{{{}}}{}", path, of, after) : path;
}

const DialectRoute& Route::dialect_route() const {
  return dialect->routes()[static_cast<size_t>(number)];
}

// Bound to loopback: loopback's names and those that are allowed. Open to others: every name,
// unless some are allowed.
Status HttpApi::check_host(const HttpHead& head, const RouteMatch& match) const {
  const bool checked = config_.check_host || config_.allowed_hosts.any_given();
  if (!checked || known_host(head, match) || config_.allowed_hosts.allows(head.host)) {
    return ok_status();
  }
  if (!config_.check_host) {
    return invalid("Host: got \"{}\", which is none of the names that this server answers to",
                   head.host);
  }
  return invalid(
      "Host: got \"{}\", wanted localhost, 127.0.0.1 or [::1], since this server is "
      "bound to loopback; have a proxy send Host: localhost, or start the server with "
      "its name allowed",
      head.host);
}

std::string HttpApi::reply_headers(const HttpHead& head, std::string_view request_id) const {
  std::string out = config_.cors.reply_headers(head);
  const Route* route = match_route(head.path, head.method).route;
  const Dialect* dialect = route == nullptr ? nullptr : route->dialect;
  if (dialect != nullptr && dialect->request_id_header() != nullptr) {
    out += fmt::format("{}: {}\r\n", dialect->request_id_header(), request_id);
  }
  return out;
}

std::variant<RouteMatch, HttpResponse> HttpApi::admit(const HttpHead& head,
                                                      std::string_view request_id) const {
  RouteMatch match = match_route(head.path, head.method);
  if (const Status status = check_host(head, match); !status.ok()) {
    return error_response(http_error(403, status.message()));
  }
  // Before the key, which no preflight carries.
  if (auto preflight = config_.cors.preflight(head)) {
    return *std::move(preflight);
  }
  if (management() != nullptr) {
    const std::string_view method = head.method == "HEAD" ? "GET" : std::string_view(head.method);
    Management::Match managed = management()->match(method, head.path);
    const bool elsewhere = match.route != nullptr && method == match.route->method;
    if (managed.method || (managed.path && !elsewhere)) {
      if (match.route != nullptr &&
          managed.allowed.find(match.route->method) == std::string::npos) {
        managed.allowed = fmt::format("{}, {}", match.route->method, managed.allowed);
      }
      return admit_management(head, managed);
    }
  }
  const auto refuse = [&](const ApiError& error) {
    const Dialect* dialect = match.route == nullptr ? nullptr : match.route->dialect;
    return error_response(error, dialect, request_id);
  };
  // The key comes before the route, so that without it nothing can be learned about routes.
  if (match.route == nullptr || match.route->needs_key) {
    KeyRing::Pass pass = config_.keys->check(head, scope_of(match.route, head.method));
    if (pass.error) {
      return refuse(*pass.error);
    }
    match.use = std::move(pass.use);
    match.owner = std::move(pass.owner);
  }
  if (match.route == nullptr) {
    return error_response(http_error(404, no_such_route(head.method, head.path)));
  }
  if (head.method == "OPTIONS" && match.route->health()) {
    return options_of_health(match, head);
  }
  const bool posts = match.route->takes_body();
  if (posts && draining_) {
    return refuse(to_api_error(shutting_down()));
  }
  if (head.method != match.route->method && !(match.route->reads() && head.method == "HEAD")) {
    return method_error(head.method, *match.route, request_id);
  }
  const std::string* encoding = head.find("content-encoding");
  if (encoding != nullptr && *encoding != "identity") {
    return refuse(http_error(415, "compressed request bodies are not accepted"));
  }
  const bool any_type = match.route->dialect != nullptr && match.route->dialect->takes_any_type() &&
                        head.find("origin") == nullptr && head.find("sec-fetch-site") == nullptr;
  if (posts && !any_type && !is_json(head)) {
    return refuse(http_error(415, wrong_type(head)));
  }
  const int64_t limit = body_limit(match);
  if (head.content_length.value_or(0) > limit) {
    return refuse(http_error(413, fmt::format("request body over {} bytes", limit)));
  }
  return match;
}

std::variant<RouteMatch, HttpResponse> HttpApi::admit_management(
    const HttpHead& head, const Management::Match& match) const {
  const auto refuse = [&](const ApiError& error) { return management()->error(error); };
  if (!match.open) {
    if (const auto pass = config_.keys->check(head, KeyScope::kManage); pass.error) {
      return refuse(*pass.error);
    }
    if (config_.reachable && !config_.keys->required()) {
      return refuse(http_error(
          403,
          "models are managed from this machine alone, or with a key: start the server with one"));
    }
  }
  const Route* route = managed_route(head.method);
  if (!match.method || route == nullptr) {
    HttpResponse response = refuse(
        http_error(405, fmt::format("{} {}: wanted {}", head.method, head.path, match.allowed)));
    response.headers.push_back({"Allow", match.allowed});
    return response;
  }
  const bool reads = std::string_view(route->method) == "GET";
  // What a page of another site may send without asking must change nothing (W-03).
  if (!reads && head.find("origin") != nullptr && !config_.cors.permits(head)) {
    return refuse(http_error(403, "pages of this origin may not manage this server's models"));
  }
  if (head.has_body() && !is_json(head)) {
    return refuse(http_error(415, wrong_type(head)));
  }
  if (!reads && draining_) {
    return refuse(to_api_error(shutting_down()));
  }
  const RouteMatch found{.route = route, .name = {}, .use = nullptr, .owner = {}};
  const int64_t limit = body_limit(found);
  if (head.content_length.value_or(0) > limit) {
    return refuse(http_error(413, fmt::format("request body over {} bytes", limit)));
  }
  return found;
}

// The default check of HAProxy and others is OPTIONS: they look at the status alone.
HttpResponse HttpApi::options_of_health(const RouteMatch& match, const HttpHead& head) const {
  HttpResponse response = get(match, head);
  if (response.status == 200) {
    response = HttpResponse();
    response.status = 204;
  }
  response.headers.push_back({"Allow", "GET, HEAD, OPTIONS"});
  return response;
}

int64_t HttpApi::body_limit(const RouteMatch& match) const {
  return match.route->takes_body() ? config_.limits.body_bytes : config_.limits.ignored_body_bytes;
}

HttpResponse HttpApi::get(const RouteMatch& match, const HttpHead& head) const {
  switch (match.route->id) {
    case RouteId::kModels:
      return list_models(head);
    case RouteId::kModel:
      return show_model(match.name, head);
    case RouteId::kLive:
      return live();
    case RouteId::kReady:
      return ready();
    case RouteId::kIndex: {
      const std::string* accept = head.find("accept");
      return index_response(accept == nullptr ? "" : *accept, readiness());
    }
    case RouteId::kVersion:
      return version();
    case RouteId::kMetrics: {
      HttpResponse response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = metrics_.render(*models_, gpu_status());
      if (remote() != nullptr) {
        response.body = merge_metrics(response.body, ask_engines_metrics(remote()->engines()));
      }
      return response;
    }
    case RouteId::kGpus:
      return json_response(to_string(status_json(gpu_status())));
    case RouteId::kOpenApi: {
      static const std::string kDocument = to_string(openapi_document());
      return json_response(kDocument);
    }
    case RouteId::kDocs:
      return docs_response();
    case RouteId::kPage:
      return json_response(to_string(match.route->dialect->page(
          match.route->number, {.models = cards(), .version = config_.version})));
    case RouteId::kResponse:
    case RouteId::kResponseInput:
    case RouteId::kForgetResponse:
      return stored_response(match, head);
    case RouteId::kReplies:
      return list_replies(match.owner);
    case RouteId::kStopReply:
      return stop_reply(match);
    case RouteId::kReply:  // sessions send it
    case RouteId::kGenerate:
    case RouteId::kManage:
      break;
  }
  return error_response(http_error(500, "no handler for this route"));
}

GpuStatus HttpApi::gpu_status() const {
  if (remote() != nullptr) {
    return ask_engines_gpus(remote()->engines());
  }
  return config_.gpus ? config_.gpus() : GpuStatus();
}

std::vector<ModelCard> HttpApi::cards() const {
  if (remote() != nullptr) {
    return remote()->cards();
  }
  std::vector<ModelCard> cards;
  for (const auto& model : models_->all()) {
    cards.push_back(card_of(model->info()));
  }
  return cards;
}

HttpResponse HttpApi::list_models(const HttpHead& head) const {
  std::string body = R"({"object":"list","data":[)";
  const std::vector<ModelCard> all = cards();
  for (const ModelCard& card : all) {
    body += (&card == all.data() ? "" : ",") + model_json(card, head);
  }
  body += "]";
  if (wants_anthropic(head)) {  // all of them are one page
    body += R"(,"has_more":false,"first_id":)";
    body += to_string(all.empty() ? Json() : Json(all.front().id));
    body += R"(,"last_id":)" + to_string(all.empty() ? Json() : Json(all.back().id));
  }
  return json_response(body + "}");
}

HttpResponse HttpApi::show_model(const std::string& id, const HttpHead& head) const {
  const std::vector<ModelCard> all = cards();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ModelCard& card) { return card.id == id; });
  if (found != all.end()) {
    return json_response(model_json(*found, head));
  }
  std::vector<std::string> names;
  for (const ModelCard& card : all) {
    names.push_back(card.id);
  }
  return error_response(
      to_api_error(remote() == nullptr ? models_->find(id).status() : no_such_model(id, names)));
}

HttpResponse HttpApi::live() const {
  const Status status = models_->live();
  return status.ok() ? json_response(R"({"status":"ok"})") : error_response(to_api_error(status));
}

Status HttpApi::readiness() const {
  return draining_ ? shutting_down() : remote() != nullptr ? remote()->ready() : models_->ready();
}

HttpResponse HttpApi::version() const {
  return json_response(
      to_string(Json::object({{"version", config_.version}, {"build", config_.build}})));
}

HttpResponse HttpApi::ready() const {
  const Status status = readiness();
  if (status.ok()) {
    return json_response(R"({"status":"ready"})");
  }
  return error_response(to_api_error(Status(StatusCode::kUnavailable, status.message())));
}

PostReply HttpApi::post(const RouteMatch& match, std::string_view body, const ReplyInput& input) {
  const Route& route = *match.route;
  PostReply out;
  const auto refuse = [&](const Status& status) {
    out.reply = error_response(to_api_error(status), route.dialect, input.request_id);
  };
  if (std::chrono::steady_clock::now() >= input.begun + config_.limits.queue_timeout) {
    refuse(
        error(StatusCode::kUnavailable, "the request waited too long to be prepared; try again"));
    return out;
  }
  // The boundary where somebody else's exception becomes one failed request, not a dead server.
  try {
    auto reply = generate(route, body, input, out.warnings);
    if (reply.ok()) {
      out.reply = std::move(reply).value();
    } else {
      refuse(reply.status());
    }
    return out;
  } catch (const std::exception& e) {
    log_error("request {}: {}", input.request_id, e.what());
  } catch (...) {
    log_error("request {}: unknown exception", input.request_id);
  }
  out.reply = error_response(
      http_error(500,
                 fmt::format("internal error; the server's log has it under {}", input.request_id)),
      route.dialect,
      input.request_id);
  return out;
}

}  // namespace tutti
