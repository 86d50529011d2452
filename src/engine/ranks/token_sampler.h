// Where the tokens of a step are sampled: by the devices, which is planned here, or by the host's
// sampler from copied logits. Host only; of the engine thread, in the order of the steps.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/ranks/adjusted_rows.h"
#include "engine/ranks/step_plan.h"
#include "engine/sampler.h"
#include "engine/sampler_rows.h"
#include "sched/batch.h"

namespace tutti {

/// A sequence that a step samples a token for.
struct SampledRow {
  uint64_t sequence_id = 0;
  int32_t slot = 0;
  uint64_t occupant = 0;      ///< of the slot; see SamplerRows
  int32_t top_logprobs = -1;  ///< as in SamplingParams
};

class TokenSampler {
 public:
  /// `devices_sample`: draws, changed logits and log-probabilities are the devices' too. Where
  /// ranks compute on the host, its sampler is faster than the operations and need not copy.
  void configure(const StepShape& shape, bool devices_sample);

  /// Before anything else of a step.
  void join(const Batch& batch);

  /// Whether plan_step() wants tokens of steps that took() has not told yet.
  bool needs_tokens(const Batch& batch) const;

  /// Decides who samples the tokens of all rows and plans it: one row that needs the host takes the
  /// whole step there. `rows`: the sequences that sample.
  void plan_step(const Batch& batch, StepPlan& plan, std::vector<SampledRow>& rows);

  /// Plans the likeliest token for every row.
  void plan_greedy(StepPlan& plan);

  /// Plans, for `rows` rows that yield nothing, all that devices may have to do: draws,
  /// log-probabilities and changes of logits.
  void plan_everything(int64_t rows, StepPlan& plan);

  /// Appends what was planned last to the plan, whose rows are complete by now.
  void pack(StepPlan& plan);

  /// A device sampled `token` for the row; negative: none.
  void took(const SampledRow& row, int32_t token);

  /// Chooses the tokens of a step that plan_step() left to the host. `logits`: [rows, vocab_size],
  /// those of the step in batch order. Adds a row to `output` for every sequence that yields.
  void sample_on_host(const Batch& batch, std::span<const float> logits, StepOutput& output);

  /// Whether the step planned last is the host's.
  bool host_sampled_last() const { return host_sampled_last_; }

  /// What sample_on_host() sampled last for the slot.
  int32_t host_token(int32_t slot) const { return host_tokens_[usize(slot)]; }

 private:
  // How often devices have sampled for the slot's sequence without took() having said so.
  struct Unread {
    uint64_t occupant = 0;
    int32_t count = 0;
  };

  /// Whether the devices can sample the row's token at all.
  bool suits_device(const BatchSequence& s, const SampleRow& row) const;
  /// Whether the devices sample the tokens of all rows; fills draws_ and log_probs_.
  bool devices_can_sample(const Batch& batch);
  void place_adjusted(const Batch& batch, StepPlan& plan);
  bool unread(int32_t slot) const;
  /// What `logits` from `row` on, [.., vocab], say about one sequence.
  RowOutput read_row(const Batch& batch,
                     const BatchSequence& sequence,
                     std::span<const float> logits,
                     StepOutput& out);

  int64_t vocab_size_ = 0;
  int64_t vocab_limit_ = 0;
  bool devices_sample_ = false;
  bool host_sampled_last_ = false;
  SamplerRows rows_;
  SamplerScratch scratch_;
  AdjustedRows adjusted_;
  std::vector<Unread> unread_;        // by slot
  std::vector<int32_t> host_tokens_;  // by slot
  // Of the step being planned: of every row of logits or none.
  std::vector<DrawParams> draws_;
  std::vector<int32_t> log_probs_;
  // Of the rows of logits that are changed first; both equally many.
  std::vector<AdjustParams> adjusts_;
  std::vector<DrawParams> adjusted_draws_;
};

}  // namespace tutti
