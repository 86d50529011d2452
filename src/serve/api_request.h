// A generation request as OpenAI's clients send it, checked and turned into our terms.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/language_model.h"
#include "serve/http_limits.h"
#include "serve/request_fields.h"
#include "text/markup.h"

namespace tutti {

/// A prompt of /v1/completions: text, or token ids.
using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct ApiRequest {
  bool stream = false;
  bool include_usage = false;
  bool logprobs = false;
  bool prompt_logprobs = false;
  std::optional<double> timeout_seconds;
  std::string length_field;      ///< as the client calls max_tokens
  GenerationRequest generation;  ///< everything but the prompt
  Json messages;                 ///< chat only, normalised
  Json tools;                    ///< chat only, an array; null if there are none to call
  bool one_tool_call = false;    ///< chat only: a choice has one call at most
  JsonObject template_kwargs;    ///< chat only
  const ToolCallMarkup* tool_calls = nullptr;  ///< filled in when the prompt is made
  std::vector<CompletionPrompt> prompts;       ///< completions only, at least one
};

/// `body` has passed check_fields(). What the request leaves open comes from the model's defaults;
/// `random_seed` is used if it names no seed. Errors name the field.
Result<ApiRequest> parse_api_request(ApiRoute route,
                                     const JsonObject& body,
                                     const LanguageModel& model,
                                     uint64_t random_seed,
                                     const RequestLimits& limits);

}  // namespace tutti
