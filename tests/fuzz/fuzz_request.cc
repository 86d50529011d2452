// Any bytes as the body of a generation request: an error, or a request within its bounds.
#include <cmath>

#include "http/fake_language_model.h"
#include "serve/http_message.h"
#include "serve/openai/fields.h"
#include "serve/openai/request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static tutti::testing::FakeLanguageModel model({.manual = true});
  if (size == 0) {
    return 0;
  }
  const auto json =
      tutti::parse_json({reinterpret_cast<const char*>(data) + 1, size - 1}, {.max_depth = 100});
  if (!json.ok() || !json->is_object()) {
    return 0;
  }
  const auto route =
      (data[0] & 1U) == 0 ? tutti::OpenAiRoute::kChat : tutti::OpenAiRoute::kCompletions;
  const int number = static_cast<int>(route);
  for (const std::string& warning :
       tutti::unknown_fields(
           tutti::openai_fields(), tutti::openai_aliases(), number, json->as_object())
           .warnings) {
    if (tutti::header_text(warning) != warning) {
      __builtin_trap();
    }
  }
  if (!tutti::check_fields(tutti::openai_fields(), number, json->as_object()).ok()) {
    return 0;
  }
  const auto request = tutti::parse_openai_request(
      route,
      json->as_object(),
      {.model = model, .random_seed = 1, .limits = tutti::RequestLimits()});
  if (request.ok()) {
    const tutti::SamplingParams& s = request->generation.sampling;
    const bool sane = std::isfinite(s.temperature) && s.temperature >= 0 && s.top_p > 0 &&
                      s.top_p <= 1 && request->generation.n >= 1 && request->generation.n <= 128;
    if (!sane) {
      __builtin_trap();
    }
  }
  return 0;
}
