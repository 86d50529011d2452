// POST /v1/models of Xinference: which fields mean what here.
#include <algorithm>
#include <array>

#include "base/json_fields.h"
#include "serve/random_id.h"
#include "supervise/xinference_api.h"

namespace tutti {

namespace {

struct Field {
  const char* name;
  const char* why;  ///< why it has no effect here, or is refused
};

// What changes nothing here. null, as clients send what was not given, is never worth a word.
constexpr auto kWithoutEffect = std::to_array<Field>({
    {"model_engine", "there is one engine"},
    {"model_type", "models that generate text are served"},
    {"model_size_in_billions", "the files of the model say it"},
    {"model_format", "the files of the model say it"},
    {"quantization", "the files of the model say it"},
    {"model_ability", "the files of the model say it"},
    {"model_version", "the files of the model say it"},
    {"download_hub", "nothing is downloaded"},
    {"worker_ip", "there is one machine"},
    {"enable_thinking", "a request says it: chat_template_kwargs"},
    {"reasoning_content", "reasoning is always sent apart"},
    {"enable_virtual_env", "nothing is installed"},
    {"virtual_env_packages", "nothing is installed"},
    {"virtual_env_find_link", "nothing is installed"},
    {"virtual_env_find_links", "nothing is installed"},
    {"trust_remote_code", "no code of a model is ever run"},
    {"gpu_memory_utilization", "memory is planned; kv_memory bounds the KV cache"},
    {"request_limits", "requests queue, and are told to come back when the queue is full"},
    {"multimodal_projector", "models of text are served"},
});

// What would change the answers, or what the launch is, and is not done.
constexpr auto kRefused = std::to_array<Field>({
    {"peft_model_config", "adapters are not supported; merge them into the model first"},
    {"replica_config", "replicas are placed by free memory; use n_gpu or gpu_idx"},
    {"envs", "engines have the environment of the server; set it there"},
    {"pipeline_parallel_size", "a model is split with n_gpu or tensor_parallel_size"},
    {"enable_mtp", "speculative decoding is not supported"},
    {"enable_xavier", "it is not supported"},
});

// Numbers that are flags of the engine.
struct Flag {
  const char* field;
  const char* flag;
};

constexpr auto kFlags = std::to_array<Flag>({
    {"max_model_len", "context"},
    {"context_length", "context"},
    {"n_ctx", "context"},
    {"tensor_parallel_size", "tp"},
    {"max_num_seqs", "max-batch-sequences"},
    {"max_num_batched_tokens", "max-batch-tokens"},
    {"kv_memory", "kv-memory"},
});

// Read by themselves.
constexpr std::array<const char*, 9> kOwn{"model_name",
                                          "model_path",
                                          "model_uid",
                                          "replica",
                                          "n_gpu",
                                          "gpu_idx",
                                          "n_worker",
                                          "device",
                                          "unload_after"};

template <class List>
const auto* find_field(const List& list, std::string_view name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& f) { return name == f.name; });
  return found == list.end() ? nullptr : &*found;
}

// Null, and what clients send to say nothing: false, [], {}, "none".
bool says_nothing(const Json& value) {
  return value.is_null() || (value.is_bool() && !value.as_bool()) ||
         (value.is_array() && value.as_array().empty()) ||
         (value.is_object() && value.as_object().empty()) ||
         (value.is_string() && (value.as_string().empty() || value.as_string() == "none"));
}

Status check_fields_known(const JsonObject& body, std::vector<std::string>& warnings) {
  for (const JsonMember& member : body) {
    const std::string& name = member.key;
    if (std::find(kOwn.begin(), kOwn.end(), name) != kOwn.end() ||
        std::any_of(kFlags.begin(), kFlags.end(), [&](const Flag& f) { return name == f.field; }) ||
        says_nothing(member.value)) {
      continue;
    }
    if (const Field* field = find_field(kWithoutEffect, name)) {
      warnings.push_back(fmt::format("{} has no effect: {}", name, field->why));
    } else if (const Field* refused = find_field(kRefused, name)) {
      return invalid("{}: {}", name, refused->why).with_param(name);
    } else {
      return invalid(
                 "{}: switches of engines are not passed on; leave it out. Known are {} and others",
                 name,
                 "max_model_len, tensor_parallel_size, n_gpu, gpu_idx, replica, kv_memory")
          .with_param(name);
    }
  }
  return ok_status();
}

// "0,1,"
Result<std::string> gpu_list(const Json& value) {
  std::string out;
  const auto add = [&](const Json& one) {
    const bool good = one.is_int() && one.as_int() >= 0;
    out += good ? std::to_string(one.as_int()) + "," : "";
    return good;
  };
  bool good = true;
  if (value.is_array()) {
    for (const Json& one : value.as_array()) {
      good = good && add(one);
    }
  } else {
    good = add(value);
  }
  if (!good || out.empty()) {
    return invalid("gpu_idx: wanted a number of a GPU or a list of such").with_param("gpu_idx");
  }
  return out;
}

// n_gpu absent or "auto": all that help. A number: exactly so many. null or "none": the CPU.
// gpu_idx wins.
Status read_gpus(const JsonObject& body, LaunchSpec& spec) {
  const Json* list = body.find("gpu_idx");
  if (list != nullptr && !list->is_null()) {
    TUTTI_TRY(std::string gpus, gpu_list(*list));
    spec.flags.insert(spec.flags.end(), {flag_named("gpus"), std::move(gpus)});
    return ok_status();
  }
  const Json* count = body.find("n_gpu");
  if (count == nullptr || (count->is_string() && count->as_string() == "auto")) {
    return ok_status();
  }
  if (count->is_null() || (count->is_string() && count->as_string() == "none")) {
    spec.flags.insert(spec.flags.end(), {flag_named("device"), "cpu"});
    return ok_status();
  }
  if (!count->is_int() || count->as_int() < 1) {
    return invalid("n_gpu: got {}, wanted \"auto\", \"none\" or a number above 0",
                   to_string(*count).substr(0, 40))
        .with_param("n_gpu");
  }
  spec.flags.insert(spec.flags.end(), {flag_named("gpus"), std::to_string(count->as_int())});
  return ok_status();
}

Status read_flag_fields(const JsonObject& body, LaunchSpec& spec) {
  for (const Flag& flag : kFlags) {
    const Json* value = body.find(flag.field);
    if (value == nullptr || value->is_null()) {
      continue;
    }
    // A size begins with a digit, so that it is never read as another flag.
    const bool text = std::string_view(flag.field) == "kv_memory" && value->is_string() &&
                      !value->as_string().empty() && value->as_string().front() >= '0' &&
                      value->as_string().front() <= '9';
    if (!text && !(value->is_int() && value->as_int() > 0)) {
      return invalid("{}: got {}, wanted a whole number above 0",
                     flag.field,
                     to_string(*value).substr(0, 40))
          .with_param(flag.field);
    }
    const std::string name = flag_named(flag.flag);
    if (std::find(spec.flags.begin(), spec.flags.end(), name) != spec.flags.end()) {
      return invalid("{}: another field says the same; leave one out", flag.field)
          .with_param(flag.field);
    }
    spec.flags.push_back(name);
    spec.flags.push_back(text ? value->as_string() : std::to_string(value->as_int()));
  }
  return ok_status();
}

Status check_kind(const JsonObject& body) {
  FieldReader fields(body, "");
  const std::string type = fields.string_or("model_type", "LLM");
  if (type != "LLM") {
    return error(StatusCode::kUnsupported,
                 "model_type: got \"{}\"; models that generate text (LLM) are served, no others",
                 type.substr(0, 40))
        .with_param("model_type");
  }
  if (fields.int_or("n_worker", 1, {.min = 0, .max = 1 << 20}) > 1) {
    return invalid("n_worker: there is one machine; leave it out").with_param("n_worker");
  }
  return fields.status();
}

}  // namespace

Result<LaunchSpec> read_xinference_launch(const JsonObject& body,
                                          std::vector<std::string>& warnings) {
  TUTTI_RETURN_IF_ERROR(check_kind(body));
  TUTTI_RETURN_IF_ERROR(check_fields_known(body, warnings));
  FieldReader fields(body, "");
  LaunchSpec spec;
  const std::string name = fields.string_or("model_name", "");
  spec.model = fields.string_or("model_path", name);
  spec.uid = fields.string_or("model_uid", "");
  spec.replicas = fields.int_or("replica", 1, {.min = 1, .max = kMostReplicas});
  spec.unload_after_seconds = fields.int_or("unload_after", 0, {.min = 0, .max = 30LL * 24 * 3600});
  const std::string device = fields.string_or("device", "");
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (spec.model.empty()) {
    return invalid("model_name: missing; wanted a model's name or directory")
        .with_param("model_name");
  }
  if (spec.model.starts_with('-')) {
    return invalid("model_name: a name begins with no \"-\"").with_param("model_name");
  }
  spec.given = body;
  if (!device.empty()) {
    if (device != "cpu" && device != "cuda" && device != "auto") {
      return invalid("device: got \"{}\", wanted auto, cpu or cuda", device.substr(0, 40))
          .with_param("device");
    }
    spec.flags.insert(spec.flags.end(), {flag_named("device"), device});
  }
  if (device != "cpu") {
    TUTTI_RETURN_IF_ERROR(read_gpus(body, spec));
  }
  TUTTI_RETURN_IF_ERROR(read_flag_fields(body, spec));
  return spec;
}

}  // namespace tutti
