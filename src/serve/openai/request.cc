#include "serve/openai/request.h"

#include <algorithm>

#include "base/field_error.h"
#include "engine/request_check.h"
#include "serve/answer_form.h"
#include "serve/openai/fields.h"
#include "serve/openai/message_fields.h"
#include "serve/openai/rule_fields.h"
#include "serve/request_parts.h"

namespace tutti {

namespace {

// OpenAI's default of /v1/completions; chats have none.
constexpr int64_t kCompletionMaxTokens = 16;

Status read_stream_options(const JsonObject& body, CanonicalRequest& out) {
  out.stream = bool_field(body, "stream").value_or(false);
  const Json* options = any_field(body, "stream_options");
  if (options == nullptr) {
    return ok_status();
  }
  if (!out.stream) {
    return field_error("stream_options", "only allowed when stream is true");
  }
  const Json* usage = options->find("include_usage");
  if (usage != nullptr && !usage->is_null()) {
    if (!usage->is_bool()) {
      return field_error("stream_options.include_usage",
                         fmt::format("got {}, wanted true or false", usage->type_name()));
    }
    out.include_usage = usage->as_bool();
  }
  const Json* continuous = options->find("continuous_usage_stats");
  if (continuous != nullptr && !continuous->is_null() &&
      !(continuous->is_bool() && !continuous->as_bool())) {
    const std::string path = "stream_options.continuous_usage_stats";
    return error(StatusCode::kUnsupported, "{}: not supported yet", path).with_param(path);
  }
  return ok_status();
}

// read_parameters() has taken one of them.
Status read_max_tokens(OpenAiRoute route, const JsonObject& body, CanonicalRequest& out) {
  const auto old_name = int_field(body, "max_tokens");
  const auto new_name = int_field(body, "max_completion_tokens");
  if (old_name && new_name && *old_name != *new_name) {
    return field_error(
        "max_completion_tokens",
        fmt::format("got {}, but max_tokens is {}; send one of them", *new_name, *old_name));
  }
  GenerationRequest& generation = out.generation;
  out.length_field = old_name ? "max_tokens" : "max_completion_tokens";
  // As OpenAI and vLLM do with what was asked for. The default may be lowered to what fits.
  generation.max_tokens_must_fit = generation.max_tokens.has_value();
  if (!generation.max_tokens && route == OpenAiRoute::kCompletions) {
    generation.max_tokens = kCompletionMaxTokens;
  }
  generation.echo = route == OpenAiRoute::kCompletions && bool_field(body, "echo").value_or(false);
  return check_lengths(generation);
}

Status read_logprobs(OpenAiRoute route, const JsonObject& body, CanonicalRequest& out) {
  int32_t& top = out.generation.sampling.top_logprobs;
  top = -1;
  if (route == OpenAiRoute::kCompletions) {
    if (const auto count = int_field(body, "logprobs")) {
      top = static_cast<int32_t>(*count);
    }
  } else {
    const int64_t count = int_field(body, "top_logprobs").value_or(0);
    if (bool_field(body, "logprobs").value_or(false)) {
      top = static_cast<int32_t>(count);
    } else if (count > 0) {
      return field_error("top_logprobs", "only allowed when logprobs is true");
    }
  }
  out.logprobs = top >= 0;
  out.prompt_logprobs = out.generation.sampling.prompt_logprobs >= 0;
  if (out.prompt_logprobs && out.stream) {
    return field_error("prompt_logprobs", "not sent in streams; leave out stream");
  }
  return ok_status();
}

Status read_stop(const JsonObject& body, const RequestLimits& limits, GenerationRequest& out) {
  const Json* stop = any_field(body, "stop");
  return stop == nullptr ? ok_status() : read_stops(*stop, "stop", limits, out.stop);
}

Status read_stop_token_ids(const JsonObject& body,
                           const ModelInfo& info,
                           const RequestLimits& limits,
                           GenerationRequest& out) {
  const Json* stop = any_field(body, "stop_token_ids");
  if (stop == nullptr) {
    return ok_status();
  }
  const JsonArray& items = stop->as_array();
  if (items.size() > static_cast<size_t>(limits.stop_token_ids)) {
    return field_error("stop_token_ids",
                       fmt::format("got {} ids, at most {}", items.size(), limits.stop_token_ids));
  }
  TUTTI_TRY(out.stop_token_ids, read_token_ids(items, "stop_token_ids", info.vocab_size));
  return ok_status();
}

Status add_prompt(const Json& json,
                  const std::string& path,
                  const ModelInfo& info,
                  std::vector<TextPrompt>& out) {
  if (json.is_string()) {
    out.emplace_back(json.as_string());
    return ok_status();
  }
  if (!json.is_array()) {
    return field_error(
        path, fmt::format("got {}, wanted a string or a list of token ids", json.type_name()));
  }
  const JsonArray& items = json.as_array();
  if (items.empty()) {
    return field_error(path, "empty; wanted at least one token id");
  }
  if (static_cast<int64_t>(items.size()) > info.max_context) {
    return error(StatusCode::kContextLength,
                 "{}: {} token ids are more than the model's context of {}",
                 path,
                 items.size(),
                 info.max_context)
        .with_param(path);
  }
  TUTTI_TRY(std::vector<int32_t> ids, read_token_ids(items, path, info.vocab_size));
  out.emplace_back(std::move(ids));
  return ok_status();
}

Status read_prompts(const JsonObject& body,
                    const ModelInfo& info,
                    const RequestLimits& limits,
                    CanonicalRequest& out) {
  const Json* prompt = any_field(body, "prompt");
  if (prompt == nullptr) {
    return field_error(
        "prompt",
        std::string("missing; wanted a string, a list of token ids, or a list of these") +
            (body.contains("messages") ? "; messages are for /v1/chat/completions" : ""));
  }
  const bool list = prompt->is_array() && !prompt->as_array().empty() &&
                    (prompt->as_array()[0].is_string() || prompt->as_array()[0].is_array());
  if (!list) {
    return add_prompt(*prompt, "prompt", info, out.prompts);
  }
  const JsonArray& items = prompt->as_array();
  if (items.size() > static_cast<size_t>(limits.prompts)) {
    return field_error("prompt",
                       fmt::format("got {} prompts, at most {}", items.size(), limits.prompts));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    TUTTI_RETURN_IF_ERROR(add_prompt(items[i], fmt::format("prompt[{}]", i), info, out.prompts));
  }
  return ok_status();
}

// OpenAI's form of a tool; what the schema says is between client and model.
Status check_tool(const Json& tool, const std::string& path) {
  const Json* type = tool.find("type");
  if (type == nullptr || !type->is_string()) {
    return field_error(path + ".type", "missing or no string; wanted \"function\"");
  }
  if (type->as_string() != "function") {
    return error(StatusCode::kUnsupported,
                 "{}.type: tools of type {} are not supported yet",
                 path,
                 type->as_string().substr(0, 80))
        .with_param(path + ".type");
  }
  const Json* function = tool.find("function");
  const Json* name = function == nullptr ? nullptr : function->find("name");
  if (name == nullptr || !name->is_string() || name->as_string().empty()) {
    return field_error(path + ".function.name", "missing or no string");
  }
  const Json* parameters = function->find("parameters");
  if (parameters != nullptr && !parameters->is_null() && !parameters->is_object()) {
    return field_error(path + ".function.parameters",
                       fmt::format("got {}, wanted a JSON schema", parameters->type_name()));
  }
  return ok_status();
}

Status read_tools(const JsonObject& body, const RequestLimits& limits, CanonicalRequest& out) {
  const Json* tools = any_field(body, "tools");
  const Json* choice = any_field(body, "tool_choice");
  if (tools == nullptr || tools->as_array().empty()) {
    return choice == nullptr ? ok_status() : take_tool_choice(*choice, "tool_choice", out);
  }
  const size_t count = tools->as_array().size();
  for (size_t i = 0; i < count; ++i) {
    TUTTI_RETURN_IF_ERROR(check_tool(tools->as_array()[i], fmt::format("tools[{}]", i)));
  }
  out.chat.one_call = !bool_field(body, "parallel_tool_calls").value_or(true);
  TUTTI_RETURN_IF_ERROR(take_tools(tools->as_array(), limits, out));
  return choice == nullptr ? ok_status() : take_tool_choice(*choice, "tool_choice", out);
}

// Three names of one switch.
Status read_thinking(const JsonObject& body, ChatInput& out) {
  for (const char* name : {"enable_thinking", "think", "thinking"}) {
    const Json* value = any_field(body, name);
    if (value == nullptr) {
      continue;
    }
    out.reasoning_field = name;
    if (value->is_bool()) {
      out.reasoning = value->as_bool();
      continue;
    }
    TUTTI_TRY(const std::string type, string_member(*value, "type", name));
    if (type != "enabled" && type != "adaptive" && type != "disabled") {
      return field_error(
          fmt::format("{}.type", name),
          fmt::format("got \"{}\", wanted enabled, adaptive or disabled", type.substr(0, 80)));
    }
    out.reasoning = type != "disabled";
  }
  return ok_status();
}

// How the prompt ends.
Status read_ending(const JsonObject& body, ChatInput& out) {
  const auto opens = bool_field(body, "add_generation_prompt");
  out.continue_final_message = bool_field(body, "continue_final_message").value_or(false);
  out.add_generation_prompt = opens.value_or(!out.continue_final_message);
  return opens.value_or(false) && out.continue_final_message
             ? field_error("continue_final_message", "contradicts add_generation_prompt")
             : ok_status();
}

Status read_chat(const JsonObject& body, const RequestLimits& limits, CanonicalRequest& out) {
  const Json* messages = any_field(body, "messages");
  if (messages == nullptr) {
    const bool text = body.contains("prompt") || body.contains("input");
    return field_error(
        "messages",
        std::string("missing; wanted a list of messages, [{\"role\": \"user\", \"content\": "
                    "\"…\"}]") +
            (text ? "; a bare prompt is for /v1/completions" : ""));
  }
  TUTTI_TRY(out.chat.messages, normalise_messages(messages->as_array(), limits));
  TUTTI_RETURN_IF_ERROR(read_tools(body, limits, out));
  if (const Json* kwargs = any_field(body, "chat_template_kwargs")) {
    out.chat.template_kwargs = kwargs->as_object();
  }
  TUTTI_RETURN_IF_ERROR(read_thinking(body, out.chat));
  TUTTI_RETURN_IF_ERROR(read_ending(body, out.chat));
  if (const auto effort = string_field(body, "reasoning_effort")) {
    constexpr std::string_view kLevels[] = {
        "none", "minimal", "low", "medium", "high", "xhigh", "max"};
    if (std::find(std::begin(kLevels), std::end(kLevels), *effort) == std::end(kLevels)) {
      return field_error(
          "reasoning_effort",
          fmt::format("got \"{}\", wanted none, minimal, low, medium, high, xhigh or max",
                      effort->substr(0, 80)));
    }
    // Templates that know effort levels read this variable; others ignore it.
    if (!out.chat.template_kwargs.contains("reasoning_effort")) {
      out.chat.template_kwargs.append("reasoning_effort", Json(*effort));
    }
  }
  return ok_status();
}

}  // namespace

Result<CanonicalRequest> parse_openai_request(OpenAiRoute route,
                                              const JsonObject& body,
                                              const ParseInput& input) {
  const ModelInfo& info = input.model.info();
  const RequestLimits& limits = input.limits;
  CanonicalRequest out;
  GenerationRequest& generation = out.generation;
  generation.sampling = input.model.defaults().sampling;
  TUTTI_RETURN_IF_ERROR(read_stream_options(body, out));
  generation.sampling.seed = input.random_seed;
  TUTTI_RETURN_IF_ERROR(
      read_parameters(openai_fields(), static_cast<int>(route), body, generation));
  TUTTI_RETURN_IF_ERROR(read_max_tokens(route, body, out));
  TUTTI_RETURN_IF_ERROR(read_logprobs(route, body, out));
  TUTTI_RETURN_IF_ERROR(read_stop(body, limits, generation));
  TUTTI_RETURN_IF_ERROR(read_stop_token_ids(body, info, limits, generation));
  TUTTI_RETURN_IF_ERROR(read_rules(body, info, limits, generation));
  TUTTI_TRY(out.wish.answer, read_answer_form(body));
  out.timeout_seconds = number_field(body, "timeout");
  out.token_ids = bool_field(body, "return_token_ids").value_or(false);
  if (const auto keep = int_field(body, "truncate_prompt_tokens"); keep && *keep != 0) {
    out.keep_prompt_tokens = *keep;
  }
  const int64_t n = generation.n;
  if (route == OpenAiRoute::kChat) {
    TUTTI_RETURN_IF_ERROR(read_chat(body, limits, out));
  } else {
    TUTTI_RETURN_IF_ERROR(read_prompts(body, info, limits, out));
  }
  const int64_t prompts = std::max<int64_t>(1, static_cast<int64_t>(out.prompts.size()));
  if (prompts * n > limits.choices) {
    return field_error(
        "n",
        fmt::format(
            "{} prompts x n = {} choices, at most {}", prompts, prompts * n, limits.choices));
  }
  return out;
}

}  // namespace tutti
