// What a server does with a plan: which GPUs it takes where nobody named them, and whether it
// starts at all.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "backend/gpu_choice.h"
#include "plan/planner.h"

namespace tutti {

/// What was typed.
struct LaunchWish {
  GpuChoice gpus;
  int tp = 0;             ///< 0: chosen
  int ranks_per_gpu = 1;  ///< more is for tests, and nothing is planned
  PlanRequest request;    ///< context, memory of the cache, sizes of batches
};

struct Launch {
  std::vector<int64_t> gpus;  ///< CUDA's indices, one a rank; empty: as they were typed
  int tp = 0;                 ///< 0: as it was typed
  std::string paragraph;      ///< what is used, what is left out and why
  std::string left_out;       ///< of it, the GPUs that are not used; empty: all are
};

/// nullopt: there is nothing to plan (no usable GPU, a model that this build cannot load, ranks
/// that share GPUs), and whoever loads will say why. kOutOfMemory: the model does not fit, with
/// what is short and what would do.
Result<std::optional<Launch>> plan_launch(const ModelFacts& model,
                                          Machine machine,
                                          const LaunchWish& wish);

}  // namespace tutti
