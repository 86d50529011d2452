#include "serve/reply_format.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "serve/http_message.h"

namespace tutti {

std::string usage_json(const GenerationUsage& usage) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{}}},)"
                     R"("completion_tokens_details":{{"reasoning_tokens":{}}}}})",
                     usage.prompt_tokens,
                     usage.completion_tokens,
                     usage.prompt_tokens + usage.completion_tokens,
                     usage.cached_prompt_tokens,
                     usage.reasoning_tokens);
}

std::string envelope_json(const ReplyEnvelope& envelope, const char* object) {
  std::string out = fmt::format(R"({{"id":"{}","object":"{}","created":{},"model":)",
                                envelope.id,
                                object,
                                envelope.created_unix);
  append_json_string(out, envelope.model);
  out += ',';
  return out;
}

std::string error_event(const Status& status) {
  return "data: " + error_json(to_api_error(status)) + "\n\n";
}

void append_finish_reason(std::string& out, const char* finish) {
  if (finish == nullptr) {
    out += "null";
    return;
  }
  out += '"';
  out += finish;
  out += '"';
}

void append_logprob(std::string& out, float logprob) {
  constexpr float kImpossible = -9999.0F;
  out += fmt::format("{}", std::isfinite(logprob) ? std::max(logprob, kImpossible) : kImpossible);
}

}  // namespace tutti
