// How a generation looks to the client: OpenAI's chat and completions objects, whole or as SSE.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/language_model.h"
#include "serve/request_fields.h"
#include "text/markup.h"

namespace tutti {

struct ReplyEnvelope {
  std::string id;
  int64_t created_unix = 0;
  std::string model;
  int32_t choices = 1;
  bool include_usage = false;
  bool logprobs = false;
  bool prompt_logprobs = false;
  const ToolCallMarkup* tool_calls =
      nullptr;                 ///< chat: how calls look; nullptr: none are looked for
  bool one_tool_call = false;  ///< chat: calls after the first of a choice are dropped
  Json tools;                  ///< chat: the declared tools, for types of arguments
};

/// All of one choice, for a reply that is not streamed.
struct CollectedChoice {
  std::string content;
  std::string reasoning;
  std::vector<TokenLogprobs> logprobs;
  std::vector<TokenLogprobs> prompt_logprobs;
  FinishReason finish = FinishReason::kStop;
  std::optional<UnopenedReasoning> unopened;
};

/// One per reply; keeps what must be known across its chunks. Not thread-safe.
class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;
  /// Appends the events that come first (the role of each choice).
  virtual void begin(std::string& out) = 0;
  /// Appends the events of one piece, each "data: <json>\n\n".
  virtual void delta(const GenerationDelta& delta, std::string& out) = 0;
  /// Appends the usage event, if asked for, and [DONE].
  virtual void end(const GenerationUsage& usage, std::string& out) = 0;
  /// The body of a reply that is not streamed.
  virtual std::string whole(const std::vector<CollectedChoice>& choices,
                            const GenerationUsage& usage) = 0;
};

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
/// JSON has no infinities: -9999 stands for "impossible", as in OpenAI's replies.
void append_logprob(std::string& out, float logprob);
/// vLLM's form: one entry per prompt token, null for the first, then an object from token ids to
/// {"logprob", "rank", "decoded_token"} of the token itself and the likeliest.
void append_prompt_logprobs(std::string& out, const std::vector<TokenLogprobs>& tokens);

}  // namespace tutti
