#include "serve/openai/openai.h"

#include "serve/openai/fields.h"
#include "serve/openai/formats.h"
#include "serve/openai/request.h"

namespace tutti {

namespace {

constexpr DialectRoute kRoutes[] = {
    {.path = "/v1/chat/completions", .id_prefix = "chatcmpl", .what = "The next message of a chat"},
    {.path = "/v1/completions", .id_prefix = "cmpl", .what = "What follows a text"},
};

class OpenAi final : public Dialect {
 public:
  std::span<const DialectRoute> routes() const override { return kRoutes; }

  std::span<const FieldRule> fields() const override { return openai_fields(); }

  std::span<const FieldAlias> aliases() const override { return openai_aliases(); }

  Result<CanonicalRequest> parse(int route,
                                 const JsonObject& body,
                                 const ParseInput& input) const override {
    return parse_openai_request(static_cast<OpenAiRoute>(route), body, input);
  }

  std::unique_ptr<ReplyFormat> format(int route, ReplyEnvelope envelope) const override {
    return static_cast<OpenAiRoute>(route) == OpenAiRoute::kChat
               ? make_chat_format(std::move(envelope))
               : make_completion_format(std::move(envelope));
  }

  std::string error_body(const ApiError& error, std::string_view) const override {
    return error_json(error);
  }
};

}  // namespace

const Dialect& openai_dialect() {
  static const OpenAi kDialect;
  return kDialect;
}

}  // namespace tutti
