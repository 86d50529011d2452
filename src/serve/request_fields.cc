#include "serve/request_fields.h"

#include <array>
#include <cmath>

namespace tutti {

namespace {

using enum FieldUse;
using enum FieldType;
constexpr auto kBothRoutes = FieldRule::kBoth;
constexpr auto kChat = FieldRule::kChatOnly;
constexpr auto kCompl = FieldRule::kCompletionsOnly;
constexpr double kIntMax = 2147483647;
constexpr double kSecondsMax = 2'592'000;  // 30 days; the server's own limit is below
constexpr double kInt64Min = -0x1p63;
constexpr double kUint64End = 0x1p64;  // itself beyond, but no double is between

constexpr auto kRules = std::to_array<FieldRule>({
    // clang-format off
    {"model", kBothRoutes, kUsed, kString, 0, 0, false, "", "", "the only model"},
    {"messages", kChat, kUsed, kArray, 0, 0, false, "", "", "required"},
    {"tools", kChat, kUsed, kArray, 0, 0, false, "", "", "none"},
    {"prompt", kCompl, kUsed, kAny, 0, 0, false, "", "", "required"},
    {"stream", kBothRoutes, kUsed, kBool, 0, 0, false, "", "", "false"},
    {"stream_options", kBothRoutes, kUsed, kObject, 0, 0, false, "", "", "none"},
    {"max_tokens", kChat, kUsed, kInt, 1, kIntMax, false, "", "", "until the context is full"},
    {"max_tokens", kCompl, kUsed, kInt, 0, kIntMax, false, "", "", "16; 0 only with echo"},
    {"max_completion_tokens", kBothRoutes, kUsed, kInt, 1, kIntMax, false, "", "", "as max_tokens"},
    {"temperature", kBothRoutes, kUsed, kNumber, 0, 2, false, "", "", "the model's, else 1"},
    {"top_p", kBothRoutes, kUsed, kNumber, 0, 1, true, "", "", "the model's, else 1"},
    {"top_k", kBothRoutes, kUsed, kInt, -1, kIntMax, false, "", "", "the model's, else 0 (all)"},
    {"min_p", kBothRoutes, kUsed, kNumber, 0, 1, false, "", "", "the model's, else 0"},
    {"presence_penalty", kBothRoutes, kUsed, kNumber, -2, 2, false, "", "", "0"},
    {"frequency_penalty", kBothRoutes, kUsed, kNumber, -2, 2, false, "", "", "0"},
    {"repetition_penalty", kBothRoutes, kUsed, kNumber, 0, 10, true, "", "", "the model's, else 1"},
    {"seed", kBothRoutes, kUsed, kInt, kInt64Min, kUint64End, false, "", "", "random"},
    {"n", kBothRoutes, kUsed, kInt, 1, 128, false, "", "", "1"},
    {"stop", kBothRoutes, kUsed, kAny, 0, 0, false, "", "", "none"},
    {"stop_token_ids", kBothRoutes, kUsed, kArray, 0, 0, false, "", "", "none"},
    {"timeout", kBothRoutes, kUsed, kNumber, 0, kSecondsMax, true, "", "", "--request-timeout"},
    {"priority", kBothRoutes, kUsed, kInt, -kIntMax, kIntMax, false, "", "", "0"},
    {"cache_salt", kBothRoutes, kUsed, kString, 0, 0, false, "", "", "none"},
    {"ignore_eos", kBothRoutes, kUsed, kBool, 0, 0, false, "", "", "false"},
    {"min_tokens", kBothRoutes, kUsed, kInt, 0, kIntMax, false, "", "", "0"},
    {"logit_bias", kBothRoutes, kUsed, kObject, 0, 0, false, "", "", "none"},
    {"bad_words", kBothRoutes, kUsed, kArray, 0, 0, false, "", "", "none"},
    {"allowed_token_ids", kBothRoutes, kUsed, kArray, 0, 0, false, "", "", "all"},
    {"skip_special_tokens", kBothRoutes, kUsed, kBool, 0, 0, false, "", "", "true"},
    {"logprobs", kChat, kUsed, kBool, 0, 0, false, "", "", "false"},
    {"logprobs", kCompl, kUsed, kInt, 0, 5, false, "", "", "none"},
    {"echo", kCompl, kUsed, kBool, 0, 0, false, "", "", "false"},
    {"prompt_logprobs", kBothRoutes, kUsed, kInt, 0, 20, false, "", "", "none"},
    {"top_logprobs", kChat, kUsed, kInt, 0, 20, false, "", "", "0"},
    {"parallel_tool_calls", kChat, kUsed, kBool, 0, 0, false, "", "", "true; false: one call a choice"},
    {"chat_template_kwargs", kChat, kUsed, kObject, 0, 0, false, "", "", "none"},
    {"reasoning_effort", kChat, kUsed, kString, 0, 0, false, "", "", "the template's"},

    // clang-format on
    {"top_logprobs", kCompl, kRefused, kAny, 0, 0, false, "0", "; send logprobs with a number"},
    {"chat_template_kwargs",
     kCompl,
     kRefused,
     kObject,
     0,
     0,
     false,
     "{}",
     "; a prompt has no template"},
    {"reasoning_effort", kCompl, kRefused, kString, 0, 0, false, "", "; a prompt has no template"},

    {"user", kBothRoutes, kHarmless, kString},
    {"store", kBothRoutes, kHarmless, kBool},
    {"metadata", kBothRoutes, kHarmless, kObject},
    {"service_tier", kBothRoutes, kHarmless, kString},
    {"parallel_tool_calls", kCompl, kHarmless, kBool},
    {"prompt_cache_key", kBothRoutes, kHarmless, kString},
    {"prompt_cache_retention", kBothRoutes, kHarmless, kString},
    {"safety_identifier", kBothRoutes, kHarmless, kString},

    {"tools", kCompl, kRefused, kArray, 0, 0, false, "[]"},
    {"tool_choice", kBothRoutes, kRefused, kAny, 0, 0, false, R"("none"|"auto")"},
    {"functions", kBothRoutes, kRefused, kArray, 0, 0, false, "[]"},
    {"function_call", kBothRoutes, kRefused, kAny, 0, 0, false, R"("none"|"auto")"},
    {"response_format", kBothRoutes, kRefused, kObject, 0, 0, false, R"({"type":"text"})"},
    {"best_of", kBothRoutes, kRefused, kInt, 1, 128, false, "1"},
    {"echo", kChat, kRefused, kBool, 0, 0, false, "false"},
    {"suffix", kBothRoutes, kRefused, kString, 0, 0, false, R"("")"},
    {"audio", kBothRoutes, kRefused, kObject},
    {"modalities", kBothRoutes, kRefused, kArray, 0, 0, false, R"(["text"])"},
    {"prediction", kBothRoutes, kRefused, kObject},
    {"web_search_options", kBothRoutes, kRefused, kObject},
    {"verbosity", kBothRoutes, kRefused, kString, 0, 0, false, R"("medium")"},
    {"structured_outputs", kBothRoutes, kRefused, kObject, 0, 0, false, "{}"},
    {"guided_json", kBothRoutes, kRefused, kAny},
    {"guided_regex", kBothRoutes, kRefused, kAny},
    {"guided_choice", kBothRoutes, kRefused, kAny},
    {"guided_grammar", kBothRoutes, kRefused, kAny},
    {"guided_decoding_backend", kBothRoutes, kRefused, kAny},
    {"guided_whitespace_pattern", kBothRoutes, kRefused, kAny},
    {"json_schema", kBothRoutes, kRefused, kAny},
    {"regex", kBothRoutes, kRefused, kAny},
    {"ebnf", kBothRoutes, kRefused, kAny},
    {"grammar", kBothRoutes, kRefused, kAny},
    {"use_beam_search", kBothRoutes, kRefused, kBool, 0, 0, false, "false"},
    {"length_penalty", kBothRoutes, kRefused, kNumber, -10, 10, false, "1|1.0"},
    {"typical_p", kBothRoutes, kRefused, kNumber, 0, 1, false, "1|1.0"},
    {"logits_processors", kBothRoutes, kRefused, kArray, 0, 0, false, "[]"},
    {"truncate_prompt_tokens", kBothRoutes, kRefused, kInt, -1, kIntMax},
    {"include_stop_str_in_output", kBothRoutes, kRefused, kBool, 0, 0, false, "false"},
    {"spaces_between_special_tokens", kBothRoutes, kRefused, kBool, 0, 0, false, "true"},
    {"detokenize", kBothRoutes, kRefused, kBool, 0, 0, false, "true"},
    {"return_token_ids", kBothRoutes, kRefused, kBool, 0, 0, false, "false"},
    {"return_tokens_as_token_ids", kBothRoutes, kRefused, kBool, 0, 0, false, "false"},
    {"add_generation_prompt", kBothRoutes, kRefused, kBool, 0, 0, false, "true"},
    {"continue_final_message", kBothRoutes, kRefused, kBool, 0, 0, false, "false"},
    {"add_special_tokens", kBothRoutes, kRefused, kBool, 0, 0, false, "true"},
    {"include_reasoning",
     kBothRoutes,
     kRefused,
     kBool,
     0,
     0,
     false,
     "true",
     "; reasoning is always sent apart, as reasoning_content"},
    {"separate_reasoning",
     kBothRoutes,
     kRefused,
     kBool,
     0,
     0,
     false,
     "true",
     "; reasoning is always sent apart, as reasoning_content"},
    {"enable_thinking",
     kBothRoutes,
     kRefused,
     kBool,
     0,
     0,
     false,
     "",
     R"(; send it as "chat_template_kwargs": {"enable_thinking": …})"},
    {"chat_template",
     kBothRoutes,
     kRefused,
     kString,
     0,
     0,
     false,
     "",
     "; the model's own template is used"},
    {"documents", kBothRoutes, kRefused, kArray, 0, 0, false, "[]"},
    {"mm_processor_kwargs", kBothRoutes, kRefused, kObject, 0, 0, false, "{}"},
});

bool applies(const FieldRule& rule, ApiRoute route) {
  return rule.routes == FieldRule::kBoth ||
         (rule.routes == FieldRule::kChatOnly) == (route == ApiRoute::kChat);
}

Status field_error(const FieldRule& rule, const std::string& what) {
  return invalid("{}: {}", rule.name, what).with_param(rule.name);
}

const char* type_words(FieldType type) {
  switch (type) {
    case FieldType::kBool:
      return "true or false";
    case FieldType::kInt:
      return "an integer";
    case FieldType::kNumber:
      return "a number";
    case FieldType::kString:
      return "a string";
    case FieldType::kObject:
      return "an object";
    case FieldType::kArray:
      return "an array";
    case FieldType::kAny:
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

bool has_type(const Json& json, FieldType type) {
  switch (type) {
    case FieldType::kBool:
      return json.is_bool();
    case FieldType::kInt:  // check_range() tells which numbers are integers
    case FieldType::kNumber:
      return json.is_number();
    case FieldType::kString:
      return json.is_string();
    case FieldType::kObject:
      return json.is_object();
    case FieldType::kArray:
      return json.is_array();
    case FieldType::kAny:
      break;
  }
  return true;
}

std::string range_words(const FieldRule& rule) {
  if (rule.max == kUint64End) {
    return fmt::format("{} to {}", INT64_MIN, UINT64_MAX);
  }
  if (rule.type == FieldType::kInt) {
    return fmt::format("{} to {}", static_cast<int64_t>(rule.min), static_cast<int64_t>(rule.max));
  }
  return fmt::format("{}{} to {}", rule.min_excluded ? "more than " : "", rule.min, rule.max);
}

Status check_range(const FieldRule& rule, const Json& json) {
  if (rule.type != FieldType::kInt && rule.type != FieldType::kNumber) {
    return ok_status();
  }
  const double value = json.as_number();
  const bool exact = rule.type != FieldType::kInt || json.is_uint() || as_integer(json).has_value();
  // Digits beyond 64 bits are a double as well: not exact, but what is wrong with them is the size.
  const bool too_long = !exact && std::abs(value) >= 0x1p63;
  if (too_long || value > rule.max || value < rule.min ||
      (rule.min_excluded && value == rule.min)) {
    return field_error(rule, fmt::format("got {}, wanted {}", to_string(json), range_words(rule)));
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

std::span<const FieldRule> field_rules() {
  return kRules;
}

Status check_fields(ApiRoute route, const JsonObject& body, int& unknown) {
  unknown = 0;
  for (const JsonMember& member : body) {
    const FieldRule* found = nullptr;
    for (const FieldRule& rule : kRules) {
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

std::optional<uint64_t> bits_field(const JsonObject& body, std::string_view name) {
  const Json* json = any_field(body, name);
  if (json == nullptr) {
    return std::nullopt;
  }
  return json->is_uint() ? json->as_uint() : static_cast<uint64_t>(*as_integer(*json));
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
