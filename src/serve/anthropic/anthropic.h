// Anthropic's Messages API: /v1/messages and the count of a prompt's tokens.
#pragma once
#include <memory>
#include <string>

#include "serve/dialect.h"

namespace tutti {

const Dialect& anthropic_dialect();

/// "rate_limit_error" and the like.
const char* anthropic_error_type(int http_status);

/// Messages of a request and its system text as chat templates expect them (OpenAI's form).
Result<Json> chat_of_anthropic(const JsonObject& body, const RequestLimits& limits);

std::unique_ptr<ReplyFormat> make_anthropic_format(ReplyEnvelope envelope);

}  // namespace tutti
