// What somebody wants served: a model under a name, on how many replicas, with which flags.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tutti {

struct LaunchSpec {
  std::string uid;    ///< the model's name in the API
  std::string model;  ///< a directory or a name, as of `tutti serve MODEL`
  int64_t replicas = 1;
  std::vector<std::string> flags;    ///< of the engine, "--context", "4096"
  bool on_demand = false;            ///< the first request loads it
  int64_t unload_after_seconds = 0;  ///< without requests; 0: it stays. The next request loads it
  JsonObject given;                  ///< the request as it came, for descriptions

  /// Whether requests may load it.
  bool loads_itself() const { return on_demand || unload_after_seconds > 0; }
};

/// Letters, digits, "-", "_", ".", "/", ":", "@" and "+", at most 128: what stands in paths and
/// logs.
Status check_uid(const std::string& uid);

/// What a model is called if nobody says: "org/name" as it is, of a path the last part.
std::string name_of_model(const std::string& model);

inline constexpr int64_t kMostReplicas = 64;

/// As engines take it.
inline std::string flag_named(std::string_view name) {
  return "--" + std::string(name);
}

Json to_json(const LaunchSpec& spec);

/// Of to_json()'s form.
Result<LaunchSpec> read_launch_spec(const JsonObject& object);

/// A file of models (docs/serving.md), in YAML or JSON: {"models": [{"model", "name", "replicas",
/// "gpus", "context", "kv-memory", "device", "tp", "load", "unload-after", "flags"}]}. Errors name
/// the field's path.
Result<std::vector<LaunchSpec>> read_models_file(std::string_view text);

}  // namespace tutti
