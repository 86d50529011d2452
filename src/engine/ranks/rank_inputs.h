// Turns a Batch into the device tensors a forward pass reads: one upload a step.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "backend/rank_group.h"
#include "device/arena.h"
#include "nn/step_context.h"
#include "sched/batch.h"

namespace tutti {

/// Rows of a step's tensors, padding included.
struct StepRows {
  int64_t tokens = 0;
  int64_t sequences = 0;
  int64_t logits = 0;
  int64_t draws = 0;      ///< 0 or `logits`
  int64_t log_probs = 0;  ///< 0 or `logits`
  int64_t adjusted = 0;   ///< rows of logits that requests change, and padding
  int64_t ropes = 0;      ///< 0 or `tokens`: of models with two sets of rotary frequencies
};

/// The block tables of all slots, kept up to date by what each batch says has changed: on the host,
/// where slots of the cache are computed, and on the device, where attention reads them.
class BlockTables {
 public:
  /// Device memory of the tables.
  static int64_t device_bytes(int64_t slots, int64_t width);

  /// `width`: most blocks of a sequence.
  Status allocate(RankContext& rank, int64_t slots, int64_t width);

  /// Takes and gives back what update() borrows of an arena at most.
  static void borrow(Arena& arena);

  /// `arena` lends memory for the upload.
  Status update(RankContext& rank, Arena& arena, const Batch& batch);

  std::span<const int32_t> of(int32_t slot) const { return tables_[static_cast<size_t>(slot)]; }

  /// Columns [0, width) of the tables: [slots, width] i32. Entries that nobody set are 0.
  ConstTensorView device(int64_t width) const { return device_.view().slice(1, 0, width); }

  int64_t width() const { return device_.shape()[1]; }

  int64_t slots() const { return device_.shape()[0]; }

 private:
  Status upload(RankContext& rank, Arena& arena);

  std::vector<std::vector<int32_t>> tables_;  // by slot
  Tensor device_;                             // [slots, width] i32
  std::vector<int32_t> places_;               // changes on their way to the device
  std::vector<int32_t> blocks_;
};

/// One step's inputs in host memory; see DeviceInputs for what they mean. Reused.
struct HostInputs {
  std::vector<int32_t> tokens;
  std::vector<int32_t> token_rows;
  std::vector<int32_t> positions;
  std::vector<int32_t> slots;
  std::vector<int32_t> long_rope;  ///< [T] 1 where a token takes the long frequencies; or empty
  std::vector<int32_t> query_begin;
  std::vector<int32_t> context_before;
  std::vector<int32_t> key_begin;
  std::vector<int32_t> table_rows;
  std::vector<int32_t> logit_rows;
  std::vector<int32_t> sampled_rows;
  // How tokens are chosen: of every row of logits or none.
  std::vector<DrawParams> draws;
  std::vector<int32_t> log_probs;  ///< how many are wanted (see Ops::log_probs)
  // Of the rows of logits that are changed first; both equally many.
  std::vector<AdjustParams> adjusted;
  std::vector<DrawParams> adjusted_draws;
  std::vector<int32_t> packed;  ///< all of them, one after another
  int64_t max_queries = 0;
  int64_t max_keys = 0;

  StepRows rows() const;
};

/// A step's inputs in device memory, and how they come about: the ops fill `tokens` with what only
/// the device knows and gather `block_table` before the forward pass reads `step`.
struct DeviceInputs {
  StepInputs step;
  TensorView packed;               ///< all that the host computes
  TensorView tokens;               ///< [T]; negative: the token last sampled for the slot
  ConstTensorView token_rows;      ///< [T]: slot of each token's sequence
  ConstTensorView table_rows;      ///< [S]: slot of each sequence
  TensorView block_table;          ///< [S, width]
  ConstTensorView sampled_rows;    ///< [R]: slot that each row of logits yields a token for, or -1
  ConstTensorView draws;           ///< [R, 6]: DrawParams; or no rows
  ConstTensorView log_probs;       ///< [R]: see Ops::log_probs; or no rows
  ConstTensorView adjusted;        ///< [A, 7]: AdjustParams
  ConstTensorView adjusted_draws;  ///< [A, 6]: DrawParams
};

/// Fills `out` with the batch. `logit_rows`: token rows whose logits are wanted; empty: the last of
/// every sequence that samples. `long_rope_from` is the model's (CausalLmInfo). `tables` must be up
/// to date with the batch. No tokens are chosen.
void fill_host_inputs(const Batch& batch,
                      const BlockTables& tables,
                      std::span<const int32_t> logit_rows,
                      int64_t block_size,
                      int64_t long_rope_from,
                      HostInputs& out);

/// Adds sequences of one token that nobody waits for, up to `sequences` in all: they store nothing
/// and yield nothing. For batches in which every sequence has one token and samples.
void pad_host_inputs(int64_t sequences, HostInputs& out);

/// Allocates the tensors from `arena`, where they live until its next reset.
DeviceInputs lay_out_inputs(Arena& arena,
                            const StepRows& rows,
                            int64_t table_width,
                            int64_t block_size);

/// Queues the upload. `host` may change afterwards.
Status upload_inputs(RankContext& rank, HostInputs& host, const DeviceInputs& device);

}  // namespace tutti
