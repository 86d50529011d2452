#include "supervise/xinference_api.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/json_fields.h"
#include "base/wall_clock.h"
#include "serve/http_head.h"
#include "serve/random_id.h"
#include "supervise/xinference_json.h"

namespace tutti {

namespace {

constexpr std::string_view kModels = "/v1/models";
constexpr std::string_view kOneModel = "/v1/models/";
constexpr std::string_view kRegistrations = "/v1/model_registrations/";
constexpr std::string_view kEngines = "/v1/engines/";
constexpr const char* kClusterInfo = "/v1/cluster/info";
constexpr const char* kDoesNotFit = "does_not_fit";
constexpr const char* kDevices = "/v1/cluster/devices";

/// A path that is there as it stands.
struct FixedRoute {
  const char* method;
  const char* path;
  bool open = false;  ///< without a key
};

constexpr auto kFixed = std::to_array<FixedRoute>({
    {"POST", "/v1/models"},
    {"GET", "/v1/models/instances"},
    {"GET", "/v1/models/prompts", true},
    {"GET", "/v1/models/families", true},
    {"GET", "/v1/models/vllm-supported", true},
    {"GET", "/status", true},
    {"GET", "/v1/address", true},
    {"GET", "/v1/cluster/auth", true},
    {"GET", kClusterInfo},
    {"GET", "/v1/cluster/version"},
    {"GET", kDevices},
    {"GET", "/v1/workers"},
    {"GET", "/v1/supervisor"},
});

/// What may stand behind the name of a model, which may have slashes itself.
struct ModelRoute {
  const char* method;
  const char* action;       ///< "/replicas"; "": the model itself
  bool takes_rest = false;  ///< one more part behind it
};

constexpr auto kOfModel = std::to_array<ModelRoute>({
    {"GET", "/replicas"},
    {"POST", "/replicas"},
    {"DELETE", "/replicas/", true},
    {"GET", "/progress"},
    {"POST", "/cancel"},
    {"GET", "/events"},
    {"GET", "/logs"},
    {"DELETE", ""},
});

struct ModelPath {
  const ModelRoute* route = nullptr;
  std::string uid;   ///< decoded
  std::string rest;  ///< decoded
};

// The routes whose action ends this path, for whatever method.
std::vector<ModelPath> model_paths(std::string_view path) {
  std::vector<ModelPath> out;
  if (!path.starts_with(kOneModel)) {
    return out;
  }
  path.remove_prefix(kOneModel.size());
  bool action_found = false;
  for (const ModelRoute& route : kOfModel) {
    const std::string_view action = route.action;
    size_t end = std::string_view::npos;
    std::string_view rest;
    if (action.empty()) {
      end = action_found ? std::string_view::npos : path.size();
    } else if (route.takes_rest) {
      end = path.rfind(action);
      rest = end == std::string_view::npos ? "" : path.substr(end + action.size());
      if (rest.empty() || rest.find('/') != std::string_view::npos) {
        continue;
      }
    } else if (path.ends_with(action)) {
      end = path.size() - action.size();
    }
    if (end == std::string_view::npos || end == 0) {
      continue;
    }
    const auto uid = percent_decode(path.substr(0, end));
    const auto decoded = percent_decode(rest);
    if (uid && decoded) {
      action_found = action_found || !action.empty();
      out.push_back({.route = &route, .uid = *uid, .rest = *decoded});
    }
  }
  return out;
}

// The value of a parameter of the query, decoded; "" if it is not there.
std::string parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = one.find('=');
    if (equals != std::string_view::npos && one.substr(0, equals) == name) {
      std::string value(one.substr(equals + 1));
      std::replace(value.begin(), value.end(), '+', ' ');
      return percent_decode(value).value_or("");
    }
  }
  return {};
}

bool is_false(const std::string& text) {
  return text == "false" || text == "False" || text == "0";
}

bool is_true(const std::string& text) {
  return text == "true" || text == "True" || text == "1";
}

HttpResponse json(const Json& value) {
  return json_response(to_string(value));
}

// What an engine says of a model that does not fit is its plan: what is short, and what would do.
HttpResponse with_plan(HttpResponse refused) {
  Result<Json> body = parse_json(refused.body);
  if (body.ok() && body->is_object()) {
    JsonObject& error = body->as_object().find("error")->as_object();
    error.append("plan", *error.find("message"));
    refused.body = to_string(*body);
  }
  return refused;
}

Status launch_error(const LaunchView& launch) {
  const Status& why = launch.error();
  return Status(why.code(), why.message()).with_param("model_name");
}

}  // namespace

/// An answer that is there at once.
class XinferenceApi::Done final : public PendingAnswer {
 public:
  explicit Done(HttpResponse response) : response_(std::move(response)) {}

  std::optional<HttpResponse> poll() override { return response_; }

 private:
  HttpResponse response_;
};

/// A launch until it is ready, has failed, or is terminated meanwhile.
class XinferenceApi::Waiting final : public PendingAnswer {
 public:
  Waiting(const XinferenceApi& api, std::string uid, Json answer, std::shared_ptr<Waker> waker)
      : api_(api), uid_(std::move(uid)), answer_(std::move(answer)), waker_(std::move(waker)) {}

  std::optional<HttpResponse> poll() override {
    api_.launches_.wake_at_change(waker_);  // first, so that no change is missed
    const std::optional<LaunchView> launch = api_.launches_.find(uid_);
    if (!launch) {
      return api_.error(http_error(499, fmt::format("the launch of \"{}\" was cancelled", uid_)));
    }
    if (launch->failed()) {
      const Status why = launch_error(*launch);
      api_.launches_.remove(uid_);
      ApiError error = to_api_error(why);
      if (why.code() == StatusCode::kOutOfMemory) {
        error.http_status = 400;
        error.type = "invalid_request_error";
        error.code = kDoesNotFit;
      } else if (error.http_status == 404) {
        error.http_status = 400;  // 404 is for what is not launched
      }
      return error.code == kDoesNotFit ? with_plan(api_.error(error)) : api_.error(error);
    }
    if (launch->ready() || !launch->loaded) {
      if (!launch->replicas.empty()) {
        answer_.as_object().find("tutti")->as_object().set("plan",
                                                           launch->replicas.front().description);
      }
      return json(answer_);
    }
    return std::nullopt;
  }

 private:
  const XinferenceApi& api_;
  const std::string uid_;
  Json answer_;
  const std::shared_ptr<Waker> waker_;
};

/// What needs the facts of the machine, which may still be looked at.
class XinferenceApi::AskingMachine final : public PendingAnswer {
 public:
  AskingMachine(const XinferenceApi& api, const ManagementCall& call) : api_(api), call_(call) {}

  std::optional<HttpResponse> poll() override {
    const std::optional<MachineFacts> machine = api_.config_.machine(call_.waker);
    if (!machine) {
      return std::nullopt;
    }
    return call_.path == kDevices ? json(Json(machine->gpus))
                                  : api_.cluster_info(*machine, call_.query);
  }

 private:
  const XinferenceApi& api_;
  const ManagementCall call_;
};

Management::Match XinferenceApi::match(std::string_view method, std::string_view path) const {
  Match match;
  const auto add = [&](std::string_view of, bool open) {
    match.path = true;
    match.allowed += (match.allowed.empty() ? "" : ", ") + std::string(of);
    if (of == method) {
      match.method = true;
      match.open = open;
    }
  };
  for (const FixedRoute& route : kFixed) {
    if (path == route.path) {
      add(route.method, route.open);
    }
  }
  if (match.path) {
    return match;
  }
  for (const ModelPath& found : model_paths(path)) {
    add(found.route->method, false);
  }
  for (const std::string_view prefix : {kRegistrations, kEngines}) {
    if (path.starts_with(prefix) && path.size() > prefix.size()) {
      add("GET", false);
    }
  }
  return match;
}

HttpResponse XinferenceApi::error(const ApiError& error) const {
  HttpResponse response = error_response(error);
  const Result<Json> body = parse_json(response.body);
  if (body.ok() && body->is_object()) {
    Json both = Json::object({{"detail", error.message}});
    both.as_object().append("error", *body->find("error"));
    response.body = to_string(both);
  }
  return response;
}

std::unique_ptr<PendingAnswer> XinferenceApi::launch(const ManagementCall& call) {
  const auto refuse = [&](const Status& status) {
    ApiError refused = to_api_error(status);
    if (status.param() == "model_uid" && status.message().find("in use") != std::string::npos) {
      refused.http_status = 409;
      refused.code = "model_uid_in_use";
    }
    return std::make_unique<Done>(error(refused));
  };
  const Result<Json> body = parse_json(call.body, {.max_depth = 32});
  if (!body.ok() || !body->is_object()) {
    return refuse(body.ok() ? invalid("wanted a JSON object") : body.status());
  }
  std::vector<std::string> warnings;
  Result<LaunchSpec> spec = read_xinference_launch(body->as_object(), warnings);
  if (!spec.ok()) {
    return refuse(spec.status());
  }
  if (spec->uid.empty()) {
    // As Xinference does: the model's name, or with eight random letters if that is taken.
    const Json* typed = spec->given.find("model_name");
    const std::string& model = typed != nullptr && typed->is_string() && !typed->as_string().empty()
                                   ? typed->as_string()
                                   : spec->model;
    const std::string name = name_of_model(model);
    spec->uid = launches_.find(name) ? fmt::format("{}-{:08x}", name, random_u64() >> 32) : name;
  }
  const std::string uid = spec->uid;
  if (Status named = check_uid(uid); !named.ok()) {
    return refuse(std::move(named).with_param("model_uid"));
  }
  if (const Status added = launches_.add(std::move(spec).value(), true); !added.ok()) {
    return refuse(added);
  }
  JsonArray told;
  for (const std::string& warning : warnings) {
    told.emplace_back(warning);
  }
  Json answer =
      Json::object({{"model_uid", uid}, {"tutti", Json::object({{"warnings", std::move(told)}})}});
  if (is_false(parameter(call.query, "wait_ready"))) {
    return std::make_unique<Done>(json(answer));
  }
  return std::make_unique<Waiting>(*this, uid, std::move(answer), call.waker);
}

HttpResponse XinferenceApi::cluster_info(const MachineFacts& machine,
                                         std::string_view query) const {
  JsonArray nodes;
  for (const char* type : {"Supervisor", "Worker"}) {
    Json node = Json::object({{"node_type", type},
                              {"ip_address", config_.address},
                              {"gpu_count", machine.gpus},
                              {"gpu_vram_total", machine.gpu_bytes}});
    if (is_true(parameter(query, "detailed"))) {
      JsonObject& members = node.as_object();
      members.append("gpu_vram_available", nullptr);
      members.append("gpu_utilization", nullptr);
      members.append("cpu_available", nullptr);
      members.append("cpu_count", machine.cpus);
      members.append("mem_used", machine.memory_bytes - machine.memory_available_bytes);
      members.append("mem_available", machine.memory_available_bytes);
      members.append("mem_total", machine.memory_bytes);
    }
    nodes.push_back(std::move(node));
  }
  return json(Json(std::move(nodes)));
}

HttpResponse XinferenceApi::instances(std::string_view query) const {
  const std::string name = parameter(query, "model_name");
  const std::string uid = parameter(query, "model_uid");
  JsonArray list;
  for (const LaunchView& launch : launches_.all()) {
    if ((name.empty() || name == launch.spec.model) && (uid.empty() || uid == launch.spec.uid)) {
      list.push_back(instance_json(launch));
    }
  }
  return json(Json(std::move(list)));
}

// What is launched is what is known: models are directories, which nobody has to register.
HttpResponse XinferenceApi::registrations(const std::string& rest) const {
  const size_t slash = rest.find('/');
  const std::string type = rest.substr(0, slash);
  const std::string name = slash == std::string::npos ? "" : rest.substr(slash + 1);
  JsonArray list;
  for (const LaunchView& launch : launches_.all()) {
    if (type == "LLM" && (name.empty() || name == launch.spec.model)) {
      list.push_back(Json::object({{"model_name", launch.spec.model}, {"is_builtin", false}}));
    }
  }
  if (!name.empty()) {
    return list.empty()
               ? error(to_api_error(::tutti::error(
                     StatusCode::kNotFound, "no model \"{}\" is known here", name.substr(0, 128))))
               : json(list.front());
  }
  return json(Json(std::move(list)));
}

HttpResponse XinferenceApi::of_model(const std::string& method,
                                     const std::string& uid,
                                     const std::string& action,
                                     const std::string& rest) {
  const std::optional<LaunchView> launch = launches_.find(uid);
  if (action == "/events") {
    const auto events = launches_.events(uid);
    if (!events.ok()) {
      return error(to_api_error(events.status()));
    }
    if (launch || !events->empty()) {
      JsonArray list;
      for (const LaunchEvent& event : *events) {
        list.push_back(Json::object({{"event_type", event.kind},
                                     {"event_ts", event.time_unix},
                                     {"event_content", event.text}}));
      }
      return json(Json(std::move(list)));
    }
  }
  if (!launch) {
    return error(to_api_error(::tutti::error(
        StatusCode::kNotFound, "Model not found in the model list, uid: {}", uid.substr(0, 128))));
  }
  if (action == "/cancel" && launch->any_ready()) {
    return error(to_api_error(
        invalid("\"{}\" is launched; terminate it instead", uid).with_param("model_uid")));
  }
  if (action.empty() || action == "/cancel") {
    launches_.remove(uid);
    return json_response("null");
  }
  if (action == "/progress") {
    JsonArray replicas;
    for (const ReplicaView& replica : launch->replicas) {
      replicas.push_back(replica_json(*launch, replica, config_.address));
    }
    return json(Json::object({{"progress", progress_of(*launch)},
                              {"stage",
                               launch->ready()            ? "launching"
                               : launch->replicas.empty() ? "pending"
                                                          : "loading"},
                              {"download_files", Json::array()},
                              {"replicas", std::move(replicas)}}));
  }
  if (action == "/logs") {
    JsonArray list;
    for (const ReplicaView& replica : launch->replicas) {
      JsonArray lines;
      for (const std::string& line : launches_.log(replica.id)) {
        lines.emplace_back(line);
      }
      list.push_back(Json::object(
          {{"replica_id", static_cast<int64_t>(replica.id)}, {"lines", std::move(lines)}}));
    }
    return json(Json(std::move(list)));
  }
  if (action == "/replicas" && method == "GET") {
    JsonArray list;
    for (const ReplicaView& replica : launch->replicas) {
      list.push_back(replica_json(*launch, replica, config_.address));
    }
    return json(Json(std::move(list)));
  }
  if (action == "/replicas" && method == "POST") {
    const auto id = launches_.add_replica(uid);
    return id.ok() ? json(Json::object({{"model_uid", uid},
                                        {"replica_id", static_cast<int64_t>(*id)},
                                        {"replica", launch->spec.replicas + 1}}))
                   : error(to_api_error(id.status()));
  }
  uint64_t id = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), id);
  if (parsed.ec != std::errc() || parsed.ptr != rest.data() + rest.size()) {
    return error(to_api_error(invalid("replica_id: got \"{}\", wanted a number", rest.substr(0, 40))
                                  .with_param("replica_id")));
  }
  const auto left = launches_.remove_replica(uid, id);
  return left.ok() ? json(Json::object({{"remaining_replicas", *left}}))
                   : error(to_api_error(left.status()));
}

HttpResponse XinferenceApi::answer(const ManagementCall& call) {
  const std::string& path = call.path;
  if (path == "/status") {
    const double uptime =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    return json(Json::object({{"uptime", static_cast<int64_t>(uptime)},
                              {"workers", Json::object({{config_.address, Json::object()}})}}));
  }
  if (path == "/v1/address") {
    return json(Json(config_.address));
  }
  if (path == "/v1/cluster/auth") {
    return json(Json::object({{"auth", config_.needs_key()}}));
  }
  if (path == "/v1/cluster/version") {
    return json(Json::object({{"version", config_.version}, {"full-revisionid", config_.build}}));
  }
  if (path == "/v1/workers") {
    Json models = Json::object();
    for (const LaunchView& launch : launches_.all()) {
      models.as_object().append(launch.spec.uid, instance_json(launch));
    }
    return json(
        Json::array({Json::object({{"work-ip", config_.address}, {"models", std::move(models)}})}));
  }
  if (path == "/v1/supervisor") {
    return json(Json::object({{"supervisor_ip", config_.address}}));
  }
  if (path == "/v1/models/instances") {
    return instances(call.query);
  }
  if (path == "/v1/models/prompts" || path == "/v1/models/families" ||
      path == "/v1/models/vllm-supported") {
    return json(Json::object());  // templates come with models, and no list of names limits them
  }
  if (path.starts_with(kRegistrations)) {
    return registrations(percent_decode(path.substr(kRegistrations.size())).value_or(""));
  }
  if (path.starts_with(kEngines)) {
    return json(Json::object({{"tutti", Json::array()}}));
  }
  for (const ModelPath& found : model_paths(path)) {
    if (call.method == found.route->method) {
      std::string action = found.route->action;
      if (found.route->takes_rest) {
        action.pop_back();
      }
      return of_model(call.method, found.uid, action, found.rest);
    }
  }
  return error(http_error(404, "no such route"));
}

std::unique_ptr<PendingAnswer> XinferenceApi::call(const ManagementCall& call) {
  if (call.method == "POST" && call.path == kModels) {
    return launch(call);
  }
  if (call.path == kClusterInfo || call.path == kDevices) {
    return std::make_unique<AskingMachine>(*this, call);
  }
  return std::make_unique<Done>(answer(call));
}

}  // namespace tutti
