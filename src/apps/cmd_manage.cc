// tutti launch, list, ps, logs, terminate: a running server is asked over HTTP.
#include <algorithm>
#include <cstdio>
#include <sstream>
#include <thread>

#include "apps/common.h"
#include "apps/managed_server.h"
#include "base/json.h"

namespace tutti {

namespace {

constexpr std::chrono::milliseconds kPoll{300};

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
    std::istringstream numbers(options.gpu_idx);  // its flag was checked
    for (std::string one; std::getline(numbers, one, ',');) {
      list.emplace_back(int64_t{std::atoi(one.c_str())});
    }
    fields.append("gpu_idx", std::move(list));
  }
  return body;
}

// Until it is ready or has failed; what is new is printed.
Status follow_launch(const ManagedServer& server, const std::string& uid) {
  std::string told;
  while (true) {
    TUTTI_TRY(const Json replicas, server.ask("GET", "/v1/models/" + path_part(uid) + "/replicas"));
    bool all_ready = replicas.is_array() && !replicas.as_array().empty();
    std::string now;
    for (const Json& replica : replicas.is_array() ? replicas.as_array() : JsonArray()) {
      const Json* more = replica.find("tutti");
      const std::string state =
          more == nullptr ? text_of(replica, "status") : text_of(*more, "state");
      if (state == "failed") {
        return error(StatusCode::kUnavailable, "{}: {}", uid, text_of(replica, "error_message"));
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
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options.server));
  const Json body = launch_body(options);
  TUTTI_TRY(const Json answer, server.ask("POST", "/v1/models?wait_ready=false", &body));
  const Json* ours = answer.find("tutti");
  const Json* warnings = ours == nullptr ? nullptr : ours->find("warnings");
  if (warnings != nullptr && warnings->is_array()) {
    for (const Json& warning : warnings->as_array()) {
      std::fprintf(stderr, "note: %s\n", warning.is_string() ? warning.as_string().c_str() : "");
    }
  }
  const std::string uid = text_of(answer, "model_uid");
  if (!options.no_wait) {
    if (const Status status = follow_launch(server, uid); !status.ok()) {
      (void)server.ask("DELETE",
                       "/v1/models/" + path_part(uid));  // the name is free for another try
      return status;
    }
  }
  std::printf("Model uid: %s\n", uid.c_str());
  return ok_status();
}

Status list(const ManageOptions& options) {
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options));
  TUTTI_TRY(const Json instances, server.ask("GET", "/v1/models/instances"));
  if (options.json) {
    std::printf("%s\n", to_string(instances).c_str());
    return ok_status();
  }
  std::vector<std::vector<std::string>> rows{{"UID", "MODEL", "STATUS", "REPLICAS"}};
  for (const Json& one : instances.is_array() ? instances.as_array() : JsonArray()) {
    rows.push_back({text_of(one, "model_uid"),
                    text_of(one, "model_name"),
                    text_of(one, "status"),
                    text_of(one, "replica")});
  }
  print_table(rows);
  return ok_status();
}

Status ps(const ManageOptions& options) {
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options));
  TUTTI_TRY(const Json instances, server.ask("GET", "/v1/models/instances"));
  JsonArray all;
  std::vector<std::vector<std::string>> rows{
      {"UID", "REPLICA", "STATE", "PROCESS", "CRASHES", "LAST ERROR"}};
  for (const Json& one : instances.is_array() ? instances.as_array() : JsonArray()) {
    const std::string uid = text_of(one, "model_uid");
    TUTTI_TRY(const Json replicas, server.ask("GET", "/v1/models/" + path_part(uid) + "/replicas"));
    for (const Json& replica : replicas.is_array() ? replicas.as_array() : JsonArray()) {
      const Json none = Json::object();
      const Json* more = replica.find("tutti");
      const Json& ours = more == nullptr ? none : *more;
      rows.push_back({uid,
                      text_of(replica, "replica_id"),
                      text_of(ours, "state"),
                      text_of(ours, "pid"),
                      text_of(ours, "crashes"),
                      text_of(replica, "error_message")});
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
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options));
  TUTTI_TRY(const Json done, server.ask("DELETE", "/v1/models/" + path_part(options.uid)));
  std::printf("terminated %s\n", options.uid.c_str());
  return ok_status();
}

Status logs(const ManageOptions& options) {
  TUTTI_TRY(const ManagedServer server, ManagedServer::find(options));
  TUTTI_TRY(const Json replicas,
            server.ask("GET", "/v1/models/" + path_part(options.uid) + "/logs"));
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
