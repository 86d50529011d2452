// A loaded model as its users see it (HTTP routes, `tutti run`): a chat or a text in, events out.
// Implemented by TextEngine over Engine + Tokenizer; HTTP tests implement it with a fake.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/output.h"
#include "engine/output_wish.h"
#include "engine/prompt.h"
#include "sched/logit_rules.h"
#include "sched/sampling_params.h"

namespace tutti {

class TokenGrammar;
class TokenText;

struct GenerationRequest {
  std::vector<int32_t> prompt;  ///< token ids, at least one
  OutputForm form;              ///< of the prompt: how its output is read
  bool whole = false;           ///< nothing of the reply is shown before its end
  SamplingParams sampling;
  std::optional<int64_t> max_tokens;  ///< unset: until the context is full; 0 only with echo
  /// More max_tokens than there is room for are refused, instead of lowered to that.
  bool max_tokens_must_fit = false;
  bool echo = false;                     ///< each choice begins with the prompt
  std::optional<std::string> echo_text;  ///< the prompt's text; unset: that of its tokens
  /// Generation ends before the first of these strings. Those in reasoning that is told apart do
  /// not count: they are the model's thoughts, not its answer.
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
  bool skip_special_tokens = true;              ///< do not print special tokens
  int32_t priority = 0;                         ///< smaller is served first
  std::string cache_salt;  ///< cached prefixes are shared among requests of the same salt only
  std::string request_id;  ///< for logs
  /// Ends with kDeadlineExceeded when this passes, wherever the request is by then.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  /// Ends with kUnavailable if no choice has been admitted by then: its client has given up.
  std::optional<std::chrono::steady_clock::time_point> queue_deadline;

  void begin_with(Prompt made) {
    prompt = std::move(made.tokens);
    form = std::move(made.form);
  }
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
  uint64_t steps_lost = 0;  ///< of these; alone, with the sequences in them
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
  int64_t general_kernel_calls = 0;     ///< see RunnerLimits
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const ModelInfo& info() const = 0;
  virtual const GenerationDefaults& defaults() const = 0;

  /// A chat as the model's template writes it. kUnsupported if the model has no chat template, or
  /// tools are given and its template has calls of no known form. Thread-safe.
  virtual Result<Prompt> prepare(const ChatInput& chat) const = 0;
  /// A raw text. kUnsupported without a tokenizer. Thread-safe.
  virtual Result<Prompt> prepare(const std::string& text) const = 0;

  /// Its tokens as text; nullptr without a tokenizer. Lives as long as the model.
  virtual const TokenText* token_text() const { return nullptr; }

  /// The grammar of what `wish` leaves of the outputs behind a prompt of that form; nullptr if it
  /// leaves all. `stop_ids`: of the request. kUnsupported without a tokenizer. Thread-safe.
  virtual Result<std::shared_ptr<const TokenGrammar>> constrain(
      const OutputWish& wish, const OutputForm& form, std::span<const int32_t> stop_ids) const = 0;

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
