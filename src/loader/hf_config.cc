#include "loader/hf_config.h"

#include <algorithm>
#include <array>

#include "base/file.h"

namespace tutti {

namespace {

constexpr int64_t kMaxPosition = int64_t{1} << 31;

// The transformers types that are not here, and settings under which its own classes fail.
Status check_rope_support(FieldReader& f, const std::string& type, double partial) {
  TUTTI_RETURN_IF_ERROR(f.status());
  const auto unsupported = [&f](std::string_view key, const std::string& what) {
    return error(StatusCode::kUnsupported, "{}{}", f.path(key), what);
  };
  constexpr std::array kTypes{"default", "linear", "dynamic", "llama3", "yarn", "longrope"};
  if (std::ranges::find(kTypes, type) == kTypes.end()) {
    return unsupported(
        "rope_type",
        fmt::format(" \"{}\" is not supported; supported are {}", type, fmt::join(kTypes, ", ")));
  }
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (f.find(layer_type) != nullptr) {
      return unsupported(layer_type, " (settings per layer type) is not supported");
    }
  }
  // The default type of these architectures rotates whole heads whatever this key says.
  if (type != "default" && partial != 1.0) {
    return unsupported(
        "partial_rotary_factor",
        fmt::format(" {} is not supported with rope_type {}; supported is 1", partial, type));
  }
  return ok_status();
}

/// Divisors of longrope's frequencies.
Result<std::vector<double>> parse_factors(FieldReader& f, const char* key) {
  const JsonArray* list = f.optional_array(key);
  TUTTI_RETURN_IF_ERROR(f.status());
  if (list == nullptr) {
    return invalid("{} is missing; rope_type longrope needs it", f.path(key));
  }
  std::vector<double> out;
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& value = (*list)[i];
    const double factor = value.is_number() ? value.as_number() : 0.0;
    if (!(factor >= 1e-9 && factor <= 1e9)) {
      return invalid(
          "{}[{}] is {}, wanted a number from 1e-9 to 1e9", f.path(key), i, to_string(value));
    }
    out.push_back(factor);
  }
  return out;
}

}  // namespace

// A name stands for the module and all below it, at the start of the path or behind a dot.
Result<HfConfig> HfConfig::load(const std::string& directory) {
  const std::string path = join_path(directory, "config.json");
  if (!is_directory(directory)) {
    return error(StatusCode::kNotFound, "{}: no such model directory", directory);
  }
  if (!file_exists(path)) {
    return error(StatusCode::kNotFound,
                 "{}: no such file; a model directory needs the checkpoint's config.json",
                 path);
  }
  constexpr int64_t kMaxBytes = 16 << 20;
  TUTTI_TRY(Json json, parse_json_file(path, {.max_depth = 64, .max_bytes = kMaxBytes}));
  return parse(path, std::move(json));
}

Result<HfConfig> HfConfig::parse(const std::string& path, Json json) {
  if (!json.is_object()) {
    return invalid("{}: is {}, wanted an object", path, json.type_name());
  }
  HfConfig config;
  config.path = path;
  config.json = std::move(json.as_object());
  FieldReader fields = config.fields();
  const JsonArray* architectures = fields.optional_array("architectures");
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (architectures == nullptr || architectures->empty() || !architectures->front().is_string()) {
    return invalid(
        "{}: architectures is missing or empty, wanted for example [\"DeepseekV3ForCausalLM\"]",
        path);
  }
  config.architecture = architectures->front().as_string();
  const JsonObject* quant = fields.optional_object("quantization_config");
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (quant != nullptr) {
    const char* type = fields.find("torch_dtype") != nullptr ? "torch_dtype" : "dtype";
    TUTTI_TRY(config.quant,
              parse_quant_config(
                  *quant, path + ": quantization_config", fields.string_or(type, "bfloat16")));
    TUTTI_RETURN_IF_ERROR(fields.status());
  }
  return config;
}

Result<RopeConfig> HfConfig::rope(int64_t default_max_position) const {
  FieldReader top = fields();
  RopeConfig rope;
  rope.theta = top.number_or("rope_theta", rope.theta, {.min = 1e-6, .max = 1e18});
  const int64_t max_position =
      top.int_or("max_position_embeddings", default_max_position, {.min = 0, .max = kMaxPosition});
  const double partial = top.number_or("partial_rotary_factor", 1.0);
  // transformers lets rope_scaling win where a file has both, unless it is empty.
  const JsonObject* object = top.optional_object("rope_scaling");
  const char* key = "rope_scaling";
  if (object == nullptr || object->empty()) {
    object = top.optional_object("rope_parameters");
    key = "rope_parameters";
  }
  TUTTI_RETURN_IF_ERROR(top.status());
  if (object == nullptr) {
    return rope;
  }
  FieldReader f(*object, path + ": " + key);
  rope.type = f.string_or("rope_type", f.string_or("type", "default"));
  rope.theta = f.number_or("rope_theta", rope.theta, {.min = 1e-6, .max = 1e18});
  rope.original_max_position =
      f.int_or("original_max_position_embeddings", 0, {.min = 1, .max = kMaxPosition});
  const NumberRange positive{.min = 1e-9, .max = 1e9};
  rope.low_freq_factor = f.number_or("low_freq_factor", rope.low_freq_factor, positive);
  rope.high_freq_factor = f.number_or("high_freq_factor", rope.high_freq_factor, positive);
  rope.beta_fast = f.number_or("beta_fast", rope.beta_fast, positive);
  rope.beta_slow = f.number_or("beta_slow", rope.beta_slow, positive);
  rope.truncate = f.bool_or("truncate", true);
  rope.mscale = f.number_or("mscale", 0.0, {.min = 0.0, .max = 1e6});
  rope.mscale_all_dim = f.number_or("mscale_all_dim", 0.0, {.min = 0.0, .max = 1e6});
  rope.attention_factor = f.optional_number("attention_factor", {.min = 1e-9, .max = 1e6});
  rope.attn_factor = f.number_or("attn_factor", 1.0, positive);
  const std::optional<double> factor = f.optional_number("factor", positive);
  TUTTI_RETURN_IF_ERROR(f.status());
  TUTTI_RETURN_IF_ERROR(
      check_rope_support(f, rope.type, f.number_or("partial_rotary_factor", partial)));
  const bool extends = rope.type == "llama3" || rope.type == "yarn" || rope.type == "longrope";
  if (extends) {
    // Phi-3 and its kin keep it beside max_position_embeddings, and there it wins.
    const int64_t outer =
        top.int_or("original_max_position_embeddings", 0, {.min = 1, .max = kMaxPosition});
    TUTTI_RETURN_IF_ERROR(top.status());
    rope.original_max_position = outer != 0 ? outer : rope.original_max_position;
  }
  if (rope.type == "longrope") {
    TUTTI_TRY(rope.short_factor, parse_factors(f, "short_factor"));
    TUTTI_TRY(rope.long_factor, parse_factors(f, "long_factor"));
  }
  if (rope.original_max_position == 0) {
    rope.original_max_position = max_position;
  }
  if (extends && rope.original_max_position == 0) {
    return invalid("{}: {}: original_max_position_embeddings is missing; rope_type {} needs it",
                   path,
                   key,
                   rope.type);
  }
  if (factor) {
    rope.factor = *factor;
  } else if ((rope.type == "yarn" || rope.type == "longrope") && max_position > 0) {
    rope.factor =
        static_cast<double>(max_position) / static_cast<double>(rope.original_max_position);
  } else if (rope.type != "default") {
    return invalid("{}: {}: factor is missing; rope_type {} needs it", path, key, rope.type);
  }
  return rope;
}

}  // namespace tutti
