// Sampling a step's tokens on the ranks' devices, from logits of which every rank has those of some
// ids. What moves between ranks: two words a row where the likeliest token is wanted; where tokens
// are drawn or log-probabilities wanted, the logits of each row to the one rank that works on it;
// all logits to all ranks only for rows whose logits are changed first, or that the host wants.
#pragma once
#include "backend/rank_group.h"
#include "device/arena.h"
#include "engine/ranks/rank_inputs.h"
#include "engine/ranks/step_plan.h"
#include "ops/ops.h"

namespace tutti {

/// On the device; valid until the next step.
struct StepResult {
  TensorView logits;   ///< [rows, vocab]; undefined where the host has no use for them
  TensorView sampled;  ///< [rows] i32, or more: padding; undefined where the host samples
  // Of the rows that want log-probabilities, if there are any; see Ops::log_probs.
  TensorView top_ids;    ///< [rows, kMaxTopLogprobs] i32, or more: padding
  TensorView log_probs;  ///< [rows, 1 + kMaxTopLogprobs] f32, or more: padding
};

class DeviceSampler {
 public:
  struct Vocabulary {
    int64_t size = 0;
    int64_t limit = 0;     ///< ids from here on are never sampled
    int64_t first_id = 0;  ///< of this rank's logits
  };

  /// `arena`: where results live, and what is kept of a step only. `tables`: see AdjustedTables.
  DeviceSampler(RankHandles& rank, Arena& arena, Vocabulary vocabulary, AdjustTables tables)
      : rank_(rank), arena_(arena), vocabulary_(vocabulary), tables_(tables) {}

  /// Allocates from `arena` what any step of `rows` takes at most.
  static void measure(Arena& arena, const StepRows& rows, int64_t vocab_size, int ranks);

  /// Queues the choice from `part`, [rows, ids of this rank] f32. Every rank comes to the same
  /// tokens.
  Result<StepResult> sample(const StepPlan& plan, TensorView part);

 private:
  TensorView gather_all(TensorView part);
  Result<DeviceSampling> upload(const StepPlan& plan);
  void sample_largest(TensorView tokens, ConstTensorView part);
  void sample_by_rows(const DeviceSampling& sampling, TensorView part, const StepResult& out);
  void sample_from(const DeviceSampling& sampling, ConstTensorView logits, const StepResult& out);
  void sample_adjusted(const DeviceSampling& sampling, const StepResult& out);
  void gather_rows(TensorView all, ConstTensorView mine);

  RankHandles& rank_;
  Arena& arena_;
  Vocabulary vocabulary_;
  AdjustTables tables_;
};

}  // namespace tutti
