#include "supervise/xinference_json.h"

#include <algorithm>

namespace tutti {

namespace {

// The words of Xinference for what a replica or a launch is.
const char* status_word(ReplicaState state) {
  switch (state) {
    case ReplicaState::kPending:
    case ReplicaState::kPlanning:
      return "CREATING";
    case ReplicaState::kLoading:
    case ReplicaState::kWarming:
      return "LOADING";
    case ReplicaState::kReady:
      return "READY";
    case ReplicaState::kDraining:
      return "TERMINATING";
    case ReplicaState::kFailed:
      return "ERROR";
    case ReplicaState::kGone:
      break;
  }
  return "TERMINATED";
}

const char* launch_word(const LaunchView& launch) {
  if (launch.failed()) {
    return "ERROR";
  }
  if (launch.ready() || !launch.loaded) {
    return "READY";  // also one that its next request loads
  }
  return launch.replicas.empty() ? "CREATING" : status_word(launch.replicas.front().state);
}

// Xinference has its own places for these words; what the client gave is what it gets back.
Json given(const LaunchView& launch, const char* field) {
  const Json* value = launch.spec.given.find(field);
  return value == nullptr ? Json() : *value;
}

}  // namespace

double progress_of(const LaunchView& launch) {
  double least = launch.loaded && launch.replicas.empty() ? 0.0 : 1.0;
  for (const ReplicaView& replica : launch.replicas) {
    double share = 0.0;
    if (replica.state == ReplicaState::kReady) {
      share = 1.0;
    } else if (replica.state == ReplicaState::kWarming) {
      share = 0.9;
    } else if (replica.state == ReplicaState::kLoading && replica.total_bytes > 0) {
      share = 0.1 + 0.8 * static_cast<double>(replica.done_bytes) /
                        static_cast<double>(replica.total_bytes);
    }
    least = std::min(least, share);
  }
  return least;
}

Json replica_json(const LaunchView& launch,
                  const ReplicaView& replica,
                  const std::string& address) {
  return Json::object(
      {{"replica_id", static_cast<int64_t>(replica.id)},
       {"replica_model_uid", fmt::format("{}-{}", launch.spec.uid, replica.id)},
       {"replica_uid", fmt::format("{}-{}", launch.spec.uid, replica.id)},
       {"worker_address", address},
       {"model_address", address},
       {"accelerators", Json::array()},
       {"gpu_idx", nullptr},
       {"status", status_word(replica.state)},
       {"created_ts", launch.created_unix},
       {"error_message", replica.last_error.ok() ? Json() : Json(replica.last_error.message())},
       {"tutti",
        Json::object({{"state", state_name(replica.state)},
                      {"pid", static_cast<int64_t>(replica.pid)},
                      {"done_bytes", replica.done_bytes},
                      {"total_bytes", replica.total_bytes},
                      {"crashes", replica.crashes},
                      {"description", replica.description}})}});
}

Json instance_json(const LaunchView& launch) {
  JsonArray states;
  for (const ReplicaView& replica : launch.replicas) {
    states.push_back(
        Json::object({{"replica_id", static_cast<int64_t>(replica.id)},
                      {"status", status_word(replica.state)},
                      {"error_message",
                       replica.last_error.ok() ? Json() : Json(replica.last_error.message())}}));
  }
  return Json::object({{"model_name", launch.spec.model},
                       {"model_uid", launch.spec.uid},
                       {"model_version", nullptr},
                       {"model_ability", Json::array({"generate", "chat"})},
                       {"replica", launch.spec.replicas},
                       {"status", launch_word(launch)},
                       {"instance_created_ts", launch.created_unix},
                       {"n_worker", 1},
                       {"replica_statuses", std::move(states)}});
}

std::string xinference_members(const LaunchView& launch) {
  const Json members =
      Json::object({{"model_type", "LLM"},
                    {"address", Json()},
                    {"accelerators", Json::array()},
                    {"model_name", launch.spec.model},
                    {"model_lang", Json::array({"en", "zh"})},
                    {"model_ability", Json::array({"generate", "chat"})},
                    {"model_description", ""},
                    {"model_format", given(launch, "model_format")},
                    {"model_size_in_billions", given(launch, "model_size_in_billions")},
                    {"model_family", launch.spec.model},
                    {"quantization", given(launch, "quantization")},
                    {"model_hub", nullptr},
                    {"revision", nullptr},
                    {"model_engine", "tutti"},
                    {"replica", launch.spec.replicas}});
  std::string text = to_string(members);
  text.front() = ',';
  text.pop_back();
  return text;
}

}  // namespace tutti
