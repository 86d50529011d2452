#include "serve/field_rules.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/nearest_word.h"
#include "serve/http_message.h"

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

const FieldRule* find_rule(std::span<const FieldRule> rules, int route, std::string_view name) {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const FieldRule& rule) {
    return name == rule.name && applies(rule, route);
  });
  return found == rules.end() ? nullptr : &*found;
}

std::string shown_name(std::string_view name) {
  constexpr size_t kShown = 64;
  return std::string(name.substr(0, kShown)) + (name.size() > kShown ? "..." : "");
}

// Fields that can be used, for suggestions.
std::vector<std::string> usable_names(std::span<const FieldRule> rules, int route) {
  std::vector<std::string> names;
  for (const FieldRule& rule : rules) {
    if (rule.use == FieldUse::kUsed && applies(rule, route)) {
      names.emplace_back(rule.name);
    }
  }
  return names;
}

// "maxTokens", "max-tokens" and "MAX_TOKENS" as the field would be written.
std::string snake_case(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool after_lower = !out.empty() && out.back() >= 'a' && out.back() <= 'z';
    out +=
        upper && after_lower && std::islower(static_cast<unsigned char>(name[0])) != 0 ? "_" : "";
    out += c == '-' || c == ' ' ? '_' : upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

std::string advice_for(std::string_view name,
                       std::span<const FieldAlias> aliases,
                       std::span<const std::string> names) {
  const std::string written = snake_case(name.substr(0, 64));
  for (const FieldAlias& alias : aliases) {
    if (written == alias.name) {
      return alias.advice;
    }
  }
  if (std::find(names.begin(), names.end(), written) != names.end()) {
    return fmt::format("did you mean {}?", written);
  }
  const std::vector<std::string> close = nearest_words(written, names);
  return close.empty() ? "" : fmt::format("did you mean {}?", close[0]);
}

}  // namespace

Status check_fields(std::span<const FieldRule> rules, int route, const JsonObject& body) {
  for (const JsonMember& member : body) {
    const FieldRule* rule = find_rule(rules, route, member.key);
    if (rule != nullptr && !member.value.is_null()) {
      TUTTI_RETURN_IF_ERROR(check_field(*rule, member.value));
    }
  }
  return ok_status();
}

UnknownFields unknown_fields(std::span<const FieldRule> rules,
                             std::span<const FieldAlias> aliases,
                             int route,
                             const JsonObject& body) {
  constexpr int64_t kNamed = 8;
  UnknownFields out;
  std::vector<std::string> names;
  for (const JsonMember& member : body) {
    if (find_rule(rules, route, member.key) != nullptr || ++out.count > kNamed) {
      continue;
    }
    if (names.empty()) {
      names = usable_names(rules, route);
    }
    const std::string advice = advice_for(member.key, aliases, names);
    out.warnings.push_back(fmt::format("{}: no such field, so it has no effect{}{}",
                                       header_text(shown_name(member.key)),
                                       advice.empty() ? "" : "; ",
                                       advice));
  }
  if (out.count > kNamed) {
    out.warnings.push_back(fmt::format("{} more unknown fields", out.count - kNamed));
  }
  return out;
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
