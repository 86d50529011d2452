// A generation request as OpenAI's clients send it, turned into the canonical form.
#pragma once
#include "base/json.h"
#include "base/status.h"
#include "serve/dialect.h"
#include "serve/openai/openai.h"

namespace tutti {

/// See Dialect::parse().
Result<CanonicalRequest> parse_openai_request(OpenAiRoute route,
                                              const JsonObject& body,
                                              const ParseInput& input);

}  // namespace tutti
