// What the devices sampled in one step, on its way to the host.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "backend/rank_group.h"
#include "engine/ranks/rank_worker.h"
#include "engine/ranks/token_sampler.h"
#include "sched/batch.h"

namespace tutti {

/// Rank 0's thread starts the copies; they are there when a fence has passed. Reused.
class SampledTokens {
 public:
  Status allocate(Device& device, int64_t max_sequences);

  /// Queues the copies of what the device of this rank sampled.
  Status fetch(RankHandles& rank, const StepResult& result);

  /// Waits, and adds a row to `output` for each of `rows`, which the step has sampled tokens for.
  Status read(std::span<const SampledRow> rows, StepOutput& output) const;

  /// Of a row that read() has waited for; negative: none could be sampled.
  int32_t token(size_t row) const { return static_cast<const int32_t*>(tokens_.data())[row]; }

 private:
  HostBuffer tokens_;     // [rows] i32
  HostBuffer top_ids_;    // [rows, kMaxTopLogprobs] i32
  HostBuffer log_probs_;  // [rows, 1 + kMaxTopLogprobs] f32: of the token, then of top_ids
  std::unique_ptr<Fence> done_;
};

}  // namespace tutti
