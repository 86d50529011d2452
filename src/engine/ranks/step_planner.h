// Turns a Batch into the StepPlan that all ranks run. Host only; of the engine thread.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/ranks/step_plan.h"
#include "engine/ranks/token_sampler.h"
#include "sched/batch.h"

namespace tutti {

struct PlannerConfig {
  StepShape shape;
  int64_t long_rope_from = 0;   ///< CausalLmInfo::long_rope_from
  bool records = false;         ///< the ranks have recorded decode steps of the padded sizes
  bool devices_sample = false;  ///< see TokenSampler::configure
};

class StepPlanner {
 public:
  void configure(const PlannerConfig& config);

  /// Plans the next step. Where tokens of steps in flight must be known first, `finish_earlier` is
  /// called: it gives them to sampler() and returns the error of a step that failed. `rows`: the
  /// sequences that sample, in batch order.
  Status plan(const Batch& batch,
              const std::function<Status()>& finish_earlier,
              StepPlan& plan,
              std::vector<SampledRow>& rows);

  /// Plans a step of known tokens whose logits of `logit_rows` (places in batch.tokens) the host
  /// wants; none: those of the last tokens of sequences that sample, for the devices to sample
  /// from.
  void plan_logits(const Batch& batch, std::span<const int32_t> logit_rows, StepPlan& plan);

  /// Plans a step of `sequences` sequences of `tokens` tokens each that stores nothing and yields
  /// nothing: as a decode step of a padded size, where `tokens` is 1. Longer ones sample tokens in
  /// every way that devices may have to.
  void plan_padding(int64_t sequences, int64_t tokens, StepPlan& plan);

  TokenSampler& sampler() { return sampler_; }

 private:
  // One step's words before they are packed; see DeviceInputs for what they mean. Reused.
  struct Words {
    std::vector<int32_t> tokens;
    std::vector<int32_t> token_rows;
    std::vector<int32_t> positions;
    std::vector<int32_t> kv_places;
    std::vector<int32_t> long_rope;  // [T] 1 where a token takes the long frequencies; or empty
    std::vector<int32_t> query_begin;
    std::vector<int32_t> context_before;
    std::vector<int32_t> key_begin;
    std::vector<int32_t> table_rows;
    std::vector<int32_t> logit_rows;
    std::vector<int32_t> sampled_rows;
  };

  void update_tables(const Batch& batch, StepPlan& plan);
  void fill(const Batch& batch, std::span<const int32_t> logit_rows, StepPlan& plan);
  void fill_long_rope(const Batch& batch);
  void pad(int64_t sequences, StepPlan& plan);
  void pack(StepPlan& plan);
  /// Whether the step is of the kind that is recorded, and how many sequences it is padded to.
  int64_t padded(const Batch& batch) const;

  PlannerConfig config_;
  std::vector<std::vector<int32_t>> tables_;  // blocks, by slot
  std::vector<int64_t> sizes_;
  Words words_;
  TokenSampler sampler_;
};

}  // namespace tutti
