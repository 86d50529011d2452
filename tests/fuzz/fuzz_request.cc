// Any bytes as the body of a request of any dialect: an error, or a request within its bounds.
#include <cmath>

#include "http/fake_language_model.h"
#include "serve/dialect.h"
#include "serve/http_message.h"

namespace {

// No call may fail a check; what chat templates get is a list of messages with roles.
bool sane(const tutti::CanonicalRequest& request) {
  const tutti::SamplingParams& s = request.generation.sampling;
  if (!request.at_once && request.prompts.empty()) {
    for (const tutti::Json& message : request.chat.messages.as_array()) {
      if (message.find("role") == nullptr || !message.find("role")->is_string()) {
        return false;
      }
    }
  }
  return std::isfinite(s.temperature) && s.temperature >= 0 && s.top_p > 0 && s.top_p <= 1 &&
         request.generation.n >= 1 && request.generation.n <= 128;
}

}  // namespace

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
  // The first two routes of the first byte's values are those of OpenAI, as in the corpus.
  int chosen = data[0];
  const tutti::Dialect* dialect = nullptr;
  int number = 0;
  while (dialect == nullptr) {
    for (const tutti::Dialect* one : tutti::dialects()) {
      const auto routes = static_cast<int>(one->routes().size());
      if (chosen < routes) {
        dialect = one;
        number = chosen;
        break;
      }
      chosen -= routes;
    }
  }
  const tutti::JsonObject& body = json->as_object();
  for (const std::string& warning :
       tutti::unknown_fields(dialect->fields(), dialect->aliases(), number, body).warnings) {
    if (tutti::header_text(warning) != warning) {
      __builtin_trap();
    }
  }
  if (!tutti::check_fields(dialect->fields(), number, body).ok()) {
    return 0;
  }
  const auto request = dialect->parse(number,
                                      body,
                                      {.model = model,
                                       .random_seed = 1,
                                       .limits = tutti::RequestLimits(),
                                       .responses = nullptr,
                                       .owner = {}});
  if (request.ok() && !sane(*request)) {
    __builtin_trap();
  }
  return 0;
}
