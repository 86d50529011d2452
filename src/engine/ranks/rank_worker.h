// One rank's share of a model: its weights, KV blocks and activations. All methods run on the
// rank's thread (RankGroup jobs).
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "backend/rank_group.h"
#include "engine/ranks/op_timer.h"
#include "engine/ranks/rank_inputs.h"
#include "loader/weight_loader.h"
#include "models/registry.h"
#include "sched/batch.h"

namespace tutti {

/// Shapes the worker must be ready for; its activation arena is sized from them.
struct StepShape {
  int64_t max_tokens = 512;
  int64_t max_sequences = 64;
  int64_t max_logit_rows = 64;
  int64_t max_context = 0;
  int64_t block_size = 16;
  int64_t max_adjusted =
      0;  ///< rows of logits of rank 0 that requests may change; see AdjustedRows
};

class RankWorker {
 public:
  /// Declares the model for rank `rank` of `ranks`; allocates nothing. `compute` is the type of
  /// activations and of the KV cache.
  static Result<std::unique_ptr<RankWorker>> create(const HfConfig& config,
                                                    const ModelOptions& options,
                                                    int rank,
                                                    int ranks,
                                                    DType compute = DType::kF32);

  const CausalLmInfo& info() const { return info_; }

  /// Compares the declarations with the checkpoint (nullptr: dummy weights).
  Result<LoadPlan> plan(const Checkpoint* checkpoint, const QuantConfig& quant);

  /// Device memory of dummy weights.
  Result<int64_t> dummy_bytes(DType dtype);

  /// Reads this rank's slices with `threads` threads; `done` counts checkpoint bytes over all
  /// ranks.
  Status load(RankContext& rank,
              const Checkpoint& checkpoint,
              const QuantConfig& quant,
              int threads,
              std::atomic<int64_t>& done);
  Status load_dummy(RankContext& rank, DType dtype, int threads);

  /// Bytes of the activations of any step within `shape`: one pass with ops that compute nothing.
  int64_t measure_arena(const StepShape& shape);

  /// Bytes that are kept from step to step: block tables and the slots' last tokens.
  static int64_t table_bytes(const StepShape& shape);

  /// KV blocks, tables and the activation arena; after the weights are loaded.
  Status allocate(RankContext& rank, int64_t num_blocks, const StepShape& shape);

  /// On the device; valid until the next step.
  struct StepResult {
    TensorView logits;  ///< [rows, vocab]
    TensorView chosen;  ///< [rows] i32, or more: padding
    // Of the rows that want log-probabilities, if there are any; see Ops::log_probs.
    TensorView top_ids;    ///< [rows, kMaxTopLogprobs] i32, or more: padding
    TensorView log_probs;  ///< [rows, 1 + kMaxTopLogprobs] f32, or more: padding
  };

  /// How the device chooses the tokens of a step.
  struct Choice {
    int64_t limit = 0;  ///< among the ids below it
    // Of the rows that sample, or none.
    std::span<const DrawParams> draws{};   ///< none: all greedily
    std::span<const int32_t> log_probs{};  ///< how many are wanted; see Ops::log_probs
    // Of rows whose logits are changed, padded; the above take theirs as they are.
    std::span<const AdjustParams> adjusted{};
    std::span<const DrawParams> adjusted_draws{};
    AdjustTables tables{};
  };

  /// Queues the batch: logits of the rows it samples from. With `choice` also tokens for them (see
  /// Ops::argmax and Ops::draw), which the slots keep for the next step.
  Result<StepResult> step(RankContext& rank,
                          const Batch& batch,
                          const std::optional<Choice>& choice);

  /// The same for the logits of `rows` (indices into batch.tokens).
  Result<TensorView> logits(RankContext& rank,
                            const Batch& batch,
                            const std::vector<int32_t>& rows);

  /// Runs the batch a few times, operation by operation, and says how long each took.
  Result<std::vector<OpTiming>> profile(RankContext& rank, const Batch& batch);

  /// The slots' last tokens, where a step could not choose them on the device.
  Status set_last_tokens(RankContext& rank, std::span<const int32_t> tokens);

  int64_t read_bytes() const { return read_bytes_; }

  int64_t weight_bytes() const;

  struct DecodeWeights {
    int64_t bytes = 0;
    int64_t elements = 0;
  };

  /// What one decode step reads of the weights; of an untied embedding table it looks up rows only.
  DecodeWeights decode_weights() const;

 private:
  // The decode steps of one padded batch size. They differ only in what lies in memory.
  struct DecodeGraph {
    bool seen = false;  // ran once: libraries have loaded what they need
    std::unique_ptr<Graph> graph;
    StepResult result;
  };

  RankWorker() = default;
  Status begin(RankContext& rank,
               const Batch& batch,
               std::span<const int32_t> logit_rows,
               const std::optional<Choice>& choice);
  /// Columns of the block table that this step reads.
  int64_t needed_width() const;
  Result<DeviceInputs> upload(RankContext& rank, int64_t table_width);
  TensorView forward(RankContext& rank, const DeviceInputs& in);
  void choose_adjusted(RankContext& rank,
                       const DeviceInputs& in,
                       const Choice& choice,
                       const StepResult& out);
  StepResult run(RankContext& rank, const DeviceInputs& in, const std::optional<Choice>& choice);
  bool replays(RankContext& rank, const Batch& batch) const;
  Result<StepResult> replay(RankContext& rank, const Choice& choice);

  int rank_ = 0;
  int ranks_ = 1;
  ParamRegistry registry_;
  std::unique_ptr<CausalLm> model_;
  CausalLmInfo info_;  // the model's, with the KV cache in the compute type
  std::optional<KvCache> kv_;
  std::optional<Arena> arena_;
  BlockTables tables_;
  Tensor last_tokens_;  // [slots] i32
  HostInputs inputs_;
  // Whether equally large decode steps run equal operations. MLA's expanded form allocates by the
  // lengths of the contexts.
  bool steady_ = true;
  // By padded number of sequences, whether any draws, whether any wants log-probabilities, and the
  // padded number of those with changed logits.
  std::map<std::tuple<int64_t, bool, bool, int64_t>, DecodeGraph> graphs_;
  int64_t read_bytes_ = 0;
};

/// Rank counts up to `limit` that this model can be split over. Declares the model once per count.
std::vector<int> legal_rank_counts(const HfConfig& config, const ModelOptions& options, int limit);

}  // namespace tutti
