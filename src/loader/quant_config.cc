#include "loader/quant_config.h"

#include <algorithm>
#include <array>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/json_fields.h"
#include "tensor/packed_format.h"

namespace tutti {

namespace {

constexpr std::string_view kPattern = "re:";
constexpr uint32_t kMatchLimit = 100'000;  // steps; module names are short
constexpr int64_t kMaxBlock = 1 << 20;

// Strings of a list; null means none, as a missing key does.
Result<std::vector<std::string>> module_names(FieldReader& fields, const char* key) {
  const JsonArray* list = fields.optional_array(key);
  TUTTI_RETURN_IF_ERROR(fields.status());
  std::vector<std::string> names;
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    if (!(*list)[i].is_string()) {
      return invalid(
          "{}[{}] is {}, wanted the name of a module", fields.path(key), i, to_string((*list)[i]));
    }
    names.push_back((*list)[i].as_string());
  }
  return names;
}

Result<std::vector<ModulePattern>> module_patterns(FieldReader& fields, const char* key) {
  TUTTI_TRY(const std::vector<std::string> names, module_names(fields, key));
  std::vector<ModulePattern> patterns;
  for (const std::string& name : names) {
    Result<ModulePattern> pattern = ModulePattern::parse(name);
    if (!pattern.ok()) {
      return invalid("{}: {}", fields.path(key), pattern.status().message());
    }
    patterns.push_back(std::move(pattern).value());
  }
  return patterns;
}

Result<WeightCell> block_sides(FieldReader& fields, const char* key) {
  const JsonArray* block = fields.optional_array(key);
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (block == nullptr || block->size() != 2 ||
      !std::all_of(block->begin(), block->end(), [](const Json& j) {
        return j.is_int() && j.as_int() >= 1 && j.as_int() <= kMaxBlock;
      })) {
    return invalid("{} is {}, wanted two positive integers such as [128, 128]",
                   fields.path(key),
                   block == nullptr ? std::string("missing") : to_string(Json(*block)));
  }
  return WeightCell{(*block)[0].as_int(), (*block)[1].as_int()};
}

// DeepSeek's and what follows it: e4m3 with `weight_scale_inv` for every block.
Result<QuantConfig> parse_fp8(FieldReader& fields, const std::string& where) {
  const std::string format = fields.string_or("fmt", "e4m3");
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (format != "e4m3" && format != "float8_e4m3fn") {
    return error(StatusCode::kUnsupported,
                 "{}: fmt \"{}\" is not supported; supported is \"e4m3\"",
                 where,
                 format);
  }
  if (fields.find("weight_block_size") == nullptr) {
    return error(StatusCode::kUnsupported,
                 "{}: fp8 without weight_block_size (one scale per tensor) is not supported; "
                 "supported are block "
                 "scales such as [128, 128]",
                 where);
  }
  QuantConfig quant{.format = &kE4M3BlockWeights};
  TUTTI_TRY(quant.block, block_sides(fields, "weight_block_size"));
  TUTTI_TRY(quant.not_converted, module_names(fields, "modules_to_not_convert"));
  return quant;
}

// Columns whose groups are not in order (weight_g_idx) are what "group" means, "dynamic" and true
// did. Older versions of the library wrote them; 0.20 refuses them too.
Status check_order(const FieldReader& fields, const std::string& where) {
  const Json* order = fields.find("actorder");
  const std::string text = order == nullptr ? "false" : to_string(*order);
  if (text == "false" || text == "\"weight\"" || text == "\"static\"") {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "{}.actorder {} is not supported (weight_g_idx: columns whose groups are not in "
               "order); supported are null, false, \"weight\" and \"static\"",
               where,
               text);
}

// `weights` of a group: format and block.
Status parse_weights(const JsonObject& json,
                     const std::string& where,
                     DType scales,
                     QuantConfig& quant) {
  FieldReader fields(json, where);
  const int64_t bits = fields.required_int("num_bits");
  const std::string type = fields.string_or("type", "int");
  const bool symmetric = fields.bool_or("symmetric", true);
  const std::string strategy = fields.required_string("strategy");
  TUTTI_RETURN_IF_ERROR(check_order(fields, where));
  TUTTI_RETURN_IF_ERROR(fields.status());
  const auto unsupported = [&](const char* supported) {
    return error(
        StatusCode::kUnsupported,
        "{}: {} bits of type \"{}\" by strategy \"{}\" are not supported; supported are {}",
        where,
        bits,
        type,
        strategy,
        supported);
  };
  constexpr const char* kSupported =
      "4 and 8 bits of \"int\" by \"group\" and \"channel\", and 8 bits of \"float\" by "
      "\"channel\", \"tensor\" and \"block\"";
  if (strategy == "group") {
    quant.block = {1, fields.required_int("group_size", {1, kMaxBlock})};
  } else if (strategy == "channel") {
    quant.block = {1, kWholeSide};
  } else if (strategy == "tensor") {
    quant.block = {kWholeSide, kWholeSide};
  } else if (strategy == "block") {
    TUTTI_TRY(quant.block, block_sides(fields, "block_structure"));
  } else {
    return unsupported(kSupported);
  }
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (type == "float" && bits == 8 && symmetric && strategy != "group") {
    quant.format = &kE4M3ScaledWeights;
  } else if (type == "int" && (bits == 4 || bits == 8) &&
             (strategy == "group" || strategy == "channel")) {
    quant.format =
        &packed_format({.bits = static_cast<int>(bits), .scales = scales, .symmetric = symmetric});
  } else {
    return unsupported(kSupported);
  }
  return ok_status();
}

// compressed-tensors: groups of modules, of which one scheme of weights is read.
Result<QuantConfig> parse_compressed(FieldReader& fields,
                                     const std::string& where,
                                     const std::string& model_dtype) {
  const std::string format = fields.required_string("format");
  const JsonObject* groups = fields.optional_object("config_groups");
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (groups == nullptr || groups->empty()) {
    return invalid("{}.config_groups is missing, wanted the schemes of the weights", where);
  }
  const DType scales = model_dtype == "float16"   ? DType::kF16
                       : model_dtype == "float32" ? DType::kF32
                                                  : DType::kBF16;
  QuantConfig quant;
  for (const JsonMember& group : *groups) {
    const std::string at = fmt::format("{}.config_groups.{}", where, group.key);
    if (!group.value.is_object()) {
      return invalid("{} is {}, wanted an object", at, to_string(group.value));
    }
    FieldReader reader(group.value.as_object(), at);
    const JsonObject* weights = reader.optional_object("weights");
    TUTTI_RETURN_IF_ERROR(reader.status());
    if (weights == nullptr) {
      return invalid("{}.weights is missing, wanted num_bits, type and strategy", at);
    }
    QuantConfig of_group;
    TUTTI_RETURN_IF_ERROR(parse_weights(*weights, at + ".weights", scales, of_group));
    if (quant.format != nullptr &&
        (quant.format != of_group.format || quant.block != of_group.block)) {
      return error(StatusCode::kUnsupported,
                   "{}: groups of different formats are not supported; {} differs from the first",
                   where,
                   at);
    }
    TUTTI_TRY(std::vector<ModulePattern> targets, module_patterns(reader, "targets"));
    quant.format = of_group.format;
    quant.block = of_group.block;
    quant.targets.insert(quant.targets.end(), targets.begin(), targets.end());
  }
  if (format == "int-quantized" && quant.format->planes[0].dtype == DType::kI32) {
    // The same integers, but a byte each and symmetric.
    if (&packed_format({.bits = 8, .scales = scales}) != quant.format) {
      return error(StatusCode::kUnsupported,
                   "{}: int-quantized weights that are not symmetric or not of 8 bits are not "
                   "supported; supported are symmetric ones of 8 bits",
                   where);
    }
    quant.format = &kI8Weights;
  }
  const bool packed = quant.format->planes[0].dtype == DType::kI32;
  const bool matches = format == "pack-quantized"    ? packed
                       : format == "int-quantized"   ? quant.format == &kI8Weights
                       : format == "float-quantized" ? quant.format == &kE4M3ScaledWeights
                       : format == "naive-quantized" ? quant.format == &kE4M3ScaledWeights
                                                     : false;
  if (!matches) {
    return error(StatusCode::kUnsupported,
                 "{}: format \"{}\" of {} weights is not supported; supported are "
                 "\"pack-quantized\" integers, \"int-quantized\" ones of 8 bits and "
                 "\"float-quantized\" e4m3",
                 where,
                 format,
                 quant.format->name);
  }
  TUTTI_TRY(quant.ignored, module_patterns(fields, "ignore"));
  return quant;
}

}  // namespace

struct ModulePattern::Code {
  explicit Code(pcre2_code* compiled) : handle(compiled) {}

  ~Code() { pcre2_code_free(handle); }

  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  pcre2_code* handle;
};

Result<ModulePattern> ModulePattern::parse(const std::string& text) {
  ModulePattern pattern;
  if (!text.starts_with(kPattern)) {
    pattern.name_ = text;
    return pattern;
  }
  const std::string_view expression = std::string_view(text).substr(kPattern.size());
  int code = 0;
  size_t offset = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()),
                                       expression.size(),
                                       PCRE2_ANCHORED,
                                       &code,
                                       &offset,
                                       nullptr);
  if (compiled == nullptr) {
    std::array<PCRE2_UCHAR, 256> why{};
    pcre2_get_error_message(code, why.data(), why.size());
    return invalid("\"{}\" is no regular expression that can be read (at {}: {})",
                   text,
                   offset,
                   reinterpret_cast<const char*>(why.data()));
  }
  pattern.code_ = std::make_shared<const Code>(compiled);
  return pattern;
}

bool ModulePattern::matches(std::string_view module) const {
  if (code_ == nullptr) {
    return module == name_ || name_ == "Linear";
  }
  pcre2_match_data* data = pcre2_match_data_create_from_pattern(code_->handle, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(context, kMatchLimit);
  const int found = pcre2_match(code_->handle,
                                reinterpret_cast<PCRE2_SPTR>(module.data()),
                                module.size(),
                                0,
                                0,
                                data,
                                context);
  pcre2_match_context_free(context);
  pcre2_match_data_free(data);
  return found >= 0;
}

bool QuantConfig::converts(std::string_view tensor) const {
  const std::string path = fmt::format(".{}.", tensor);
  if (std::any_of(not_converted.begin(), not_converted.end(), [&](const std::string& module) {
        return path.find(fmt::format(".{}.", module)) != std::string::npos;
      })) {
    return false;
  }
  constexpr std::string_view kWeight = ".weight";
  const std::string_view module =
      tensor.ends_with(kWeight) ? tensor.substr(0, tensor.size() - kWeight.size()) : tensor;
  const auto fits = [&](const ModulePattern& pattern) { return pattern.matches(module); };
  return std::none_of(ignored.begin(), ignored.end(), fits) &&
         (targets.empty() || std::any_of(targets.begin(), targets.end(), fits));
}

Result<QuantConfig> parse_quant_config(const JsonObject& json,
                                       const std::string& where,
                                       const std::string& model_dtype) {
  FieldReader fields(json, where);
  const std::string method = fields.required_string("quant_method");
  TUTTI_RETURN_IF_ERROR(fields.status());
  if (method == "fp8") {
    return parse_fp8(fields, where);
  }
  if (method == "compressed-tensors") {
    return parse_compressed(fields, where, model_dtype);
  }
  return error(StatusCode::kUnsupported,
               "{}: quant_method \"{}\" is not supported; supported are \"fp8\" and "
               "\"compressed-tensors\"",
               where,
               method);
}

}  // namespace tutti
