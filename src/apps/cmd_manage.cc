// tutti launch, list, ps, logs, terminate: a running server is asked over HTTP.
#include <algorithm>
#include <cstdio>
#include <thread>

#include "apps/common.h"
#include "base/json.h"
#include "http/client.h"

namespace tutti {

namespace {

constexpr const char* kDefaultEndpoint = "http://127.0.0.1:9997";
constexpr std::chrono::milliseconds kPoll{300};

/// A server that is managed.
class Server {
 public:
  static Result<Server> find(const ManageOptions& options) {
    const Environment environment = read_environment();
    const std::string url = !options.endpoint.empty()       ? options.endpoint
                            : !environment.endpoint.empty() ? environment.endpoint
                                                            : kDefaultEndpoint;
    Result<http::Url> parsed = http::Url::parse(url);
    if (!parsed.ok()) {
      return error(parsed.status().code(),
                   "--endpoint {}, for example: tutti list --endpoint http://127.0.0.1:9997",
                   parsed.status().message());
    }
    TUTTI_TRY(http::Endpoint endpoint, http::find_endpoint(*parsed));
    return Server(std::move(parsed).value(),
                  std::move(endpoint),
                  options.api_key.empty() ? environment.api_key : options.api_key);
  }

  /// The answer's body, of whatever kind. Errors are the server's own words.
  Result<Json> ask(const std::string& method,
                   const std::string& path,
                   const Json* body = nullptr) const {
    const std::string text = body == nullptr ? "" : to_string(*body);
    std::string request = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
                                      method,
                                      url_.path,
                                      path,
                                      url_.authority);
    if (!key_.empty()) {
      request += fmt::format("Authorization: Bearer {}\r\n", key_);
    }
    if (body != nullptr) {
      request +=
          fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", text.size());
    }
    request += "\r\n" + text;
    auto answer = http::fetch(endpoint_, std::move(request));
    if (const auto* failure = std::get_if<http::Failure>(&answer)) {
      return error(
          StatusCode::kUnavailable,
          "no answer from {} ({}); is a server running there? Start one with tutti serve "
          "--empty, or name another with --endpoint",
          url_.authority,
          failure->kind == http::Failure::Kind::kTimeout ? "it takes too long" : failure->message);
    }
    const auto& fetched = std::get<http::Fetched>(answer);
    Result<Json> json = parse_json(fetched.body);
    if (fetched.status == 200 && json.ok()) {
      return json;
    }
    return refusal(fetched.status, json);
  }

 private:
  Server(http::Url url, http::Endpoint endpoint, std::string key)
      : url_(std::move(url)), endpoint_(std::move(endpoint)), key_(std::move(key)) {}

  Status refusal(int status, const Result<Json>& json) const {
    const Json* inner = json.ok() ? json->find("error") : nullptr;
    const Json* message = inner == nullptr ? nullptr : inner->find("message");
    const StatusCode code = status == 404   ? StatusCode::kNotFound
                            : status == 401 ? StatusCode::kUnauthenticated
                            : status == 403 ? StatusCode::kForbidden
                            : status >= 500 ? StatusCode::kUnavailable
                                            : StatusCode::kInvalidArgument;
    return error(code,
                 "{} says: {}",
                 url_.authority,
                 message != nullptr && message->is_string() ? message->as_string()
                                                            : fmt::format("HTTP {}", status));
  }

  http::Url url_;
  http::Endpoint endpoint_;
  std::string key_;
};

// A name as a part of a path.
std::string encoded(const std::string& uid) {
  std::string out;
  for (const char c : uid) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("-_.~").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c)
                 : fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

std::string text(const Json& object, const char* field) {
  const Json* value = object.find(field);
  return value == nullptr || value->is_null() ? "-"
         : value->is_string()                 ? value->as_string()
                                              : to_string(*value);
}

/// Rows under a head, columns as wide as they must be.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("{:<{}}", row[i], i + 1 == row.size() ? 0 : widths[i] + 2);
    }
    std::printf("%s\n", line.c_str());
  }
}

Json launch_body(const LaunchOptions& options) {
  Json body = Json::object();
  JsonObject& fields = body.as_object();
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) {
      fields.append(name, value);
    }
  };
  add("model_name", options.model);
  add("model_path", options.model_path);
  add("model_uid", options.uid);
  add("model_engine", options.engine);
  add("model_type", options.type);
  add("model_format", options.format);
  add("model_size_in_billions", options.size);
  add("quantization", options.quantization);
  add("device", options.device);
  add("kv_memory", options.kv_memory);
  fields.append("replica", options.replicas);
  if (options.context > 0) {
    fields.append("max_model_len", options.context);
  }
  if (options.tp > 0) {
    fields.append("tensor_parallel_size", int64_t{options.tp});
  }
  if (options.unload_after > 0) {
    fields.append("unload_after", options.unload_after);
  }
  if (options.n_gpu == "none") {
    fields.append("n_gpu", nullptr);
  } else if (!options.n_gpu.empty() && options.n_gpu != "auto") {
    fields.append("n_gpu", int64_t{std::atoi(options.n_gpu.c_str())});  // its flag was checked
  }
  if (!options.gpu_idx.empty()) {
    JsonArray list;
    for (const int index : options.gpu_idx) {
      list.emplace_back(int64_t{index});
    }
    fields.append("gpu_idx", std::move(list));
  }
  return body;
}

// Until it is ready or has failed; what is new is printed.
Status follow_launch(const Server& server, const std::string& uid) {
  std::string told;
  while (true) {
    TUTTI_TRY(const Json replicas, server.ask("GET", "/v1/models/" + encoded(uid) + "/replicas"));
    bool all_ready = replicas.is_array() && !replicas.as_array().empty();
    std::string now;
    for (const Json& replica : replicas.is_array() ? replicas.as_array() : JsonArray()) {
      const Json* more = replica.find("tutti");
      const std::string state = more == nullptr ? text(replica, "status") : text(*more, "state");
      if (state == "failed") {
        return error(StatusCode::kUnavailable, "{}: {}", uid, text(replica, "error_message"));
      }
      all_ready = all_ready && state == "ready";
      now += (now.empty() ? "" : ", ") + state;
    }
    if (now != told && !now.empty()) {
      std::fprintf(stderr, "%s: %s\n", uid.c_str(), now.c_str());
      told = now;
    }
    if (all_ready) {
      return ok_status();
    }
    std::this_thread::sleep_for(kPoll);
  }
}

Status launch(const LaunchOptions& options) {
  if (options.model.empty() && options.model_path.empty()) {
    return invalid("launch: wanted a model: its directory, or its name; tutti models lists names");
  }
  TUTTI_TRY(const Server server, Server::find(options.server));
  const Json body = launch_body(options);
  TUTTI_TRY(const Json answer, server.ask("POST", "/v1/models?wait_ready=false", &body));
  const Json* ours = answer.find("tutti");
  const Json* warnings = ours == nullptr ? nullptr : ours->find("warnings");
  if (warnings != nullptr && warnings->is_array()) {
    for (const Json& warning : warnings->as_array()) {
      std::fprintf(stderr, "note: %s\n", warning.is_string() ? warning.as_string().c_str() : "");
    }
  }
  const std::string uid = text(answer, "model_uid");
  if (!options.no_wait) {
    if (const Status status = follow_launch(server, uid); !status.ok()) {
      (void)server.ask("DELETE", "/v1/models/" + encoded(uid));  // the name is free for another try
      return status;
    }
  }
  std::printf("Model uid: %s\n", uid.c_str());
  return ok_status();
}

Status list(const ManageOptions& options) {
  TUTTI_TRY(const Server server, Server::find(options));
  TUTTI_TRY(const Json instances, server.ask("GET", "/v1/models/instances"));
  if (options.json) {
    std::printf("%s\n", to_string(instances).c_str());
    return ok_status();
  }
  std::vector<std::vector<std::string>> rows{{"UID", "MODEL", "STATUS", "REPLICAS"}};
  for (const Json& one : instances.is_array() ? instances.as_array() : JsonArray()) {
    rows.push_back({text(one, "model_uid"),
                    text(one, "model_name"),
                    text(one, "status"),
                    text(one, "replica")});
  }
  print_table(rows);
  return ok_status();
}

Status ps(const ManageOptions& options) {
  TUTTI_TRY(const Server server, Server::find(options));
  TUTTI_TRY(const Json instances, server.ask("GET", "/v1/models/instances"));
  JsonArray all;
  std::vector<std::vector<std::string>> rows{
      {"UID", "REPLICA", "STATE", "PROCESS", "CRASHES", "LAST ERROR"}};
  for (const Json& one : instances.is_array() ? instances.as_array() : JsonArray()) {
    const std::string uid = text(one, "model_uid");
    TUTTI_TRY(const Json replicas, server.ask("GET", "/v1/models/" + encoded(uid) + "/replicas"));
    for (const Json& replica : replicas.is_array() ? replicas.as_array() : JsonArray()) {
      const Json none = Json::object();
      const Json* more = replica.find("tutti");
      const Json& ours = more == nullptr ? none : *more;
      rows.push_back({uid,
                      text(replica, "replica_id"),
                      text(ours, "state"),
                      text(ours, "pid"),
                      text(ours, "crashes"),
                      text(replica, "error_message")});
      all.push_back(replica);
    }
  }
  if (options.json) {
    std::printf("%s\n", to_string(Json(std::move(all))).c_str());
  } else {
    print_table(rows);
  }
  return ok_status();
}

Status terminate(const ManageOptions& options) {
  TUTTI_TRY(const Server server, Server::find(options));
  TUTTI_TRY(const Json done, server.ask("DELETE", "/v1/models/" + encoded(options.uid)));
  std::printf("terminated %s\n", options.uid.c_str());
  return ok_status();
}

Status logs(const ManageOptions& options) {
  TUTTI_TRY(const Server server, Server::find(options));
  TUTTI_TRY(const Json replicas, server.ask("GET", "/v1/models/" + encoded(options.uid) + "/logs"));
  for (const Json& replica : replicas.is_array() ? replicas.as_array() : JsonArray()) {
    const Json* lines = replica.find("lines");
    for (const Json& line :
         lines != nullptr && lines->is_array() ? lines->as_array() : JsonArray()) {
      std::printf("%s\n", line.is_string() ? line.as_string().c_str() : "");
    }
  }
  return ok_status();
}

int finish(const Status& status) {
  return status.ok() ? 0 : fail(status);
}

}  // namespace

int launch_command(const LaunchOptions& options) {
  return finish(launch(options));
}

int manage_command(const ManageOptions& options) {
  const bool of_one =
      options.action == ManageAction::kLogs || options.action == ManageAction::kTerminate;
  if (of_one && options.uid.empty()) {
    return fail(invalid("wanted the name of a model, as tutti list shows it under UID"));
  }
  switch (options.action) {
    case ManageAction::kList:
      return finish(list(options));
    case ManageAction::kPs:
      return finish(ps(options));
    case ManageAction::kLogs:
      return finish(logs(options));
    case ManageAction::kTerminate:
      return finish(terminate(options));
  }
  return 0;
}

}  // namespace tutti
