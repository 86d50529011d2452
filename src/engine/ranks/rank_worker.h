// One rank's share of a model: its weights, KV blocks and activations. All methods run on the
// rank's thread (RankGroup jobs).
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "architectures/registry.h"
#include "backend/rank_group.h"
#include "engine/ranks/adjusted_tables.h"
#include "engine/ranks/device_sampler.h"
#include "engine/ranks/op_timer.h"
#include "engine/ranks/rank_inputs.h"
#include "engine/ranks/step_plan.h"
#include "loader/weight_loader.h"

namespace tutti {

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

  /// What the model declared.
  const ParamRegistry& params() const { return registry_; }

  /// Compares the declarations with the checkpoint (nullptr: dummy weights, of type `made_up` where
  /// config.json says nothing else).
  Result<LoadPlan> plan(const TensorSource* tensors,
                        const QuantConfig& quant,
                        DType made_up = DType::kBF16);

  /// Reads this rank's slices with `threads` threads; `done` counts checkpoint bytes over all
  /// ranks.
  Status load(RankHandles& rank,
              const TensorSource& tensors,
              const QuantConfig& quant,
              int threads,
              std::atomic<int64_t>& done);
  Status load_dummy(RankHandles& rank, const QuantConfig& quant, DType made_up, int threads);

  /// Bytes of the activations of any step within `shape`: one pass with ops that compute nothing.
  /// MLA's expanded form gathers keys: here those of one sequence of full length.
  int64_t measure_arena(const StepShape& shape);

  /// kUnsupported if the rank's ops lack one of the model's operations, in the formats that plan()
  /// found its weights in.
  Status check_supported(RankHandles& rank, const StepShape& shape);

  /// Bytes that are kept from step to step: block tables, the slots' last tokens, and what is known
  /// of rows with changed logits.
  static int64_t table_bytes(const StepShape& shape);

  /// KV blocks, tables and the activation arena; after the weights are loaded.
  Status allocate(RankHandles& rank, const StepShape& shape);

  /// Whether equally large decode steps run equal operations, so that they can be recorded. MLA's
  /// expanded form allocates by the lengths of the contexts.
  bool steady() const { return steady_; }

  /// Queues the step. Every rank comes to the same result.
  Result<StepResult> run(RankHandles& rank, const StepPlan& plan);

  /// Queues the step without the collectives, which leaves nothing of worth behind: libraries load
  /// what they need and measure their products while no other rank waits.
  Status rehearse(RankHandles& rank, const StepPlan& plan);

  /// Records the step's forward pass, logits and all, for run() to replay when a plan of as many
  /// sequences says that it is recorded. Waits for what was queued before. No rank may be waiting
  /// for this one.
  Status record(RankHandles& rank, const StepPlan& plan);

  /// Runs the step a few times, operation by operation, and says how long each took.
  Result<std::vector<OpTiming>> profile(RankHandles& rank, const StepPlan& plan);

  int64_t read_bytes() const { return read_bytes_; }

  int64_t weight_bytes() const;

  /// Adds what this rank's weights take, by the names of their formats.
  void add_format_bytes(std::map<std::string, int64_t>& formats) const;

  struct DecodeWeights {
    int64_t bytes = 0;         ///< without experts
    int64_t elements = 0;      ///< without experts
    int64_t expert_bytes = 0;  ///< of all routed experts
    int64_t expert_elements = 0;
  };

  /// What decode steps use of the weights; of an untied embedding table they look up rows only.
  DecodeWeights decode_weights() const;

 private:
  // The forward pass of decode steps of one padded size. They differ only in what lies in memory.
  struct DecodeGraph {
    std::unique_ptr<Graph> graph;
    TensorView logits;  // of this rank's ids
    int64_t used = 0;   // of the arena
  };

  RankWorker() = default;
  Result<DeviceInputs> upload(RankHandles& rank, const StepPlan& plan);
  DeviceInputs lay_out(const StepPlan& plan);
  // The forward pass of a step of the largest shape, without memory behind it.
  void dry_run(Ops& ops, Arena& arena, const StepShape& shape);
  // From a step's inputs to the logits of this rank's ids: what is measured, run and recorded.
  TensorView forward(const StepContext& ctx) const;
  TensorView forward(RankHandles& rank, const DeviceInputs& in);
  Result<StepResult> sample(RankHandles& rank,
                            const StepPlan& plan,
                            const DeviceInputs& in,
                            TensorView logits);

  int rank_ = 0;
  int ranks_ = 1;
  ParamRegistry registry_;
  std::unique_ptr<CausalLm> model_;
  CausalLmInfo info_;  // the model's, with the KV cache in the compute type
  StepShape shape_;
  std::optional<KvCache> kv_;
  std::optional<Arena> arena_;
  DeviceTables tables_;
  AdjustedTables adjusted_;
  Tensor last_tokens_;  // [slots] i32
  bool steady_ = true;
  std::map<int64_t, DecodeGraph> graphs_;  // by padded number of sequences
  int64_t read_bytes_ = 0;
};

/// Rank counts up to `limit` that this model can be split over. Declares the model once per count.
std::vector<int> legal_rank_counts(const HfConfig& config, const ModelOptions& options, int limit);

}  // namespace tutti
