// Chat and completion objects, whole and streamed, and what they have in common.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "serve/dialect.h"

namespace tutti {

std::unique_ptr<ReplyFormat> make_chat_format(ReplyEnvelope envelope);
std::unique_ptr<ReplyFormat> make_completion_format(ReplyEnvelope envelope);

/// {"prompt_tokens":…,"completion_tokens":…,"total_tokens":…, details}
std::string usage_json(const GenerationUsage& usage);
/// `{"id":…,"object":…,"created":…,"model":…,` of every object and chunk.
std::string envelope_json(const ReplyEnvelope& envelope, const char* object);
/// "data: {"error":…}\n\n"
std::string error_event(const Status& status);
/// "stop" in quotes, or null.
void append_finish_reason(std::string& out, const char* finish);
/// "[1,2,3]"
std::string ids_json(const std::vector<int32_t>& ids);
/// JSON has no infinities: -9999 stands for "impossible", as in OpenAI's replies.
void append_logprob(std::string& out, float logprob);
/// vLLM's form: one entry per prompt token, null for the first, then an object from token ids to
/// {"logprob", "rank", "decoded_token"} of the token itself and the likeliest.
void append_prompt_logprobs(std::string& out, const std::vector<TokenLogprobs>& tokens);

}  // namespace tutti
