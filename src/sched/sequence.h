// One choice of one request as the engine sees it: tokens known so far, how many of them are
// computed, and the KV blocks that hold them. Only the engine thread touches a Sequence.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "sched/batch.h"
#include "sched/sampling_params.h"
#include "sched/token_grammar.h"

namespace tutti {

constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

/// What a submitter asks for. Must pass check_fits before it reaches a scheduler.
struct SequenceRequest {
  uint64_t id = 0;              ///< unique among live sequences
  std::vector<int32_t> prompt;  ///< at least one token
  SamplingParams sampling;
  LogitRulesPtr rules;                          ///< nullptr: none
  std::shared_ptr<const TokenGrammar> grammar;  ///< nullptr: none; otherwise it awaits its tokens
  int32_t choice = 0;
  int64_t max_tokens = 1;         ///< generated tokens, at least 1
  std::vector<int32_t> stop_ids;  ///< generating one of them ends the sequence; it is not output
  int32_t priority = 0;           ///< smaller goes first; see SchedulerConfig::aging_us
  // On the clock of schedule().
  int64_t deadline_us = kNoDeadline;        ///< ends there with kDeadlineExceeded
  int64_t queue_deadline_us = kNoDeadline;  ///< with kUnavailable, if it was never admitted by then
  std::string cache_salt;  ///< shares cached prefixes only with requests of the same salt
  uint64_t fork_of = 0;    ///< id of a sequence with the same prompt, to share its blocks; 0: none
  bool awaits_token = false;  ///< needs its last token before its next step can be prepared, as
                              ///< grammars do; others run ahead
  uint64_t tag = 0;           ///< comes back with every event
};

class Sequence {
 public:
  /// `block_size` only sizes its tables.
  Sequence(SequenceRequest request, int64_t block_size);

  uint64_t id() const { return id_; }

  /// SequenceRequest::tag
  uint64_t tag() const { return tag_; }

  int64_t max_tokens() const { return max_tokens_; }

  bool awaits_token() const { return awaits_token_; }

  const SequenceRequest& request() const { return request_; }

  /// nullptr: no grammar.
  GrammarState* grammar() const { return grammar_.get(); }

  /// Prompt, then output.
  std::span<const int32_t> tokens() const { return tokens_; }

  int64_t token_count() const { return static_cast<int64_t>(tokens_.size()); }

  int64_t prompt_count() const { return prompt_count_; }

  int64_t output_count() const { return token_count() - prompt_count_; }

  /// Leading tokens of the prompt whose logits score the token after them.
  int64_t score_count() const {
    return request_.sampling.prompt_logprobs < 0 ? 0 : prompt_count_ - 1;
  }

  /// Leading tokens whose KV is stored, in `blocks`.
  int64_t computed() const { return computed_; }

  std::vector<int32_t>& blocks() { return blocks_; }

  const std::vector<int32_t>& blocks() const { return blocks_; }

  /// What the sampler needs to draw tokens after all known ones.
  SampleRow sample_row() const;

  void set_computed(int64_t count) { computed_ = count; }

  /// Takes one generated token. A set result ends the sequence: kStop (the token was a stop id and
  /// was not taken) or kLength.
  std::optional<FinishReason> append(int32_t token);

 private:
  // What every step touches comes first, with copies from the request.
  std::vector<int32_t> tokens_;
  std::vector<int32_t> blocks_;
  int64_t prompt_count_ = 0;
  int64_t computed_ = 0;
  uint64_t stop_filter_ = 0;  // bit id % 64 of each stop id: most tokens need no search
  uint64_t id_ = 0;
  uint64_t tag_ = 0;
  int64_t max_tokens_ = 0;
  bool awaits_token_ = false;
  std::unique_ptr<GrammarState> grammar_;  // stands behind the whole output
  SequenceRequest request_;                // its prompt was moved into tokens_
};

}  // namespace tutti
