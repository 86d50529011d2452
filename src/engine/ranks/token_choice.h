// How rank 0 comes to the tokens of a step: its device chooses them where it can, and else the
// host's sampler does from copied logits.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "backend/rank_group.h"
#include "engine/ranks/adjusted_rows.h"
#include "engine/ranks/rank_worker.h"
#include "engine/sampler.h"
#include "engine/sampler_rows.h"
#include "sched/batch.h"

namespace tutti {

/// What the device chose in one step, on its way to the host. Rank 0's thread starts it; it is
/// there when `done` has passed. Reused.
struct ChosenTokens {
  struct Row {
    uint64_t sequence_id = 0;
    int32_t slot = 0;
    uint64_t tenant = 0;        ///< of the slot; see SamplerRows
    int32_t top_logprobs = -1;  ///< as in SamplingParams
  };

  Status allocate(Device& device, int64_t max_sequences);

  /// Waits, and adds a row to `output` for each of `rows`.
  Status read(StepOutput& output) const;

  std::span<const int32_t> token_ids() const {
    return {static_cast<const int32_t*>(tokens.data()), rows.size()};
  }

  std::vector<Row> rows;  ///< those that sample, in batch order
  HostBuffer tokens;      ///< [rows] i32
  HostBuffer top_ids;     ///< [rows, kMaxTopLogprobs] i32
  HostBuffer log_probs;   ///< [rows, 1 + kMaxTopLogprobs] f32: of the token, then of top_ids
  std::unique_ptr<Fence> done;
};

/// All calls come from rank 0's thread, in the order of the steps.
class TokenChooser {
 public:
  /// Rows of logits have `vocab_size` columns; ids from `vocab_limit` on are never drawn.
  void configure(int64_t vocab_size, int64_t vocab_limit) {
    vocab_size_ = vocab_size;
    vocab_limit_ = vocab_limit;
  }

  /// Memory of the device for rows that are adjusted there; without it the host takes them.
  Status allocate(RankContext& rank, int64_t adjusted, int64_t slots) {
    return adjusted_.allocate(rank, adjusted, slots, vocab_size_);
  }

  /// Before anything else of a step.
  Status join(const Batch& batch);

  /// How the device chooses the tokens of all rows; unset if a row needs the host. Valid until the
  /// next step.
  Result<std::optional<RankWorker::Choice>> on_device(RankContext& rank, const Batch& batch);

  /// Queues the copies of what the device chose.
  Status fetch(RankContext& rank,
               const Batch& batch,
               const RankWorker::StepResult& result,
               ChosenTokens& to);

  /// Chooses on the host and waits for the logits. `sampled`: by slot, the tokens for the next
  /// step.
  Status on_host(RankContext& rank,
                 const Batch& batch,
                 ConstTensorView logits,
                 std::vector<int32_t>& sampled,
                 StepOutput& output);

 private:
  // A step whose tokens the rows do not have yet.
  struct Unread {
    uint64_t step = 0;
    const ChosenTokens* chosen = nullptr;
  };

  /// Whether the device can choose the row's token at all.
  bool suits_device(const RankContext& rank, const BatchSequence& s, const SampleRow& row) const;
  /// Gives the rows the tokens that the device chose before step `before`; waits for them.
  Status learn(uint64_t before);
  /// Whether a step that was not learned has a token of the slot's sequence.
  bool unread(int32_t slot) const;
  Status place_adjusted(RankContext& rank, const Batch& batch);
  /// What logits_ from `row` on, [.., vocab], say about one sequence.
  RowOutput read_row(const Batch& batch,
                     const BatchSequence& sequence,
                     size_t row,
                     std::vector<int32_t>& sampled,
                     StepOutput& out);

  int64_t vocab_size_ = 0;
  int64_t vocab_limit_ = 0;
  SamplerRows rows_;
  SamplerScratch scratch_;
  std::vector<DrawParams> draws_;
  std::vector<int32_t> log_probs_;
  AdjustedRows adjusted_;
  std::vector<AdjustParams> adjusts_;
  std::vector<DrawParams> adjusted_draws_;
  uint64_t step_ = 0;  // of this chooser, from 1 on
  std::vector<Unread> unread_;
  std::vector<float> logits_;
};

}  // namespace tutti
