#include "serve/vllm/vllm.h"

#include "base/field_error.h"
#include "base/utf8.h"
#include "engine/token_text.h"
#include "serve/field_table.h"
#include "serve/openai/message_fields.h"
#include "serve/openai/rule_fields.h"
#include "serve/request_parts.h"

namespace tutti {

namespace {

using enum ParameterType;

constexpr DialectRoute kRoutes[] = {
    {.path = "/tokenize", .id_prefix = nullptr, .what = "Token ids of a text or a chat"},
    {.path = "/detokenize", .id_prefix = nullptr, .what = "The text of token ids"},
};

constexpr unsigned kTokenize = 1;
constexpr unsigned kDetokenize = 2;
constexpr unsigned kBoth = 3;

std::span<const FieldRule> vllm_fields() {
  static const std::vector<FieldRule> kFields{
      // clang-format off
      used("model", kBoth, kString, "the only model", "Name of the model"),
      used("prompt", kTokenize, kString, "none", "A text; this or messages"),
      used("messages", kTokenize, kList, "none", "A chat, which the model's template makes a text of"),
      used("tools", kTokenize, kList, "none", "Functions that the chat declares"),
      used("chat_template_kwargs", kTokenize, kObject, "none", "More variables of the chat template"),
      used("add_generation_prompt", kTokenize, kBool, "true", "End a chat with the opening of the model's turn"),
      used("continue_final_message", kTokenize, kBool, "false", "Instead, end it where its last message does"),
      used("add_special_tokens", kTokenize, kBool, "true", "Put around a text what the tokenizer's files say; a chat's template does it itself"),
      used("return_token_strs", kTokenize, kBool, "false", "Send the text of each token too"),
      used("tokens", kDetokenize, kList, "required", "Token ids"),
      refused("chat_template", kTokenize, kString, "", "; the model's own template is used"),
      refused("mm_processor_kwargs", kTokenize, kObject, "{}"),
      // clang-format on
  };
  return kFields;
}

constexpr FieldAlias kAliases[] = {
    {"content", "did you mean prompt?"},
    {"text", "did you mean prompt?"},
    {"add_special", "did you mean add_special_tokens?"},
    {"with_pieces", "did you mean return_token_strs?"},
};

Result<std::vector<int32_t>> tokens_of_chat(const JsonObject& body, const ParseInput& input) {
  CanonicalRequest request;
  ChatInput& chat = request.chat;
  TUTTI_TRY(chat.messages,
            normalise_messages(any_field(body, "messages")->as_array(), input.limits));
  if (const Json* tools = any_field(body, "tools")) {
    TUTTI_RETURN_IF_ERROR(take_tools(tools->as_array(), input.limits, request));
  }
  if (const Json* kwargs = any_field(body, "chat_template_kwargs")) {
    chat.template_kwargs = kwargs->as_object();
  }
  chat.continue_final_message = bool_field(body, "continue_final_message").value_or(false);
  chat.add_generation_prompt =
      bool_field(body, "add_generation_prompt").value_or(!chat.continue_final_message);
  TUTTI_TRY(Prompt prompt, input.model.prepare(chat));
  return std::move(prompt.tokens);
}

Result<std::vector<int32_t>> tokens_of_text(const JsonObject& body, const ParseInput& input) {
  const std::string text = *string_field(body, "prompt");
  const TokenText* tokens = input.model.token_text();
  if (!bool_field(body, "add_special_tokens").value_or(true) && tokens != nullptr) {
    return tokens->encode(text);
  }
  TUTTI_TRY(Prompt prompt, input.model.prepare(text));
  return std::move(prompt.tokens);
}

Result<Json> tokenize(const JsonObject& body, const ParseInput& input) {
  const bool chat = any_field(body, "messages") != nullptr;
  if (chat == (any_field(body, "prompt") != nullptr)) {
    return field_error("prompt", "wanted either prompt, a text, or messages, a chat");
  }
  TUTTI_TRY(const std::vector<int32_t> tokens,
            chat ? tokens_of_chat(body, input) : tokens_of_text(body, input));
  const TokenText* text = input.model.token_text();
  const bool want_texts = bool_field(body, "return_token_strs").value_or(false) && text != nullptr;
  JsonArray ids;
  JsonArray texts;
  for (const int32_t token : tokens) {
    ids.push_back(token);
    if (want_texts) {
      texts.push_back(replace_invalid_utf8(text->token_bytes(token)));
    }
  }
  return Json::object({{"count", static_cast<int64_t>(tokens.size())},
                       {"max_model_len", input.model.info().max_context},
                       {"tokens", std::move(ids)},
                       {"token_strs", want_texts ? Json(std::move(texts)) : Json()}});
}

Result<Json> detokenize(const JsonObject& body, const ParseInput& input) {
  const Json* given = any_field(body, "tokens");
  if (given == nullptr) {
    return field_error("tokens", "missing; wanted a list of token ids");
  }
  TUTTI_TRY(const std::vector<int32_t> tokens,
            read_token_ids(given->as_array(), "tokens", input.model.info().vocab_size));
  const TokenText* text = input.model.token_text();
  if (text == nullptr) {
    return error(StatusCode::kUnsupported, "model \"{}\" has no tokenizer", input.model.info().id);
  }
  const std::unique_ptr<TextStream> stream = text->open(/*skip_special_tokens=*/false);
  std::string out;
  for (const int32_t token : tokens) {
    out += stream->push(token);
  }
  return Json::object({{"prompt", out + stream->finish()}});
}

class Vllm final : public Dialect {
 public:
  std::span<const DialectRoute> routes() const override { return kRoutes; }

  std::span<const FieldRule> fields() const override { return vllm_fields(); }

  std::span<const FieldAlias> aliases() const override { return kAliases; }

  Result<CanonicalRequest> parse(int route,
                                 const JsonObject& body,
                                 const ParseInput& input) const override {
    TUTTI_TRY(const Json answer, route == 0 ? tokenize(body, input) : detokenize(body, input));
    CanonicalRequest out;
    out.at_once = to_string(answer);
    return out;
  }

  std::unique_ptr<ReplyFormat> format(int, ReplyEnvelope) const override;

  std::string error_body(const ApiError& error, std::string_view) const override {
    return error_json(error);
  }
};

/// Nothing of this dialect is generated: errors alone are written by it.
class NoReply final : public ReplyFormat {
 public:
  std::string whole(const std::vector<CollectedChoice>&, const GenerationUsage&) override {
    return "{}";
  }

  void begin(std::string&) override {}

  void delta(const GenerationDelta&, std::string&) override {}

  void end(const GenerationUsage&, std::string&) override {}

  void error(const Status& status, std::string& out) override {
    out += error_json(to_api_error(status));
  }
};

std::unique_ptr<ReplyFormat> Vllm::format(int, ReplyEnvelope) const {
  return std::make_unique<NoReply>();
}

}  // namespace

const Dialect& vllm_dialect() {
  static const Vllm kDialect;
  return kDialect;
}

}  // namespace tutti
