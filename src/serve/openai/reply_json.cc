#include <algorithm>
#include <cmath>

#include <fmt/ranges.h>

#include "base/json.h"
#include "base/utf8.h"
#include "serve/http_message.h"
#include "serve/openai/formats.h"

namespace tutti {

namespace {

void append_prompt_token(
    std::string& out, int32_t token, const std::string& bytes, float logprob, int64_t rank) {
  out += fmt::format(R"("{}":{{"logprob":)", token);
  append_logprob(out, logprob);
  out += fmt::format(R"(,"rank":{},"decoded_token":)", rank);
  append_json_string(out, replace_invalid_utf8(bytes));
  out += '}';
}

}  // namespace

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

std::string ids_json(const std::vector<int32_t>& ids) {
  return fmt::format("[{}]", fmt::join(ids, ","));
}

void append_logprob(std::string& out, float logprob) {
  constexpr float kImpossible = -9999.0F;
  out += fmt::format("{}", std::isfinite(logprob) ? std::max(logprob, kImpossible) : kImpossible);
}

void append_prompt_logprobs(std::string& out, const std::vector<TokenLogprobs>& tokens) {
  out += '[';
  for (const TokenLogprobs& token : tokens) {
    out += out.back() == '[' ? "" : ",";
    if (token.first) {
      out += "null";
      continue;
    }
    out += '{';
    append_prompt_token(out, token.token, token.bytes, token.logprob, token.rank);
    for (size_t i = 0; i < token.top.size(); ++i) {
      const TokenLogprobs::Alternative& top = token.top[i];
      if (top.token != token.token) {
        out += ',';
        append_prompt_token(out, top.token, top.bytes, top.logprob, static_cast<int64_t>(i) + 1);
      }
    }
    out += '}';
  }
  out += ']';
}

}  // namespace tutti
