#include "serve/request_fields.h"

#include <cmath>
#include <vector>

namespace tutti {

namespace {

using enum FieldUse;
using enum ParameterType;
using Routes = FieldRule::Routes;
constexpr Routes kBoth = FieldRule::kBoth;
constexpr Routes kChat = FieldRule::kChatOnly;
constexpr Routes kCompl = FieldRule::kCompletionsOnly;
constexpr double kIntMax = 2147483647;
constexpr double kSecondsMax = 2'592'000;  // 30 days; the server's own limit is below
constexpr ValueRange kNoRange;
constexpr ValueRange kCount{0, kIntMax};

// A field that fills the parameter of its name. `narrower`: what OpenAI allows of its range.
FieldRule fills(const char* name, Routes routes, std::optional<ValueRange> narrower = {}) {
  const RequestParameter& parameter = request_parameter(name);
  return {.name = name,
          .routes = routes,
          .use = kUsed,
          .type = parameter.type,
          .range = narrower.value_or(parameter.range),
          .parameter = &parameter,
          .fallback = parameter.fallback,
          .help = parameter.help};
}

// A second name of a parameter's field.
FieldRule also_fills(const char* name, Routes routes, const FieldRule& first) {
  FieldRule rule = first;
  rule.name = name;
  rule.routes = routes;
  return rule;
}

// A field of the request around the generation.
FieldRule used(const char* name,
               Routes routes,
               ParameterType type,
               const char* fallback,
               const char* help,
               ValueRange range = kNoRange) {
  return {.name = name,
          .routes = routes,
          .use = kUsed,
          .type = type,
          .range = range,
          .fallback = fallback,
          .help = help};
}

FieldRule harmless(const char* name, Routes routes, ParameterType type) {
  return {.name = name, .routes = routes, .use = kHarmless, .type = type, .range = {}};
}

FieldRule refused(const char* name,
                  Routes routes,
                  ParameterType type,
                  const char* neutral = "",
                  const char* remedy = "",
                  ValueRange range = kNoRange) {
  return {.name = name,
          .routes = routes,
          .use = kRefused,
          .type = type,
          .range = range,
          .neutral = neutral,
          .remedy = remedy};
}

std::vector<FieldRule> used_rules() {
  const ValueRange top = request_parameter("top_logprobs").range;
  const FieldRule max_tokens = fills("max_tokens", kChat, ValueRange{1, kIntMax});
  FieldRule max_tokens_or_16 = fills("max_tokens", kCompl, kCount);
  max_tokens_or_16.fallback = "16; 0 only with echo";
  FieldRule completion_tokens = also_fills("max_completion_tokens", kBoth, max_tokens);
  completion_tokens.fallback = "as max_tokens";
  return {
      // clang-format off
      used("model", kBoth, kString, "the only model", "Name of the model"),
      used("messages", kChat, kList, "required", "The chat so far"),
      used("tools", kChat, kList, "none", "Functions that the model may call"),
      used("prompt", kCompl, kSeveral, "required", "Text, token ids, or a list of these"),
      used("stream", kBoth, kBool, "false", "Send the answer as it comes"),
      used("stream_options", kBoth, kObject, "none", "include_usage: a last event with the counts of tokens"),
      max_tokens,
      max_tokens_or_16,
      completion_tokens,
      fills("temperature", kBoth, ValueRange{0, 2}),
      fills("top_p", kBoth),
      fills("top_k", kBoth, ValueRange{-1, kIntMax}),
      fills("min_p", kBoth),
      fills("presence_penalty", kBoth),
      fills("frequency_penalty", kBoth),
      fills("repetition_penalty", kBoth, ValueRange{0, 10, true}),
      fills("seed", kBoth),
      fills("n", kBoth),
      fills("stop", kBoth),
      fills("stop_token_ids", kBoth),
      used("timeout", kBoth, kNumber, "‹request_timeout›", "Seconds of the whole request", {0, kSecondsMax, true}),
      fills("priority", kBoth),
      fills("cache_salt", kBoth),
      fills("ignore_eos", kBoth),
      fills("min_tokens", kBoth),
      fills("logit_bias", kBoth),
      fills("bad_words", kBoth),
      fills("allowed_token_ids", kBoth),
      fills("skip_special_tokens", kBoth),
      used("logprobs", kChat, kBool, "false", "Send the log-probability of each token"),
      used("logprobs", kCompl, kInteger, "none", "The same, and of so many other tokens", {0, 5}),
      used("echo", kCompl, kBool, "false", "Begin the answer with the prompt"),
      fills("prompt_logprobs", kBoth),
      used("top_logprobs", kChat, kInteger, "0", "Other tokens whose log-probabilities are sent", top),
      used("parallel_tool_calls", kChat, kBool, "true", "false: one call a choice at most"),
      used("chat_template_kwargs", kChat, kObject, "none", "More variables of the chat template"),
      used("reasoning_effort", kChat, kString, "the template's", "The template's variable of that name"),
      // clang-format on
  };
}

constexpr const char* kNoTemplate = "; a prompt has no template";
constexpr const char* kReasoningApart = "; reasoning is always sent apart, as reasoning_content";

std::vector<FieldRule> unused_rules() {
  return {
      // clang-format off
      refused("top_logprobs", kCompl, kSeveral, "0", "; send logprobs with a number"),
      refused("chat_template_kwargs", kCompl, kObject, "{}", kNoTemplate),
      refused("reasoning_effort", kCompl, kString, "", kNoTemplate),
      harmless("user", kBoth, kString),
      harmless("store", kBoth, kBool),
      harmless("metadata", kBoth, kObject),
      harmless("service_tier", kBoth, kString),
      harmless("parallel_tool_calls", kCompl, kBool),
      harmless("prompt_cache_key", kBoth, kString),
      harmless("prompt_cache_retention", kBoth, kString),
      harmless("safety_identifier", kBoth, kString),
      refused("tools", kCompl, kList, "[]"),
      refused("tool_choice", kBoth, kSeveral, R"("none"|"auto")"),
      refused("functions", kBoth, kList, "[]"),
      refused("function_call", kBoth, kSeveral, R"("none"|"auto")"),
      refused("response_format", kBoth, kObject, R"({"type":"text"})"),
      refused("best_of", kBoth, kInteger, "1", "", {1, 128}),
      refused("echo", kChat, kBool, "false"),
      refused("suffix", kBoth, kString, R"("")"),
      refused("audio", kBoth, kObject),
      refused("modalities", kBoth, kList, R"(["text"])"),
      refused("prediction", kBoth, kObject),
      refused("web_search_options", kBoth, kObject),
      refused("verbosity", kBoth, kString, R"("medium")"),
      refused("structured_outputs", kBoth, kObject, "{}"),
      refused("guided_json", kBoth, kSeveral),
      refused("guided_regex", kBoth, kSeveral),
      refused("guided_choice", kBoth, kSeveral),
      refused("guided_grammar", kBoth, kSeveral),
      refused("guided_decoding_backend", kBoth, kSeveral),
      refused("guided_whitespace_pattern", kBoth, kSeveral),
      refused("json_schema", kBoth, kSeveral),
      refused("regex", kBoth, kSeveral),
      refused("ebnf", kBoth, kSeveral),
      refused("grammar", kBoth, kSeveral),
      refused("use_beam_search", kBoth, kBool, "false"),
      refused("length_penalty", kBoth, kNumber, "1|1.0", "", {-10, 10}),
      refused("typical_p", kBoth, kNumber, "1|1.0", "", {0, 1}),
      refused("logits_processors", kBoth, kList, "[]"),
      refused("truncate_prompt_tokens", kBoth, kInteger, "", "", {-1, kIntMax}),
      refused("include_stop_str_in_output", kBoth, kBool, "false"),
      refused("spaces_between_special_tokens", kBoth, kBool, "true"),
      refused("detokenize", kBoth, kBool, "true"),
      refused("return_token_ids", kBoth, kBool, "false"),
      refused("return_tokens_as_token_ids", kBoth, kBool, "false"),
      refused("add_generation_prompt", kBoth, kBool, "true"),
      refused("continue_final_message", kBoth, kBool, "false"),
      refused("add_special_tokens", kBoth, kBool, "true"),
      refused("include_reasoning", kBoth, kBool, "true", kReasoningApart),
      refused("separate_reasoning", kBoth, kBool, "true", kReasoningApart),
      refused("enable_thinking", kBoth, kBool, "", R"(; send it as "chat_template_kwargs": {"enable_thinking": …})"),
      refused("chat_template", kBoth, kString, "", "; the model's own template is used"),
      refused("documents", kBoth, kList, "[]"),
      refused("mm_processor_kwargs", kBoth, kObject, "{}"),
      // clang-format on
  };
}

const std::vector<FieldRule>& rules() {
  static const std::vector<FieldRule> kAll = [] {
    std::vector<FieldRule> all = used_rules();
    const std::vector<FieldRule> unused = unused_rules();
    all.insert(all.end(), unused.begin(), unused.end());
    return all;
  }();
  return kAll;
}

bool applies(const FieldRule& rule, ApiRoute route) {
  return rule.routes == FieldRule::kBoth ||
         (rule.routes == FieldRule::kChatOnly) == (route == ApiRoute::kChat);
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

// nullopt: no single value; parse_api_request() reads it.
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

std::span<const FieldRule> field_rules() {
  return rules();
}

Status check_fields(ApiRoute route, const JsonObject& body, int& unknown) {
  unknown = 0;
  for (const JsonMember& member : body) {
    const FieldRule* found = nullptr;
    for (const FieldRule& rule : rules()) {
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

Status read_parameters(ApiRoute route, const JsonObject& body, GenerationRequest& out) {
  for (const FieldRule& rule : rules()) {
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
