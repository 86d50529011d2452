#include "serve/ollama/ollama.h"

#include <algorithm>

#include "base/field_error.h"
#include "base/utf8.h"
#include "engine/request_check.h"
#include "serve/field_table.h"
#include "serve/openai/message_fields.h"
#include "serve/request_parts.h"

namespace tutti {

namespace {

using enum ParameterType;
constexpr double kIntMax = 2147483647;
constexpr double kSecondsMax = 2'592'000;

constexpr DialectRoute kRoutes[] = {
    {.path = "/api/chat", .id_prefix = "chat", .what = "The next message of a chat (Ollama)"},
    {.path = "/api/generate", .id_prefix = "gen", .what = "The answer to a prompt (Ollama)"},
    {.path = "/api/show", .id_prefix = nullptr, .what = "What a model is and can do (Ollama)"},
};

constexpr DialectPage kPages[] = {
    {.path = "/api/tags", .what = "The models that are served (Ollama)"},
    {.path = "/api/ps", .what = "The same, as those that are loaded (Ollama)"},
    {.path = "/api/version", .what = "Version of the program (Ollama)"},
};

// Bits of FieldRule::routes. The members of "options" are checked as those of a route of their own.
constexpr unsigned kChat = 1;
constexpr unsigned kGenerate = 2;
constexpr unsigned kBoth = kChat | kGenerate;
constexpr unsigned kShow = 4;
constexpr int kOptionsRoute = 3;
constexpr unsigned kOptions = 8;

std::vector<FieldRule> body_rules() {
  return {
      // clang-format off
      used("model", kBoth | kShow, kString, "the only model", "Name of the model; \":latest\" behind it is left out"),
      used("messages", kChat, kList, "none", "The chat so far; without any the model is only looked up"),
      used("prompt", kGenerate, kString, "none", "What the user says; without it the model is only looked up"),
      used("system", kGenerate, kString, "none", "What the model is told first"),
      used("raw", kGenerate, kBool, "false", "The prompt goes to the model as it is, without a chat template"),
      used("tools", kChat, kList, "none", "Functions that the model may call"),
      used("think", kBoth, kSeveral, "the template's", "true or false: switches reasoning where the model can; a word: the template's variable reasoning_effort"),
      used("format", kBoth, kSeveral, "none", "The form of the answer: \"json\" or a JSON schema"),
      used("stream", kBoth, kBool, "true", "Send the answer as it comes"),
      used("options", kBoth, kObject, "none", "How tokens are chosen: the fields marked so"),
      used("timeout", kBoth, kNumber, "‹request_timeout›", "Seconds of the whole request", {0, kSecondsMax, true}),
      harmless("keep_alive", kBoth, kSeveral),
      harmless("name", kShow, kString),
      harmless("verbose", kShow, kBool),
      refused("suffix", kGenerate, kString, R"("")"),
      refused("template", kBoth, kString, R"("")", "; the model's own template is used"),
      refused("context", kGenerate, kList, "[]", "; send the chat to /api/chat"),
      refused("images", kGenerate, kList, "[]"),
      refused("logprobs", kBoth, kSeveral, "false", "; /v1/chat/completions has them"),
      refused("top_logprobs", kBoth, kInteger, "0", "", {0, 20}),
      // clang-format on
  };
}

std::vector<FieldRule> option_rules() {
  FieldRule length = also_fills("num_predict", kOptions, fills("max_tokens", 0));
  length.range = {-2, kIntMax};
  length.parameter = nullptr;
  length.help = "Most tokens of an answer; below 1: as many as there is room for";
  FieldRule repeat = also_fills(
      "repeat_penalty", kOptions, fills("repetition_penalty", 0, ValueRange{0, 10, true}));
  std::vector<FieldRule> rules{
      length,
      repeat,
      // clang-format off
      fills("temperature", kOptions, ValueRange{0, 2}),
      fills("top_p", kOptions),
      fills("top_k", kOptions, ValueRange{-1, kIntMax}),
      fills("min_p", kOptions),
      fills("presence_penalty", kOptions),
      fills("frequency_penalty", kOptions),
      fills("seed", kOptions),
      used("stop", kOptions, kSeveral, "none", "Strings that end the answer"),
      refused("mirostat", kOptions, kInteger, "0", "", {0, 2}),
      refused("typical_p", kOptions, kNumber, "1|1.0", "", {0, 1}),
      refused("tfs_z", kOptions, kNumber, "1|1.0", "", {0, 1}),
      // clang-format on
  };
  // What is chosen when a server starts, or has no meaning here.
  for (const char* name : {"num_ctx",
                           "num_keep",
                           "num_batch",
                           "num_gpu",
                           "main_gpu",
                           "num_thread",
                           "num_gqa",
                           "low_vram",
                           "f16_kv",
                           "logits_all",
                           "vocab_only",
                           "use_mmap",
                           "use_mlock",
                           "numa",
                           "penalize_newline",
                           "repeat_last_n",
                           "mirostat_tau",
                           "mirostat_eta",
                           "draft_num_predict"}) {
    rules.push_back(harmless(name, kOptions, kSeveral));
  }
  return rules;
}

std::span<const FieldRule> ollama_fields() {
  static const std::vector<FieldRule> kFields = [] {
    std::vector<FieldRule> all = body_rules();
    const std::vector<FieldRule> options = option_rules();
    all.insert(all.end(), options.begin(), options.end());
    return all;
  }();
  return kFields;
}

constexpr FieldAlias kAliases[] = {
    {"max_tokens", "send options.num_predict"},
    {"temperature", "send options.temperature"},
    {"response_format", "did you mean format?"},
    {"enable_thinking", "did you mean think?"},
};

Status read_options(const JsonObject& body, const RequestLimits& limits, GenerationRequest& out) {
  const Json* options = any_field(body, "options");
  if (options == nullptr) {
    return ok_status();
  }
  const JsonObject& members = options->as_object();
  const auto in_options = [](Status status) {
    std::string param = "options." + status.param();
    return Status(status.code(), "options." + status.message()).with_param(std::move(param));
  };
  Status status = check_fields(ollama_fields(), kOptionsRoute, members);
  if (status.ok()) {
    status = read_parameters(ollama_fields(), kOptionsRoute, members, out);
  }
  if (!status.ok()) {
    return in_options(std::move(status));
  }
  const int64_t length = int_field(members, "num_predict").value_or(-1);
  if (length > 0) {
    out.max_tokens = length;
  }
  const Json* stops = any_field(members, "stop");
  return stops == nullptr ? ok_status() : read_stops(*stops, "options.stop", limits, out.stop);
}

// Ollama's messages are OpenAI's, but for the names of a few members and calls without ids.
Result<Json> message_of(const Json& message, const std::string& path) {
  TUTTI_TRY(std::string role, string_member(message, "role", path));
  const Json* images = message.find("images");
  if (images != nullptr && images->is_array() && !images->as_array().empty()) {
    return unsupported_at(path + ".images", "images are");
  }
  const Json* content = message.find("content");
  Json out = Json::object(
      {{"role", std::move(role)}, {"content", content == nullptr ? Json("") : *content}});
  if (const Json* thinking = message.find("thinking");
      thinking != nullptr && !thinking->is_null()) {
    out.as_object().append("reasoning_content", *thinking);
  }
  if (const Json* name = message.find("tool_name"); name != nullptr && name->is_string()) {
    out.as_object().append("name", *name);
  }
  if (const Json* calls = message.find("tool_calls"); calls != nullptr && !calls->is_null()) {
    out.as_object().append("tool_calls", *calls);
  }
  return out;
}

Status read_chat(const JsonObject& body, const RequestLimits& limits, CanonicalRequest& out) {
  JsonArray messages;
  for (const Json& message : any_field(body, "messages")->as_array()) {
    TUTTI_TRY(Json one, message_of(message, fmt::format("messages[{}]", messages.size())));
    messages.push_back(std::move(one));
  }
  TUTTI_TRY(out.chat.messages, normalise_messages(messages, limits));
  JsonArray tools;
  if (const Json* given = any_field(body, "tools")) {
    for (const Json& tool : given->as_array()) {
      const std::string path = fmt::format("tools[{}].function", tools.size());
      const Json* function = tool.find("function");
      TUTTI_TRY(Json one,
                function_tool(function == nullptr ? Json() : *function, path, "parameters"));
      tools.push_back(std::move(one));
    }
  }
  return take_tools(std::move(tools), limits, out);
}

Status read_prompt(const JsonObject& body, const RequestLimits& limits, CanonicalRequest& out) {
  const std::string prompt = string_field(body, "prompt").value_or("");
  if (bool_field(body, "raw").value_or(false)) {
    out.prompts.emplace_back(prompt);
    return ok_status();
  }
  JsonArray messages;
  if (const auto system = string_field(body, "system"); system && !system->empty()) {
    messages.push_back(Json::object({{"role", "system"}, {"content", *system}}));
  }
  messages.push_back(Json::object({{"role", "user"}, {"content", prompt}}));
  TUTTI_TRY(out.chat.messages, normalise_messages(messages, limits));
  return ok_status();
}

Status read_think_and_format(const JsonObject& body, CanonicalRequest& out) {
  out.chat.reasoning_field = "think";
  if (const Json* think = any_field(body, "think")) {
    if (think->is_bool()) {
      out.chat.reasoning = think->as_bool();
    } else if (think->is_string()) {
      out.chat.reasoning = true;
      out.chat.template_kwargs.append("reasoning_effort", *think);
    } else {
      return field_error("think",
                         fmt::format("got {}, wanted true, false or a word", think->type_name()));
    }
  }
  const Json* format = any_field(body, "format");
  if (format == nullptr || (format->is_string() && format->as_string().empty())) {
    return ok_status();
  }
  if (format->is_string() && format->as_string() == "json") {
    return take_response_format(Json::object({{"type", "json_object"}}), "format", out);
  }
  if (!format->is_object()) {
    return field_error("format", "wanted \"json\" or a JSON schema");
  }
  return take_response_format(
      Json::object({{"type", "json_schema"},
                    {"json_schema", Json::object({{"name", "format"}, {"schema", *format}})}}),
      "format",
      out);
}

// Clients send no messages, or no prompt, to have a model loaded.
bool only_loads(OllamaRoute route, const JsonObject& body) {
  if (route == OllamaRoute::kChat) {
    const Json* messages = any_field(body, "messages");
    return messages == nullptr || messages->as_array().empty();
  }
  return string_field(body, "prompt").value_or("").empty();
}

class Ollama final : public Dialect {
 public:
  std::span<const DialectRoute> routes() const override { return kRoutes; }

  std::span<const DialectPage> pages() const override { return kPages; }

  Json page(int number, const ServerFacts& facts) const override {
    switch (number) {
      case 0:
        return ollama_tags(facts);
      case 1:
        return ollama_ps(facts);
      default:
        return Json::object({{"version", facts.version}});
    }
  }

  std::span<const FieldRule> fields() const override { return ollama_fields(); }

  std::span<const FieldAlias> aliases() const override { return kAliases; }

  Result<CanonicalRequest> parse(int number,
                                 const JsonObject& body,
                                 const ParseInput& input) const override {
    const auto route = static_cast<OllamaRoute>(number);
    CanonicalRequest out;
    if (route == OllamaRoute::kShow) {
      out.at_once = to_string(ollama_show(input.model));
      return out;
    }
    if (only_loads(route, body)) {
      out.at_once = ollama_loaded(route, input.model.info().id);
      return out;
    }
    GenerationRequest& generation = out.generation;
    generation.sampling = input.model.defaults().sampling;
    generation.sampling.seed = input.random_seed;
    TUTTI_RETURN_IF_ERROR(read_options(body, input.limits, generation));
    TUTTI_RETURN_IF_ERROR(check_lengths(generation));
    TUTTI_RETURN_IF_ERROR(route == OllamaRoute::kChat ? read_chat(body, input.limits, out)
                                                      : read_prompt(body, input.limits, out));
    TUTTI_RETURN_IF_ERROR(read_think_and_format(body, out));
    out.length_field = "options.num_predict";
    out.stream = bool_field(body, "stream").value_or(true);
    out.timeout_seconds = number_field(body, "timeout");
    return out;
  }

  std::unique_ptr<ReplyFormat> format(int route, ReplyEnvelope envelope) const override {
    return make_ollama_format(static_cast<OllamaRoute>(route), std::move(envelope));
  }

  bool takes_any_type() const override { return true; }

  std::string error_body(const ApiError& error, std::string_view) const override {
    return to_string(Json::object({{"error", replace_invalid_utf8(error.message)}}));
  }
};

}  // namespace

const Dialect& ollama_dialect() {
  static const Ollama kDialect;
  return kDialect;
}

}  // namespace tutti
