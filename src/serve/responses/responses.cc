#include "serve/responses/responses.h"

#include <algorithm>

#include "base/field_error.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "engine/request_check.h"
#include "serve/field_table.h"
#include "serve/openai/message_fields.h"
#include "serve/request_parts.h"
#include "serve/response_store.h"

namespace tutti {

namespace {

using enum ParameterType;
constexpr double kIntMax = 2147483647;

constexpr DialectRoute kRoutes[] = {
    {.path = "/v1/responses", .id_prefix = "resp_", .what = "Answer to a list of items"},
    {.path = "/v1/responses/input_tokens", .id_prefix = nullptr, .what = "Tokens of such a list"},
};

constexpr unsigned kCreate = 1;
constexpr unsigned kBoth = 3;

std::span<const FieldRule> responses_fields() {
  static const std::vector<FieldRule> kFields = [] {
    FieldRule length =
        also_fills("max_output_tokens", kCreate, fills("max_tokens", 0, ValueRange{1, kIntMax}));
    return joined(
        {
            length,
            // clang-format off
        used("model", kBoth, kString, "the only model", "Name of the model"),
        used("input", kBoth, kSeveral, "required", "What the user says: text, or a list of items"),
        used("instructions", kBoth, kString, "none", "What the model is told first"),
        used("previous_response_id", kBoth, kString, "none", "The stored response that this one goes on with"),
        used("store", kCreate, kBool, "true, unless ‹no_store›", "Keep the response for 30 days, for the key that made it"),
        used("stream", kCreate, kBool, "false", "Send the answer as it comes"),
        used("tools", kBoth, kList, "none", "Functions that the model may call"),
        used("tool_choice", kBoth, kSeveral, "\"auto\"", "Whether it may call them"),
        used("parallel_tool_calls", kBoth, kBool, "true", "false: one call at most"),
        used("reasoning", kBoth, kObject, "the template's", "effort: the template's variable reasoning_effort"),
        used("text", kBoth, kObject, "none", "format: the form of the answer"),
        used("metadata", kCreate, kObject, "none", "Repeated in the response"),
        used("stop", kCreate, kSeveral, "none", "Strings that end the answer"),
        harmless("include", kBoth, kList),
        harmless("user", kBoth, kSeveral),
        harmless("safety_identifier", kBoth, kString),
        harmless("prompt_cache_key", kBoth, kString),
        harmless("prompt_cache_retention", kBoth, kString),
        harmless("service_tier", kBoth, kString),
        harmless("stream_options", kBoth, kObject),
        harmless("max_tool_calls", kBoth, kSeveral),
        refused("background", kBoth, kBool, "false"),
        refused("truncation", kBoth, kString, R"("disabled")"),
        refused("top_logprobs", kBoth, kInteger, "0", "; /v1/chat/completions has them", {0, 20}),
        refused("conversation", kBoth, kSeveral, "", "; send previous_response_id"),
        refused("prompt", kBoth, kObject),
        refused("context_management", kBoth, kSeveral, "[]"),
        refused("moderation", kBoth, kSeveral),
            // clang-format on
        },
        generation_rows(kCreate));
  }();
  return kFields;
}

constexpr FieldAlias kAliases[] = {
    {"messages", "did you mean input?"},
    {"max_tokens", "did you mean max_output_tokens?"},
    {"max_completion_tokens", "did you mean max_output_tokens?"},
    {"response_format", "send text.format"},
    {"reasoning_effort", "send reasoning.effort"},
};

/// Of stored responses one chain is gone back so far.
constexpr int kLongestChain = 1000;

// What was said before, oldest first.
Status add_previous(const std::string& id, const ParseInput& input, ItemChat& chat) {
  if (input.responses == nullptr) {
    return error(StatusCode::kUnsupported,
                 "previous_response_id: this server stores no responses; send all items as input")
        .with_param("previous_response_id");
  }
  std::vector<Json> turns;
  std::string next = id;
  while (!next.empty()) {
    TUTTI_TRY(const StoredResponse found, input.responses->find(next, input.owner));
    if (turns.size() >= kLongestChain) {
      return field_error("previous_response_id",
                         fmt::format("the chain is longer than {} responses", kLongestChain));
    }
    TUTTI_TRY(Json items, parse_json(found.input));
    TUTTI_TRY(const Json response, parse_json(found.response));
    for (const Json& item : response.find("output")->as_array()) {
      items.as_array().push_back(item);
    }
    turns.push_back(std::move(items));
    next = found.previous;
  }
  std::reverse(turns.begin(), turns.end());
  for (const Json& turn : turns) {
    for (const Json& item : turn.as_array()) {
      TUTTI_RETURN_IF_ERROR(chat.add(item, "previous_response_id"));
    }
  }
  return ok_status();
}

// What stands for a stored item becomes that item.
Status resolve_references(const ParseInput& input, JsonArray& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    const Json* type = items[i].find("type");
    if (type == nullptr || !type->is_string() || type->as_string() != "item_reference") {
      continue;
    }
    const std::string path = fmt::format("input[{}]", i);
    TUTTI_TRY(const std::string id, string_member(items[i], "id", path));
    if (input.responses == nullptr) {
      return error(StatusCode::kUnsupported,
                   "{}: this server stores no responses; send the item itself",
                   path)
          .with_param(path);
    }
    TUTTI_TRY(const std::string item, input.responses->find_item(id, input.owner));
    TUTTI_TRY(items[i], parse_json(item));
  }
  return ok_status();
}

// As it is kept: a list of items.
Result<JsonArray> items_of(const JsonObject& body, const RequestLimits& limits) {
  const Json* input = any_field(body, "input");
  if (input == nullptr) {
    return field_error("input", "missing; wanted text or a list of items");
  }
  JsonArray items;
  if (input->is_string()) {
    items.push_back(Json::object(
        {{"type", "message"},
         {"role", "user"},
         {"content", Json::array({Json::object({{"type", "input_text"}, {"text", *input}})})}}));
  } else if (input->is_array()) {
    items = input->as_array();
  } else {
    return field_error("input",
                       fmt::format("got {}, wanted text or a list of items", input->type_name()));
  }
  if (items.empty() || items.size() > static_cast<size_t>(limits.messages)) {
    return field_error("input",
                       fmt::format("got {} items, wanted 1 to {}", items.size(), limits.messages));
  }
  return items;
}

Status read_tools(const JsonObject& body, const RequestLimits& limits, CanonicalRequest& out) {
  JsonArray tools;
  if (const Json* given = any_field(body, "tools")) {
    for (const Json& tool : given->as_array()) {
      const std::string path = fmt::format("tools[{}]", tools.size());
      TUTTI_TRY(const std::string type, string_member(tool, "type", path));
      if (type != "function") {
        return unsupported_at(path + ".type",
                              fmt::format("tools of type {} are", type.substr(0, 80)));
      }
      TUTTI_TRY(Json function, function_tool(tool, path, "parameters"));
      tools.push_back(std::move(function));
    }
  }
  TUTTI_RETURN_IF_ERROR(take_tools(std::move(tools), limits, out));
  out.chat.one_call = !bool_field(body, "parallel_tool_calls").value_or(true);
  const Json* choice = any_field(body, "tool_choice");
  if (choice == nullptr) {
    return ok_status();
  }
  const Json* name = choice->find("name");
  return take_tool_choice(
      name == nullptr
          ? *choice
          : Json::object({{"type", "function"}, {"function", Json::object({{"name", *name}})}}),
      "tool_choice",
      out);
}

Status read_text_and_reasoning(const JsonObject& body, CanonicalRequest& out) {
  const Json* reasoning = any_field(body, "reasoning");
  const Json* effort = reasoning == nullptr ? nullptr : reasoning->find("effort");
  if (effort != nullptr && !effort->is_null()) {
    TUTTI_TRY(std::string level, string_member(*reasoning, "effort", "reasoning"));
    out.chat.template_kwargs.append("reasoning_effort", std::move(level));
  }
  const Json* text = any_field(body, "text");
  const Json* format = text == nullptr ? nullptr : text->find("format");
  if (format == nullptr || format->is_null()) {
    return ok_status();
  }
  TUTTI_TRY(const std::string type, string_member(*format, "type", "text.format"));
  if (type != "json_schema") {
    return take_response_format(*format, "text.format", out);
  }
  JsonObject schema = format->as_object();
  schema.set("type", Json());
  return take_response_format(
      Json::object({{"type", type}, {"json_schema", std::move(schema)}}), "text.format", out);
}

// 0.7 and not 0.699999988.
Json number_json(float value) {
  const Result<Json> json = parse_json(fmt::format("{}", value));
  return json.ok() ? *json : Json(static_cast<double>(value));
}

// What the response says of its request.
std::shared_ptr<const JsonObject> repeated(const JsonObject& body,
                                           bool store,
                                           const GenerationRequest& generation) {
  auto out = std::make_shared<JsonObject>();
  const auto keep = [&](const char* name, Json fallback) {
    const Json* given = any_field(body, name);
    out->append(name, given == nullptr ? std::move(fallback) : *given);
  };
  keep("instructions", Json());
  keep("max_output_tokens", Json());
  keep("max_tool_calls", Json());
  keep("metadata", Json::object());
  keep("parallel_tool_calls", true);
  keep("previous_response_id", Json());
  keep("prompt_cache_key", Json());
  keep("reasoning", Json::object({{"effort", Json()}, {"summary", Json()}}));
  keep("safety_identifier", Json());
  keep("service_tier", "default");
  out->append("store", store);
  out->append("temperature", number_json(generation.sampling.temperature));
  keep("text", Json::object({{"format", Json::object({{"type", "text"}})}}));
  keep("tool_choice", "auto");
  keep("tools", Json::array());
  out->append("top_logprobs", 0);
  out->append("top_p", number_json(generation.sampling.top_p));
  out->append("truncation", "disabled");
  keep("user", Json());
  return out;
}

// What cannot be kept is answered all the same, and says that it is not.
bool can_store(const ParseInput& input) {
  if (input.responses == nullptr) {
    return false;
  }
  const Status ready = input.responses->prepare();
  if (!ready.ok()) {
    log_warn("a response is not stored: {}", ready.message());
  }
  return ready.ok();
}

class Responses final : public Dialect {
 public:
  std::span<const DialectRoute> routes() const override { return kRoutes; }

  std::span<const FieldRule> fields() const override { return responses_fields(); }

  std::span<const FieldAlias> aliases() const override { return kAliases; }

  Result<CanonicalRequest> parse(int route,
                                 const JsonObject& body,
                                 const ParseInput& input) const override {
    CanonicalRequest out;
    GenerationRequest& generation = out.generation;
    generation.sampling = input.model.defaults().sampling;
    generation.sampling.seed = input.random_seed;
    TUTTI_RETURN_IF_ERROR(read_parameters(responses_fields(), route, body, generation));
    TUTTI_RETURN_IF_ERROR(check_lengths(generation));
    TUTTI_TRY(JsonArray items, items_of(body, input.limits));
    TUTTI_RETURN_IF_ERROR(resolve_references(input, items));
    ItemChat chat;
    const std::string previous = string_field(body, "previous_response_id").value_or("");
    if (!previous.empty()) {
      TUTTI_RETURN_IF_ERROR(add_previous(previous, input, chat));
    }
    for (size_t i = 0; i < items.size(); ++i) {
      TUTTI_RETURN_IF_ERROR(chat.add(items[i], fmt::format("input[{}]", i)));
    }
    if (auto instructions = string_field(body, "instructions")) {
      chat.begin_with(*std::move(instructions));
    }
    TUTTI_TRY(out.chat.messages, normalise_messages(chat.take(), input.limits));
    TUTTI_RETURN_IF_ERROR(read_tools(body, input.limits, out));
    TUTTI_RETURN_IF_ERROR(read_text_and_reasoning(body, out));
    if (kRoutes[route].id_prefix == nullptr) {
      TUTTI_TRY(const int64_t tokens, count_prompt_tokens(out, input.model));
      out.at_once =
          fmt::format(R"({{"object":"response.input_tokens","input_tokens":{}}})", tokens);
      return out;
    }
    if (const Json* stops = any_field(body, "stop")) {
      TUTTI_RETURN_IF_ERROR(read_stops(*stops, "stop", input.limits, generation.stop));
    }
    out.length_field = "max_output_tokens";
    out.stream = bool_field(body, "stream").value_or(false);
    out.timeout_seconds = number_field(body, "timeout");
    const bool store = bool_field(body, "store").value_or(true) && can_store(input);
    out.repeated = repeated(body, store, generation);
    if (store) {
      out.keep = keeper(items, previous, input);
    }
    return out;
  }

  std::unique_ptr<ReplyFormat> format(int, ReplyEnvelope envelope) const override {
    return make_responses_format(std::move(envelope));
  }

  std::string error_body(const ApiError& error, std::string_view) const override {
    return error_json(error);
  }

 private:
  static std::function<void(const Json&)> keeper(const JsonArray& items,
                                                 const std::string& previous,
                                                 const ParseInput& input) {
    return [store = input.responses, owner = input.owner, previous, text = to_string(Json(items))](
               const Json& response) {
      const std::string id = response.find("id")->as_string();
      StoredResponse kept{.id = id,
                          .owner = owner,
                          .previous = previous,
                          .response = to_string(response),
                          .input = text,
                          .created_unix = unix_now()};
      for (const Json& item : response.find("output")->as_array()) {
        kept.items.push_back({.id = item.find("id")->as_string(), .json = to_string(item)});
      }
      const Status put = store->put(kept);
      if (!put.ok()) {
        log_warn("response {} could not be stored: {}", id, put.message());
      }
    };
  }
};

}  // namespace

const Dialect& responses_dialect() {
  static const Responses kDialect;
  return kDialect;
}

}  // namespace tutti
