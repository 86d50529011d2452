#include "plan/model_facts.h"

#include <filesystem>
#include <system_error>

#include "engine/ranks/rank_worker.h"
#include "loader/checkpoint.h"

namespace tutti {

namespace {

// The name of the format that config.json describes.
std::string described_format(const JsonObject& config) {
  const Json* quant = config.find("quantization_config");
  const auto text = [](const Json* json, const char* key) {
    const Json* value = json != nullptr ? json->find(key) : nullptr;
    return value != nullptr && value->is_string() ? value->as_string() : std::string();
  };
  if (quant == nullptr || !quant->is_object()) {
    const Json all{config};
    const std::string dtype =
        text(&all, "torch_dtype").empty() ? text(&all, "dtype") : text(&all, "torch_dtype");
    return dtype == "float16" ? "f16" : dtype == "float32" ? "f32" : "bf16";
  }
  const std::string method = text(quant, "quant_method");
  const Json* bits = quant->find("bits");
  const bool eight = bits != nullptr && bits->is_int() && bits->as_int() == 8;
  if (method == "awq") {
    return "awq-int4";
  }
  if (method == "gptq") {
    return eight ? "gptq-int8" : "gptq-int4";
  }
  if (method == "compressed-tensors") {
    return text(quant, "format") == "float-quantized" ? "fp8" : "int4";
  }
  if (method == "bitsandbytes") {
    return "bnb-int4";
  }
  return method == "modelopt" ? "nvfp4" : "fp8";
}

Json without(const Json& config, std::string_view key) {
  JsonObject out;
  for (const JsonMember& member : config.as_object()) {
    if (member.key != key) {
      out.append(member.key, member.value);
    }
  }
  return Json(std::move(out));
}

// Why this build cannot load what `config` describes; empty: it can.
std::string cannot_load(const std::string& path, const Json& config) {
  const Result<HfConfig> parsed = HfConfig::parse(path, config);
  if (!parsed.ok()) {
    return parsed.status().message();
  }
  const auto worker = RankWorker::create(*parsed, {}, 0, 1);
  return worker.ok() ? "" : worker.status().message();
}

// Declares `facts.config` as what is given, or as what stands for it.
Status declare(const std::string& path,
               const Json& config,
               const Json& planned_as,
               ModelFacts& facts) {
  facts.not_loadable = cannot_load(path, config);
  if (facts.not_loadable.empty()) {
    TUTTI_TRY(facts.config, HfConfig::parse(path, config));
    return ok_status();
  }
  // The dimensions alone, as if it were not quantised.
  TUTTI_TRY(facts.config,
            HfConfig::parse(
                path, without(planned_as.is_null() ? config : planned_as, "quantization_config")));
  return RankWorker::create(facts.config, {}, 0, 1).status();
}

// Whether there is anything that could be weights, right or wrong.
bool has_weights(const std::string& directory) {
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ec)) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".json" && extension != ".txt" && extension != ".md" &&
        extension != ".jinja" && extension != ".model" && entry.is_regular_file(ec) &&
        !entry.path().filename().string().starts_with('.')) {
      return true;
    }
    if (entry.path().filename().string().ends_with(".safetensors.index.json")) {
      return true;
    }
  }
  return false;
}

std::string first_architecture(const JsonObject& config) {
  const Json* names = config.find("architectures");
  return names != nullptr && names->is_array() && !names->as_array().empty() &&
                 names->as_array().front().is_string()
             ? names->as_array().front().as_string()
             : "";
}

// The catalogue's config in `format`, which may not be the one that it was written for.
Json config_in(const CatalogueModel& model, const std::string& format) {
  if (described_format(model.config.as_object()) == format) {
    return model.config;
  }
  Json config = without(model.config, "quantization_config");
  if (format == "fp8") {
    config.as_object().set("quantization_config",
                           Json::object({{"quant_method", "fp8"},
                                         {"fmt", "e4m3"},
                                         {"weight_block_size", Json::array({128, 128})}}));
  }
  if (format == "f16" || format == "f32") {
    config.as_object().set("torch_dtype", format == "f16" ? "float16" : "float32");
  }
  return config;
}

}  // namespace

Result<ModelFacts> facts_of_directory(const std::string& directory,
                                      const Catalogue& catalogue,
                                      Headers headers) {
  ModelFacts facts;
  facts.name = directory;
  facts.directory = directory;
  const std::string path = directory + "/config.json";
  constexpr int64_t kMaxBytes = 16 << 20;
  TUTTI_TRY(const Json json, parse_json_file(path, {.max_depth = 64, .max_bytes = kMaxBytes}));
  if (!json.is_object()) {
    return invalid("{}: is {}, wanted an object", path, json.type_name());
  }
  facts.architecture = first_architecture(json.as_object());
  const CatalogueModel* like = catalogue.like(json.as_object());
  if (like != nullptr) {
    facts.catalogue_name = like->name;
    facts.formats = like->formats;
    facts.extras = like->extras;
  }
  TUTTI_RETURN_IF_ERROR(declare(path, json, like != nullptr ? like->planned_as : Json(), facts));
  TUTTI_TRY(facts.format, find_format(described_format(json.as_object())));
  facts.counted = !facts.not_loadable.empty();
  if (headers == Headers::kRead && !has_weights(directory)) {
    facts.assumption = "no weights are there yet: their types are those that config.json implies";
  } else if (headers == Headers::kRead) {
    TUTTI_TRY(facts.tensors, Checkpoint::open(directory));
  }
  return facts;
}

Result<ModelFacts> facts_of(const CatalogueChoice& choice) {
  const CatalogueModel& model = *choice.model;
  ModelFacts facts;
  facts.name = model.name;
  facts.hub = choice.format.hub;
  facts.architecture = first_architecture(model.config.as_object());
  facts.catalogue_name = model.name;
  facts.formats = model.formats;
  facts.extras = model.extras;
  TUTTI_TRY(facts.format, find_format(choice.format.name));
  const Json config = config_in(model, facts.format.name);
  const std::string path = model.name + ": config.json";
  TUTTI_RETURN_IF_ERROR(declare(path, config, model.planned_as, facts));
  facts.made_up = facts.format.name == "f16"   ? DType::kF16
                  : facts.format.name == "f32" ? DType::kF32
                                               : DType::kBF16;
  if (!facts.format.readable && facts.not_loadable.empty()) {
    facts.not_loadable =
        facts.format.cpu_only
            ? fmt::format("GPUs have no kernels for the format {} yet; it runs on the CPU alone",
                          facts.format.name)
            : fmt::format("this build reads no weights in the format {}", facts.format.name);
  }
  facts.counted = !facts.not_loadable.empty();
  return facts;
}

}  // namespace tutti
