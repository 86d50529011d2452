#include "serve/field_rules.h"

#include <cmath>

namespace tutti {

namespace {

using enum ParameterType;

bool applies(const FieldRule& rule, int route) {
  return ((rule.routes >> static_cast<unsigned>(route)) & 1U) != 0;
}

Status field_error(const FieldRule& rule, const std::string& what) {
  return invalid("{}: {}", rule.name, what).with_param(rule.name);
}

const char* type_words(ParameterType type) {
  switch (type) {
    case ParameterType::kBool:
      return "true or false";
    case ParameterType::kInteger:
      return "an integer";
    case ParameterType::kNumber:
      return "a number";
    case ParameterType::kString:
      return "a string";
    case ParameterType::kObject:
      return "an object";
    case ParameterType::kList:
      return "an array";
    case ParameterType::kSeveral:
      break;
  }
  return "a value";
}

// 1.0 and 1e3 are integers to every JSON writer that has only doubles.
std::optional<int64_t> as_integer(const Json& json) {
  if (json.is_int()) {
    return json.as_int();
  }
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (json.is_double() && std::floor(json.as_number()) == json.as_number() &&
      std::abs(json.as_number()) < kExact) {
    return static_cast<int64_t>(json.as_number());
  }
  return std::nullopt;
}

bool has_type(const Json& json, ParameterType type) {
  switch (type) {
    case ParameterType::kBool:
      return json.is_bool();
    case ParameterType::kInteger:  // check_range() tells which numbers are integers
    case ParameterType::kNumber:
      return json.is_number();
    case ParameterType::kString:
      return json.is_string();
    case ParameterType::kObject:
      return json.is_object();
    case ParameterType::kList:
      return json.is_array();
    case ParameterType::kSeveral:
      break;
  }
  return true;
}

Status check_range(const FieldRule& rule, const Json& json) {
  if (rule.type != ParameterType::kInteger && rule.type != ParameterType::kNumber) {
    return ok_status();
  }
  const double value = json.as_number();
  const bool exact =
      rule.type != ParameterType::kInteger || json.is_uint() || as_integer(json).has_value();
  // Digits beyond 64 bits are a double as well: not exact, but what is wrong with them is the size.
  const bool too_long = !exact && std::abs(value) >= 0x1p63;
  if (too_long || !rule.range.contains(value)) {
    return field_error(
        rule,
        fmt::format("got {}, wanted {}", to_string(json), range_words(rule.range, rule.type)));
  }
  if (!exact) {
    const bool whole = std::floor(value) == value;
    return field_error(rule,
                       fmt::format("got {}, wanted an integer{}",
                                   to_string(json),
                                   whole ? ", above 2^53 without fraction and exponent" : ""));
  }
  return ok_status();
}

// nullopt: no single value; Dialect::parse() reads it.
std::optional<ParameterValue> as_value(const Json& json, ParameterType type) {
  switch (type) {
    case kBool:
      return json.as_bool();
    case kInteger:
      return json.is_uint() ? ParameterValue(json.as_uint()) : ParameterValue(*as_integer(json));
    case kNumber:
      return json.as_number();
    case kString:
      return json.as_string();
    case kObject:
    case kList:
    case kSeveral:
      break;
  }
  return std::nullopt;
}

bool is_neutral(const FieldRule& rule, const Json& json) {
  const std::string text = to_string(json);
  std::string_view rest = rule.neutral;
  while (!rest.empty()) {
    const size_t bar = rest.find('|');
    if (rest.substr(0, bar) == text) {
      return true;
    }
    rest.remove_prefix(bar == std::string_view::npos ? rest.size() : bar + 1);
  }
  return false;
}

Status check_field(const FieldRule& rule, const Json& json) {
  if (!has_type(json, rule.type)) {
    return field_error(rule,
                       fmt::format("got {}, wanted {}", json.type_name(), type_words(rule.type)));
  }
  TUTTI_RETURN_IF_ERROR(check_range(rule, json));
  // Bounded work: only short values can be neutral.
  const bool small = !(json.is_string() && json.as_string().size() > 64) &&
                     !(json.is_array() && json.as_array().size() > 4) &&
                     !(json.is_object() && json.as_object().size() > 4);
  if (rule.use == FieldUse::kRefused && !(small && is_neutral(rule, json))) {
    return error(StatusCode::kUnsupported, "{}: not supported yet{}", rule.name, rule.remedy)
        .with_param(rule.name);
  }
  return ok_status();
}

}  // namespace

Status check_fields(std::span<const FieldRule> rules,
                    int route,
                    const JsonObject& body,
                    int& unknown) {
  unknown = 0;
  for (const JsonMember& member : body) {
    const FieldRule* found = nullptr;
    for (const FieldRule& rule : rules) {
      if (member.key == rule.name && applies(rule, route)) {
        found = &rule;
        break;
      }
    }
    unknown += found == nullptr ? 1 : 0;
    if (found != nullptr && !member.value.is_null()) {
      TUTTI_RETURN_IF_ERROR(check_field(*found, member.value));
    }
  }
  return ok_status();
}

Status read_parameters(std::span<const FieldRule> rules,
                       int route,
                       const JsonObject& body,
                       GenerationRequest& out) {
  for (const FieldRule& rule : rules) {
    const Json* json = any_field(body, rule.name);
    if (json != nullptr && rule.parameter != nullptr && applies(rule, route)) {
      if (const auto value = as_value(*json, rule.type)) {
        TUTTI_RETURN_IF_ERROR(set_parameter(*rule.parameter, *value, out));
      }
    }
  }
  return ok_status();
}

const Json* any_field(const JsonObject& body, std::string_view name) {
  const Json* json = body.find(name);
  return json == nullptr || json->is_null() ? nullptr : json;
}

std::optional<bool> bool_field(const JsonObject& body, std::string_view name) {
  const Json* json = any_field(body, name);
  return json == nullptr ? std::nullopt : std::optional(json->as_bool());
}

std::optional<int64_t> int_field(const JsonObject& body, std::string_view name) {
  const Json* json = any_field(body, name);
  return json == nullptr ? std::nullopt : as_integer(*json);
}

std::optional<double> number_field(const JsonObject& body, std::string_view name) {
  const Json* json = any_field(body, name);
  return json == nullptr ? std::nullopt : std::optional(json->as_number());
}

std::optional<std::string> string_field(const JsonObject& body, std::string_view name) {
  const Json* json = any_field(body, name);
  return json == nullptr ? std::nullopt : std::optional(json->as_string());
}

}  // namespace tutti
