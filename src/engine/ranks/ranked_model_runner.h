// The real ModelRunner: a model on N ranks, one thread each. All ranks run the same StepPlan and
// come to the same tokens; rank 0 reports them.
#pragma once
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/rank_group.h"
#include "engine/model_runner.h"
#include "engine/ranks/memory_rules.h"
#include "engine/ranks/rank_worker.h"
#include "engine/ranks/sampled_tokens.h"
#include "engine/ranks/step_planner.h"
#include "loader/hf_config.h"

namespace tutti {

/// Bytes of the checkpoint read so far, of all that the ranks will read together.
struct LoadProgress {
  int64_t done = 0;
  int64_t total = 0;
};

enum class LoadFormat { kCheckpoint, kDummy };

struct ModelLoadOptions {
  std::string directory;
  int ranks = 1;  ///< 0 = as many as the backend chooses
  /// The one rank has the share of rank 0 of so many (backend/lone_rank.h); 0 = `ranks`.
  int one_of = 0;
  std::chrono::milliseconds collective_timeout{30'000};  ///< see RankRequest
  std::chrono::milliseconds step_timeout{600'000};       ///< see RankGroupOptions
  std::optional<RankStall> stall;                        ///< for tests
  int64_t context = 0;  ///< tokens; 0 = as much of the model's context as memory allows
  int64_t kv_memory =
      0;  ///< bytes for the KV cache in each memory pool; 0 = chosen from free memory
  int64_t max_batch_tokens = 512;
  int64_t max_batch_sequences = 64;
  int64_t max_logit_rows = 64;  ///< logit rows of one step; scoring wants max_batch_tokens
  int64_t max_score_rows = 0;   ///< and as many more for prompts; see RunnerLimits
  /// Rows of one step whose logits a device with memory of its own changes as requests want (see
  /// AdjustedRows); steps with more are sampled on the host.
  int64_t max_adjusted_rows = AdjustedRows::kMaxRows;
  int64_t block_size = 16;
  int64_t vocab_limit = 0;  ///< ids the tokenizer knows; larger ones are never drawn. 0 = all
  LoadFormat format = LoadFormat::kCheckpoint;
  DType dummy_dtype = DType::kBF16;
  std::optional<DType> compute;  ///< of activations and KV cache; unset = the backend's default
  /// Whether decode steps are recorded where devices can. Not with operations of tests that wait.
  bool record_steps = true;
  std::string cache_directory;  ///< where measurements are kept (TuningCache); empty: nowhere
  ModelOptions model;
  std::function<void(const LoadProgress&)>
      progress;  ///< called a few times per second from the loading thread
};

class RankedModelRunner final : public ModelRunner {
 public:
  /// Checks everything that can be checked (rank count, tensors, memory) before anything large is
  /// allocated.
  static Result<std::unique_ptr<RankedModelRunner>> load(Backend& backend,
                                                         const ModelLoadOptions& options);
  ~RankedModelRunner() override;

  const RunnerLimits& limits() const override { return limits_; }

  Status submit(const Batch& batch) override;
  Status collect(StepOutput& output) override;

  double waited_seconds() const override { return waited_seconds_; }

  /// Runs the batch alone and returns the logits of `rows`, [rows, vocab]. No step may be pending.
  Result<std::vector<float>> logits(const Batch& batch, const std::vector<int32_t>& rows);

  /// How long every operation of rank 0 takes in a step like `batch`, whose sequences are known and
  /// whose tokens are given. Its KV is stored again. No step may be pending.
  Result<std::vector<OpTiming>> profile(const Batch& batch);

  const HfConfig& config() const { return config_; }

  /// Type of activations and KV cache.
  DType compute() const { return shared_->workers.front()->info().kv.dtype; }

  int ranks() const { return group_->size(); }

  /// On what they run, and what is left out.
  const RankChoice& rank_choice() const { return rank_choice_; }

  int64_t weight_bytes() const;

  /// Bytes of the KV cache over all ranks.
  int64_t kv_bytes() const {
    return limits_.num_blocks * limits_.block_size * kv_bytes_per_token();
  }

  /// What loading was planned to take and, on devices with memory of their own, took: of the pool
  /// that limits the KV cache most.
  const MemoryPlan& memory() const { return pools_[tightest_]; }

  int64_t kv_bytes_per_token() const;
  /// Weights that decode steps use, of all ranks: all of them, but of the embedding table only
  /// rows.
  RankWorker::DecodeWeights decode_weights() const;
  /// Checkpoint bytes each rank read.
  std::vector<int64_t> read_bytes() const;

  /// How long the weights took: from the first allocation for them to the last byte on the slowest
  /// rank's device.
  double load_seconds() const { return load_seconds_; }

 private:
  static constexpr size_t kMaxPending = 4;

  // A submitted step. Reused.
  struct Pending {
    const Batch* batch = nullptr;
    StepPlan plan;
    std::vector<SampledRow> rows;  // that the devices sample tokens for
    SampledTokens sampled;         // written by rank 0
    StepOutput output;             // when finished
    Status status;                 // when finished
  };

  // What the ranks' threads use. Left behind where one of them never returns.
  struct Shared {
    std::vector<std::unique_ptr<RankWorker>> workers;
    std::array<Pending, kMaxPending> pending;  // by number of submission
    std::vector<float> logits;                 // of the one step whose tokens the host samples
    std::unique_ptr<TuningCache> tuning;
    StepPlan warm_up_plan;

    Status run_step(RankHandles& rank, uint64_t number);
  };

  RankedModelRunner() = default;
  /// Sets rank_choice_, and options.ranks to what it says.
  Status choose_ranks(Backend& backend, ModelLoadOptions& options);
  Status declare(const ModelLoadOptions& options, DType compute);
  Result<int64_t> plan(const TensorSource* checkpoint,
                       Backend& backend,
                       const ModelLoadOptions& options);
  /// Adds what the rank needs to `memory`; the bytes it will read of the checkpoint.
  Result<int64_t> add_rank(const TensorSource* checkpoint,
                           int rank,
                           const StepShape& shape,
                           const ModelLoadOptions& options,
                           MemoryPlan& memory);
  /// Adds the KV cache's share to pools_, which have the ranks' needs without it.
  Status size_kv(const std::vector<MemoryPool>& pools,
                 bool shared,
                 const ModelLoadOptions& options);
  StepShape step_shape(const ModelLoadOptions& options) const;
  /// Whether all devices have what was planned, and add up; see load_check.h.
  Status check_loaded(Backend& backend);
  /// With `checkpoint` nullptr: dummy weights. `total` bytes will be read.
  Status load_weights(const TensorSource* checkpoint,
                      int64_t total,
                      const ModelLoadOptions& options);
  Status prepare_steps(const StepShape& shape, bool devices_sample, bool record);
  /// Runs, and records if steps are recorded, every padded size and prompts of all sizes, so that
  /// no request pays for what is done once.
  Status warm_up(const StepShape& shape, bool record);
  Status tune_collectives();
  /// Waits for the submitted steps before `number` and fills their outputs. An error ends the
  /// runner; a step that was lost alone says so in its status.
  Status finish_before(uint64_t number);
  Status finish(Pending& step);

  HfConfig config_;
  RankChoice rank_choice_;
  RunnerLimits limits_;
  std::vector<MemoryPlan> pools_;  // of all ranks' memory
  size_t tightest_ = 0;            // of pools_: where the KV cache has least room
  int64_t max_adjusted_ = 0;       // rows; none where the host samples anyway
  double load_seconds_ = 0;
  std::unique_ptr<Shared> shared_ = std::make_unique<Shared>();
  StepPlanner planner_;
  uint64_t submitted_ = 0;
  uint64_t finished_ = 0;
  uint64_t collected_ = 0;
  double waited_seconds_ = 0;  // in the last submit()
  std::unique_ptr<RankGroup> group_;
};

}  // namespace tutti
