#include "serve/anthropic/anthropic.h"

#include <algorithm>
#include <array>

#include "base/field_error.h"
#include "base/utf8.h"
#include "engine/request_check.h"
#include "serve/field_table.h"
#include "serve/request_parts.h"

namespace tutti {

namespace {

using enum ParameterType;
constexpr double kIntMax = 2147483647;

// The second pair is where Xinference has them.
constexpr DialectRoute kRoutes[] = {
    {.path = "/v1/messages", .id_prefix = "msg_", .what = "The next message of a chat (Anthropic)"},
    {.path = "/v1/messages/count_tokens",
     .id_prefix = nullptr,
     .what = "Tokens of a prompt (Anthropic)"},
    {.path = "/anthropic/v1/messages", .id_prefix = "msg_", .what = "As /v1/messages"},
    {.path = "/anthropic/v1/messages/count_tokens",
     .id_prefix = nullptr,
     .what = "As /v1/messages/count_tokens"},
};

// Bits of FieldRule::routes.
constexpr unsigned kMessages = 5;
constexpr unsigned kAll = 15;

constexpr bool counts(int route) {
  return kRoutes[route].id_prefix == nullptr;
}

std::span<const FieldRule> anthropic_fields() {
  static const std::vector<FieldRule> kFields = joined(
      {
          // clang-format off
      used("model", kAll, kString, "the only model", "Name of the model"),
      used("messages", kAll, kList, "required", "The chat so far; one that ends with the assistant's words is gone on with"),
      used("system", kAll, kSeveral, "none", "What the model is told first: text, or a list of text blocks"),
      used("tools", kAll, kList, "none", "Functions that the model may call"),
      used("tool_choice", kAll, kObject, "{\"type\": \"auto\"}", "Whether it may call them; disable_parallel_tool_use: one call at most"),
      used("thinking", kAll, kObject, "the template's", "{\"type\": \"enabled\"} or \"disabled\": switches reasoning where the model can"),
      used("output_config", kAll, kObject, "none", "format: the form of the answer; effort: the template's variable reasoning_effort"),
      used("stream", kMessages, kBool, "false", "Send the answer as it comes"),
      fills("max_tokens", kMessages, ValueRange{1, kIntMax}),
      used("stop_sequences", kMessages, kList, "none", "Strings that end the answer"),
      harmless("metadata", kAll, kObject),
      harmless("service_tier", kAll, kString),
      harmless("inference_geo", kAll, kString),
      harmless("speed", kAll, kString),
      harmless("cache_control", kAll, kObject),
      harmless("context_management", kAll, kObject),
      harmless("betas", kAll, kList),
      harmless("diagnostics", kAll, kSeveral),
      harmless("user_profile_id", kAll, kString),
      harmless("workspace_id", kAll, kString),
      harmless("max_tokens", kAll & ~kMessages, kSeveral),
      harmless("stream", kAll & ~kMessages, kSeveral),
      refused("mcp_servers", kAll, kList, "[]"),
      refused("container", kAll, kSeveral),
      refused("output_format", kAll, kObject, R"({"type":"text"})", "; send it as output_config.format"),
          // clang-format on
      },
      generation_rows(kMessages));
  return kFields;
}

constexpr FieldAlias kAliases[] = {
    {"stop", "did you mean stop_sequences?"},
    {"max_completion_tokens", "did you mean max_tokens?"},
    {"max_tokens_to_sample", "did you mean max_tokens?"},
    {"reasoning_effort", "send output_config.effort"},
};

Status read_tools(const JsonObject& body, const RequestLimits& limits, CanonicalRequest& out) {
  JsonArray tools;
  if (const Json* given = any_field(body, "tools")) {
    for (size_t i = 0; i < given->as_array().size(); ++i) {
      const Json& tool = given->as_array()[i];
      const std::string path = fmt::format("tools[{}]", i);
      const Json* type = tool.find("type");
      if (type != nullptr && type->is_string() && type->as_string() != "custom") {
        return unsupported_at(path + ".type",
                              fmt::format("tools of type {} are", type->as_string().substr(0, 80)));
      }
      TUTTI_TRY(Json function, function_tool(tool, path, "input_schema"));
      tools.push_back(std::move(function));
    }
  }
  TUTTI_RETURN_IF_ERROR(take_tools(std::move(tools), limits, out));
  const Json* choice = any_field(body, "tool_choice");
  if (choice == nullptr || out.chat.tools == nullptr) {
    return ok_status();
  }
  const Json* single = choice->find("disable_parallel_tool_use");
  out.chat.one_call = single != nullptr && single->is_bool() && single->as_bool();
  TUTTI_TRY(const std::string type, string_member(*choice, "type", "tool_choice"));
  if (type == "tool") {
    TUTTI_TRY(std::string name, string_member(*choice, "name", "tool_choice"));
    const Json function = Json::object(
        {{"type", "function"}, {"function", Json::object({{"name", std::move(name)}})}});
    return take_tool_choice(function, "tool_choice", out);
  }
  if (type != "auto" && type != "any" && type != "none") {
    return field_error(
        "tool_choice.type",
        fmt::format("got \"{}\", wanted auto, any, tool or none", type.substr(0, 80)));
  }
  return take_tool_choice(Json(type == "any" ? "required" : type), "tool_choice", out);
}

Status read_thinking(const JsonObject& body, CanonicalRequest& out) {
  out.chat.reasoning_field = "thinking";
  if (const Json* thinking = any_field(body, "thinking")) {
    TUTTI_TRY(const std::string type, string_member(*thinking, "type", "thinking"));
    if (type != "enabled" && type != "disabled" && type != "adaptive") {
      return field_error(
          "thinking.type",
          fmt::format("got \"{}\", wanted enabled, adaptive or disabled", type.substr(0, 80)));
    }
    out.chat.reasoning = type != "disabled";
  }
  const Json* config = any_field(body, "output_config");
  const Json* effort = config == nullptr ? nullptr : config->find("effort");
  if (effort != nullptr && effort->is_string()) {
    out.chat.template_kwargs.append("reasoning_effort", *effort);
  }
  const Json* format = config == nullptr ? nullptr : config->find("format");
  if (format == nullptr || format->is_null()) {
    return ok_status();
  }
  const Json* schema = format->find("schema");
  return take_response_format(
      schema == nullptr ? *format
                        : Json::object({{"type", "json_schema"},
                                        {"json_schema",
                                         Json::object({{"name", "output"}, {"schema", *schema}})}}),
      "output_config.format",
      out);
}

class Anthropic final : public Dialect {
 public:
  std::span<const DialectRoute> routes() const override { return kRoutes; }

  std::span<const FieldRule> fields() const override { return anthropic_fields(); }

  std::span<const FieldAlias> aliases() const override { return kAliases; }

  Result<CanonicalRequest> parse(int route,
                                 const JsonObject& body,
                                 const ParseInput& input) const override {
    CanonicalRequest out;
    GenerationRequest& generation = out.generation;
    generation.sampling = input.model.defaults().sampling;
    generation.sampling.seed = input.random_seed;
    TUTTI_RETURN_IF_ERROR(read_parameters(anthropic_fields(), route, body, generation));
    TUTTI_RETURN_IF_ERROR(check_lengths(generation));
    TUTTI_TRY(out.chat.messages, chat_of_anthropic(body, input.limits));
    TUTTI_RETURN_IF_ERROR(read_tools(body, input.limits, out));
    TUTTI_RETURN_IF_ERROR(read_thinking(body, out));
    const Json& last = out.chat.messages.as_array().back();
    out.chat.continue_final_message =
        last.find("role")->as_string() == "assistant" && last.find("tool_calls") == nullptr;
    if (counts(route)) {
      TUTTI_TRY(const int64_t tokens, count_prompt_tokens(out, input.model));
      out.at_once = fmt::format(R"({{"input_tokens":{}}})", tokens);
      return out;
    }
    if (const Json* stops = any_field(body, "stop_sequences")) {
      TUTTI_RETURN_IF_ERROR(read_stops(*stops, "stop_sequences", input.limits, generation.stop));
    }
    out.stream = bool_field(body, "stream").value_or(false);
    out.timeout_seconds = number_field(body, "timeout");
    return out;
  }

  std::unique_ptr<ReplyFormat> format(int, ReplyEnvelope envelope) const override {
    return make_anthropic_format(std::move(envelope));
  }

  std::string error_body(const ApiError& error, std::string_view request_id) const override {
    return to_string(
        Json::object({{"type", "error"},
                      {"error",
                       Json::object({{"type", anthropic_error_type(error_status(error))},
                                     {"message", replace_invalid_utf8(error.message)}})},
                      {"request_id", request_id.empty() ? Json() : Json(request_id)}}));
  }

  // Their clients know 529 for a server that has no room; 429 is what a key has used up.
  int error_status(const ApiError& error) const override {
    return error.http_status == 503 ? 529 : error.http_status;
  }

  const char* request_id_header() const override { return "request-id"; }
};

}  // namespace

const char* anthropic_error_type(int http_status) {
  struct Row {
    int status;
    const char* type;
  };

  constexpr std::array<Row, 9> kTypes{{{401, "authentication_error"},
                                       {403, "permission_error"},
                                       {404, "not_found_error"},
                                       {413, "request_too_large"},
                                       {429, "rate_limit_error"},
                                       {503, "overloaded_error"},
                                       {504, "timeout_error"},
                                       {529, "overloaded_error"},
                                       {499, "api_error"}}};
  for (const Row& row : kTypes) {
    if (row.status == http_status) {
      return row.type;
    }
  }
  return http_status >= 500 ? "api_error" : "invalid_request_error";
}

const Dialect& anthropic_dialect() {
  static const Anthropic kDialect;
  return kDialect;
}

}  // namespace tutti
