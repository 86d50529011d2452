// One choice of one request as the engine sees it: tokens known so far, how many of them are
// computed, and the KV blocks that hold them. Only the engine thread touches a Sequence.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "sched/batch.h"
#include "sched/sampling_params.h"

namespace tutti {

/// What a submitter asks for. Must pass check_fits before it reaches a scheduler.
struct SequenceRequest {
  uint64_t id = 0;              ///< unique among live sequences
  std::vector<int32_t> prompt;  ///< at least one token
  SamplingParams sampling;
  int32_t choice = 0;
  int64_t max_tokens = 1;         ///< generated tokens, at least 1
  std::vector<int32_t> stop_ids;  ///< generating one of them ends the sequence; it is not output
};

/// News about one sequence. `finish` or a `status` that is not ok make it the last.
struct SequenceEvent {
  uint64_t sequence_id = 0;
  std::vector<SampledToken> tokens;  ///< new output, stop ids not included
  std::optional<FinishReason> finish;
  Status status;

  bool last() const { return finish.has_value() || !status.ok(); }
};

class Sequence {
 public:
  explicit Sequence(SequenceRequest request);

  uint64_t id() const { return request_.id; }

  const SequenceRequest& request() const { return request_; }

  /// Prompt, then output.
  std::span<const int32_t> tokens() const { return tokens_; }

  int64_t token_count() const { return static_cast<int64_t>(tokens_.size()); }

  int64_t prompt_count() const { return prompt_count_; }

  int64_t output_count() const { return token_count() - prompt_count_; }

  /// Leading tokens whose KV is stored, in `blocks`.
  int64_t computed() const { return computed_; }

  /// Known tokens still to run through the model: 1 while decoding, more while (re)computing.
  int64_t to_compute() const { return token_count() - computed_; }

  std::vector<int32_t>& blocks() { return blocks_; }

  const std::vector<int32_t>& blocks() const { return blocks_; }

  /// What the sampler needs to draw the token after all known ones.
  SampleRow sample_row() const;

  void add_computed(int64_t count);

  /// The KV is gone; everything known is to be computed again.
  void forget_computed() { computed_ = 0; }

  /// Takes one generated token. A set result ends the sequence: kStop (the token was a stop id and
  /// was not taken) or kLength.
  std::optional<FinishReason> append(int32_t token);

 private:
  SequenceRequest request_;  // its prompt is moved into tokens_
  std::vector<int32_t> tokens_;
  std::vector<int32_t> blocks_;
  int64_t prompt_count_ = 0;
  int64_t computed_ = 0;
};

}  // namespace tutti
