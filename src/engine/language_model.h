// A loaded model as its users see it (HTTP routes, `tutti run`): token ids in, text pieces out.
// Implemented by TextEngine over Engine + Tokenizer; HTTP tests implement it with a fake.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "sched/logit_rules.h"
#include "sched/sampling_params.h"

namespace tutti {

class ChatTemplate;
class TokenGrammar;
class Tokenizer;

struct GenerationRequest {
  std::vector<int32_t> prompt;  ///< token ids, at least one
  SamplingParams sampling;
  std::optional<int64_t> max_tokens;  ///< unset: until the context is full; 0 only with echo
  /// More max_tokens than there is room for are refused, instead of lowered to that.
  bool max_tokens_must_fit = false;
  bool echo = false;                     ///< each choice begins with the prompt
  std::optional<std::string> echo_text;  ///< the prompt's text; unset: that of its tokens
  /// Generation ends before the first of these strings. With split_reasoning those in the reasoning
  /// do not count: they are the model's thoughts, not its answer.
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;  ///< besides the model's EOS ids
  bool ignore_eos = false;
  /// Before so many tokens are generated neither EOS nor a stop id comes and no stop string ends.
  int64_t min_tokens = 0;
  std::vector<LogitBias> logit_bias;       ///< one entry per token at most
  std::vector<std::string> bad_words;      ///< never generated, neither with a space before them
  std::vector<int32_t> allowed_token_ids;  ///< the only ones that may come; empty: all may
  std::shared_ptr<const TokenGrammar> grammar;  ///< the output is one of its texts; nullptr: any
  int32_t n = 1;                                ///< independent choices of the same prompt
  bool split_reasoning = false;                 ///< separate <think>…</think> from the answer
  bool reasoning_open = false;                  ///< the prompt already ends inside <think>
  bool reasoning_closed = false;                ///< the prompt ends behind </think>
  bool skip_special_tokens = true;              ///< do not print special tokens
  bool keep_tool_marks = false;                 ///< but print those that mark tool calls
  int32_t priority = 0;                         ///< smaller is served first
  std::string cache_salt;  ///< cached prefixes are shared among requests of the same salt only
  std::string request_id;  ///< for logs
  /// Ends with kDeadlineExceeded when this passes, wherever the request is by then.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  /// Ends with kUnavailable if no choice has been admitted by then: its client has given up.
  std::optional<std::chrono::steady_clock::time_point> queue_deadline;
};

struct TokenLogprobs {
  int32_t token = 0;
  std::string bytes;  ///< raw bytes of the token, perhaps no whole UTF-8 character
  float logprob = 0.0F;
  int32_t rank = 0;     ///< of a prompt token: how many are at least as likely, itself included
  bool first = false;   ///< the prompt begins with it: there is no log-probability
  bool hidden = false;  ///< a special token that the text does not show

  struct Alternative {
    int32_t token = 0;
    std::string bytes;
    float logprob = 0.0F;
  };

  std::vector<Alternative> top;
};

/// Content in which a closing mark came that no opening one began. What came before it was
/// reasoning, but that is known only now.
struct UnopenedReasoning {
  size_t end = 0;     ///< bytes of the choice's content before the mark
  size_t answer = 0;  ///< where the content goes on behind it

  bool operator==(const UnopenedReasoning&) const = default;
};

/// A piece of one choice. Text is valid UTF-8 and never holds part of a stop string.
struct GenerationDelta {
  int32_t choice = 0;
  std::string content;
  std::string reasoning;
  std::vector<int32_t> tokens;  ///< ids behind this piece (EOS not included)
  std::vector<TokenLogprobs>
      logprobs;  ///< one per token if asked for, with echo the prompt's first
  std::vector<TokenLogprobs> prompt_logprobs;  ///< one per prompt token if asked for; comes once
  std::optional<FinishReason> finish;          ///< set on the last delta of a choice
  std::optional<UnopenedReasoning> unopened;   ///< the same
};

struct GenerationUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;
  int64_t completion_tokens = 0;  ///< of all choices, EOS not counted
  int64_t reasoning_tokens = 0;
};

/// Receives one generation. Called on the delivery thread: must return quickly and must not throw.
/// Exactly one of on_done and on_error ends it.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  virtual void on_delta(GenerationDelta delta) = 0;
  virtual void on_done(const GenerationUsage& usage) = 0;
  virtual void on_error(const Status& status) = 0;
};

/// Values a request gets when it does not say (generation_config.json over built-in defaults).
struct GenerationDefaults {
  SamplingParams sampling;
  std::vector<int32_t> eos_token_ids;
};

struct ModelInfo {
  std::string id;  ///< served name
  int64_t created_unix = 0;
  std::string architecture;
  int64_t max_context = 0;  ///< tokens, prompt + output
  int64_t vocab_size = 0;
  int32_t ranks = 1;
};

struct EngineStats {
  int64_t requests_running = 0;
  int64_t requests_waiting = 0;
  int64_t kv_blocks_total = 0;
  int64_t kv_blocks_used = 0;
  uint64_t requests_finished = 0;
  uint64_t requests_cancelled = 0;
  uint64_t requests_failed = 0;
  uint64_t prompt_tokens = 0;
  uint64_t generated_tokens = 0;
  uint64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t prefix_cache_queries = 0;  ///< prompt tokens looked up in the prefix cache
  uint64_t prefix_cache_hits = 0;     ///< of these, tokens whose KV was there
  int64_t kv_blocks_cached = 0;       ///< unused but kept for their content
  // Seconds of all steps, by what the engine thread did.
  double step_schedule_seconds = 0.0;   ///< choosing and building the batch
  double step_model_seconds = 0.0;      ///< waiting for the ranks
  double step_commit_seconds = 0.0;     ///< applying results and handing events on
  uint64_t prefix_cache_evictions = 0;  ///< blocks that lost their content to others
  uint64_t forks = 0;                   ///< choices that took over their sibling's prompt
  uint64_t deadlines_expired = 0;       ///< sequences; also counted as failed
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const ModelInfo& info() const = 0;
  virtual const GenerationDefaults& defaults() const = 0;
  virtual const Tokenizer* tokenizer() const = 0;         ///< nullptr: ids only
  virtual const ChatTemplate* chat_template() const = 0;  ///< nullptr: no chat

  /// Validates and queues; the id is for cancel(). Errors: kInvalidArgument, kContextLength,
  /// kOverloaded, kUnavailable. The sink gets no call if this fails.
  virtual Result<uint64_t> generate(GenerationRequest request,
                                    std::shared_ptr<GenerationSink> sink) = 0;

  /// Stops a generation; its sink gets on_error(kCancelled) unless it already ended. Any thread.
  virtual void cancel(uint64_t generation) = 0;

  /// Ok while it can take requests; kDevice once a device failed, which only loading again mends.
  virtual Status health() const = 0;
  virtual EngineStats stats() const = 0;
};

}  // namespace tutti
