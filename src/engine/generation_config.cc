#include "engine/generation_config.h"

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "base/json_fields.h"
#include "engine/request_parameters.h"

namespace tutti {
namespace {

constexpr const char* kGenerationConfig = "generation_config.json";
constexpr const char* kConfig = "config.json";

void add_id(int64_t id, std::vector<int32_t>& ids) {
  if (id >= 0 && std::find(ids.begin(), ids.end(), id) == ids.end()) {
    ids.push_back(static_cast<int32_t>(id));
  }
}

/// eos_token_id of a file: an integer, a list of integers or nothing.
Status read_eos(const JsonObject& object, const char* file, std::vector<int32_t>& ids) {
  const Json* eos = object.find("eos_token_id");
  if (eos == nullptr || eos->is_null()) {
    return ok_status();
  }
  const JsonArray items = eos->is_array() ? eos->as_array() : JsonArray{*eos};
  for (const Json& item : items) {
    if (!item.is_int() || item.as_int() > INT32_MAX) {
      return invalid("{}: eos_token_id: got {}, wanted a token id or a list of them",
                     file,
                     item.is_int() ? to_string(item) : item.type_name());
    }
    add_id(item.as_int(), ids);
  }
  return ok_status();
}

Status read_sampling(const JsonObject& object, SamplingParams& params) {
  FieldReader reader(object, kGenerationConfig);
  const auto read = [&](const char* key, float& value) {
    value = static_cast<float>(reader.number_or(key, static_cast<double>(value)));
  };
  read("temperature", params.temperature);
  read("top_p", params.top_p);
  read("min_p", params.min_p);
  read("repetition_penalty", params.repetition_penalty);
  // -1 is vLLM's way to say that top-k is off.
  const int64_t top_k = reader.int_or("top_k", params.top_k, {.min = -1, .max = INT32_MAX});
  params.top_k = static_cast<int32_t>(std::max<int64_t>(top_k, 0));
  if (!reader.bool_or("do_sample", true)) {
    params.temperature = 0.0F;
  }
  TUTTI_RETURN_IF_ERROR(reader.status());
  Status legal = check_sampling(params);
  return legal.ok() ? legal : std::move(legal).with_context(kGenerationConfig);
}

Result<const JsonObject*> as_object(const Json& json, const char* file) {
  if (!json.is_object()) {
    return invalid("{}: got {}, wanted an object", file, json.type_name());
  }
  return &json.as_object();
}

/// Parses a file if it is there.
Result<std::optional<Json>> parse_if_there(const std::string& directory, const char* name) {
  const std::string path = join_path(directory, name);
  if (!file_exists(path)) {
    return std::optional<Json>();
  }
  TUTTI_TRY(Json json, parse_json_file(path));
  return std::optional<Json>(std::move(json));
}

}  // namespace

Result<GenerationDefaults> make_generation_defaults(const Json* generation_config,
                                                    const Json* config,
                                                    std::optional<int32_t> tokenizer_eos) {
  GenerationDefaults out;
  if (generation_config != nullptr) {
    TUTTI_TRY(const JsonObject* object, as_object(*generation_config, kGenerationConfig));
    TUTTI_RETURN_IF_ERROR(read_eos(*object, kGenerationConfig, out.eos_token_ids));
    TUTTI_RETURN_IF_ERROR(read_sampling(*object, out.sampling));
  }
  if (out.eos_token_ids.empty() && config != nullptr) {
    TUTTI_TRY(const JsonObject* object, as_object(*config, kConfig));
    TUTTI_RETURN_IF_ERROR(read_eos(*object, kConfig, out.eos_token_ids));
  }
  if (tokenizer_eos.has_value()) {
    add_id(*tokenizer_eos, out.eos_token_ids);
  }
  return out;
}

Result<GenerationDefaults> load_generation_defaults(const std::string& directory,
                                                    std::optional<int32_t> tokenizer_eos) {
  TUTTI_TRY(const std::optional<Json> generation, parse_if_there(directory, kGenerationConfig));
  TUTTI_TRY(const std::optional<Json> config, parse_if_there(directory, kConfig));
  return make_generation_defaults(generation.has_value() ? &*generation : nullptr,
                                  config.has_value() ? &*config : nullptr,
                                  tokenizer_eos);
}

}  // namespace tutti
