// One rank's share of a model: its weights, KV blocks and activations. All methods run on the
// rank's thread (RankGroup jobs).
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "backend/rank_group.h"
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

  /// Reads this rank's slices; `done` counts checkpoint bytes over all ranks.
  Status load(RankContext& rank,
              const Checkpoint& checkpoint,
              const QuantConfig& quant,
              std::atomic<int64_t>& done);
  Status load_dummy(RankContext& rank, DType dtype);

  /// Bytes of the activations of any step within `shape`: one pass with ops that compute nothing.
  int64_t measure_arena(const StepShape& shape);

  /// KV blocks and the activation arena; after the weights are loaded.
  Status allocate(RankContext& rank, int64_t num_blocks, const StepShape& shape);

  /// Runs the batch; logits of `rows` (indices into batch.tokens) as [rows, vocab], valid until the
  /// next call. `sampled`: the last token of each slot.
  Result<TensorView> forward(RankContext& rank,
                             const Batch& batch,
                             const std::vector<int32_t>& rows,
                             std::span<const int32_t> sampled);

  /// The same for the rows the batch scores and samples from, sequence by sequence.
  Result<TensorView> forward(RankContext& rank,
                             const Batch& batch,
                             std::span<const int32_t> sampled);

  /// Greedy choices for the logits that forward() returned, see Ops::argmax; valid as long as they
  /// are.
  TensorView argmax(RankContext& rank, ConstTensorView logits, int64_t limit);

  int64_t read_bytes() const { return read_bytes_; }

  int64_t weight_bytes() const;

  struct DecodeWeights {
    int64_t bytes = 0;
    int64_t elements = 0;
  };

  /// What one decode step reads of the weights; of an untied embedding table it looks up rows only.
  DecodeWeights decode_weights() const;

 private:
  RankWorker() = default;
  Result<TensorView> run(RankContext& rank, const Batch& batch, std::span<const int32_t> sampled);

  int rank_ = 0;
  int ranks_ = 1;
  ParamRegistry registry_;
  std::unique_ptr<CausalLm> model_;
  CausalLmInfo info_;  // the model's, with the KV cache in the compute type
  std::optional<KvCache> kv_;
  std::optional<Arena> arena_;
  BlockTables tables_;
  HostInputs inputs_;
  int64_t read_bytes_ = 0;
};

/// Rank counts up to `limit` that this model can be split over. Declares the model once per count.
std::vector<int> legal_rank_counts(const HfConfig& config, const ModelOptions& options, int limit);

}  // namespace tutti
