#include "supervise/launch_spec.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/ascii.h"
#include "base/json_fields.h"
#include "base/nearest_word.h"
#include "supervise/yaml.h"

namespace tutti {

namespace {

constexpr size_t kLongestUid = 128;
constexpr int64_t kLongestIdle = 30LL * 24 * 3600;

// Fields of a model in a file that are flags of its engine, in this order.
constexpr std::array<const char*, 9> kFlagFields{"device",
                                                 "gpus",
                                                 "tp",
                                                 "context",
                                                 "kv-memory",
                                                 "compute",
                                                 "threads",
                                                 "max-batch-sequences",
                                                 "max-batch-tokens"};
constexpr std::array<const char*, 6> kOtherFields{
    "model", "name", "replicas", "load", "unload-after", "flags"};

Status unknown_field(const std::string& where, const std::string& key) {
  std::vector<std::string> known(kFlagFields.begin(), kFlagFields.end());
  known.insert(known.end(), kOtherFields.begin(), kOtherFields.end());
  const std::vector<std::string> near = nearest_words(key, known);
  return invalid("{}.{}: no such field{}",
                 where,
                 key,
                 near.empty() ? "" : fmt::format("; did you mean {}?", near.front()));
}

Result<std::string> flag_value(const std::string& where, const Json& value) {
  if (value.is_string()) {
    return value.as_string();
  }
  if (value.is_number()) {
    return to_string(value);
  }
  return invalid("{}: got {}, wanted a text or a number", where, value.type_name());
}

Status read_flags(const std::string& where, const JsonObject& object, LaunchSpec& spec) {
  for (const char* name : kFlagFields) {
    const Json* value = object.find(name);
    if (value == nullptr || value->is_null()) {
      continue;
    }
    TUTTI_TRY(std::string text, flag_value(where + "." + name, *value));
    spec.flags.push_back(flag_named(name));
    spec.flags.push_back(std::move(text));
  }
  const Json* flags = object.find("flags");
  if (flags == nullptr || flags->is_null()) {
    return ok_status();
  }
  if (!flags->is_array()) {
    return invalid("{}.flags: got {}, wanted a list", where, flags->type_name());
  }
  for (const Json& flag : flags->as_array()) {
    TUTTI_TRY(std::string text, flag_value(where + ".flags", flag));
    spec.flags.push_back(std::move(text));
  }
  return ok_status();
}

Result<LaunchSpec> read_model(const std::string& where, const JsonObject& object) {
  for (const JsonMember& member : object) {
    const auto is_it = [&](const char* name) { return member.key == name; };
    if (std::none_of(kFlagFields.begin(), kFlagFields.end(), is_it) &&
        std::none_of(kOtherFields.begin(), kOtherFields.end(), is_it)) {
      return unknown_field(where, member.key);
    }
  }
  FieldReader fields(object, where);
  LaunchSpec spec;
  spec.model = fields.required_string("model");
  spec.uid = fields.string_or("name", name_of_model(spec.model));
  spec.replicas = fields.int_or("replicas", 1, {.min = 1, .max = kMostReplicas});
  const std::string load = fields.string_or("load", "at-start");
  spec.unload_after_seconds = fields.int_or("unload-after", 0, {.min = 0, .max = kLongestIdle});
  if (load != "at-start" && load != "on-demand") {
    fields.fail("load", fmt::format("got \"{}\", wanted at-start or on-demand", load));
  }
  TUTTI_RETURN_IF_ERROR(fields.status());
  spec.on_demand = load == "on-demand";
  if (const Status status = check_uid(spec.uid); !status.ok()) {
    return invalid("{}.name: {}", where, status.message());
  }
  TUTTI_RETURN_IF_ERROR(read_flags(where, object, spec));
  return spec;
}

}  // namespace

std::string name_of_model(const std::string& model) {
  if (!model.starts_with('/') && !model.starts_with('.') && !model.starts_with('~')) {
    return model;
  }
  std::string path = model;
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path.substr(path.rfind('/') + 1);
}

Status check_uid(const std::string& uid) {
  constexpr std::string_view kSymbols = "-_./:@+";
  const bool good = std::all_of(uid.begin(), uid.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kSymbols.find(c) != std::string_view::npos;
  });
  if (uid.empty() || uid.size() > kLongestUid || !good || uid.front() == '/' ||
      uid.front() == '-') {
    return invalid(
        "model_uid: got \"{}\", wanted 1 to {} letters, digits, \"-\", \"_\", \".\", \"/\", \":\", "
        "\"@\" or \"+\", and neither \"/\" nor \"-\" first",
        uid.substr(0, kLongestUid),
        kLongestUid);
  }
  return ok_status();
}

Json to_json(const LaunchSpec& spec) {
  JsonArray flags;
  for (const std::string& flag : spec.flags) {
    flags.emplace_back(flag);
  }
  return Json::object({{"uid", spec.uid},
                       {"model", spec.model},
                       {"replicas", spec.replicas},
                       {"flags", std::move(flags)},
                       {"on_demand", spec.on_demand},
                       {"unload_after_seconds", spec.unload_after_seconds},
                       {"given", spec.given}});
}

Result<LaunchSpec> read_launch_spec(const JsonObject& object) {
  FieldReader fields(object, "launch");
  LaunchSpec spec;
  spec.uid = fields.required_string("uid");
  spec.model = fields.required_string("model");
  spec.replicas = fields.int_or("replicas", 1, {.min = 0, .max = kMostReplicas});
  spec.on_demand = fields.bool_or("on_demand", false);
  spec.unload_after_seconds =
      fields.int_or("unload_after_seconds", 0, {.min = 0, .max = kLongestIdle});
  const JsonArray* flags = fields.optional_array("flags");
  if (const JsonObject* given = fields.optional_object("given")) {
    spec.given = *given;
  }
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (flags != nullptr) {
    for (const Json& flag : *flags) {
      if (!flag.is_string()) {
        return invalid("launch.flags: got {}, wanted texts", flag.type_name());
      }
      spec.flags.push_back(flag.as_string());
    }
  }
  return spec;
}

Result<std::vector<LaunchSpec>> read_models_file(std::string_view text) {
  TUTTI_TRY(const Json file, parse_yaml(text));  // JSON is YAML
  if (!file.is_object() || file.as_object().size() != 1 || file.find("models") == nullptr) {
    return invalid("wanted a list of models under \"models:\" and nothing beside it");
  }
  const Json& list = *file.find("models");
  if (!list.is_array() && !list.is_null()) {
    return invalid("models: got {}, wanted a list", list.type_name());
  }
  std::vector<LaunchSpec> specs;
  std::set<std::string> names;
  const JsonArray none;
  for (const Json& model : list.is_null() ? none : list.as_array()) {
    const std::string where = fmt::format("models[{}]", specs.size());
    if (!model.is_object()) {
      return invalid("{}: got {}, wanted fields such as model: NAME", where, model.type_name());
    }
    TUTTI_TRY(LaunchSpec spec, read_model(where, model.as_object()));
    if (!names.insert(spec.uid).second) {
      return invalid("{}.name: \"{}\" is there twice; give one another name", where, spec.uid);
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace tutti
