// A step's inputs on one rank's device: where the words of a StepPlan lie, and how they get there.
#pragma once
#include <cstdint>

#include "backend/rank_group.h"
#include "device/arena.h"
#include "engine/ranks/step_plan.h"
#include "nn/step_context.h"

namespace tutti {

/// What the forward pass reads: T tokens, S sequences, R rows of logits. The ops fill `tokens` with
/// what only the devices know and gather `block_table` before the forward pass reads `step`.
struct DeviceInputs {
  StepInputs step;
  TensorView packed;           ///< StepPlan::inputs
  TensorView tokens;           ///< [T] i32; negative: the token last sampled for the slot
  ConstTensorView token_rows;  ///< [T] i32: slot of each token's sequence
  ConstTensorView table_rows;  ///< [S] i32: slot of each sequence
  TensorView block_table;      ///< [S, width] i32
  ConstTensorView
      sampled_rows;  ///< [R] i32: slot that each row of logits yields a token for, or -1
};

/// How tokens are sampled from R rows of logits, A of which are changed first.
struct DeviceSampling {
  TensorView packed;               ///< StepPlan::sampling
  ConstTensorView log_probs;       ///< [R] i32: see Ops::log_probs; or no rows
  ConstTensorView draws;           ///< [R, 6] i32: DrawParams; or no rows
  ConstTensorView adjusted;        ///< [A, 7] i32: AdjustParams
  ConstTensorView adjusted_draws;  ///< [A, 6] i32: DrawParams
};

/// Allocates the tensors from `arena`, where they live until its next reset.
DeviceInputs lay_out_inputs(Arena& arena,
                            const StepRows& rows,
                            int64_t table_width,
                            int64_t block_size);
DeviceSampling lay_out_sampling(Arena& arena, const StepRows& rows);

/// The block tables of all slots on one device.
class DeviceTables {
 public:
  /// Device memory of the tables, in bytes.
  static int64_t device_bytes(int64_t slots, int64_t width);

  /// `width`: most blocks of a sequence.
  Status allocate(RankHandles& rank, int64_t slots, int64_t width);

  /// Takes and gives back what update() borrows of an arena at most.
  static void borrow(Arena& arena);

  /// Queues the plan's changes. `arena` lends memory for the upload.
  Status update(RankHandles& rank, Arena& arena, const StepPlan& plan);

  /// Columns [0, width) of the tables: [slots, width] i32. Entries that nobody set are 0.
  ConstTensorView columns(int64_t width) const { return device_.view().slice(1, 0, width); }

  int64_t width() const { return device_.shape()[1]; }

 private:
  Tensor device_;  // [slots, width] i32
};

}  // namespace tutti
