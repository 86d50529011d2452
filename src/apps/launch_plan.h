// What `serve` and `run` do before they load: plan on this machine's GPUs.
#pragma once
#include <map>
#include <string>

#include "apps/common.h"

namespace tutti {

struct PlannedFlags {
  ModelFlags flags;        ///< with the GPUs and ranks that the plan takes, where nobody named them
  std::string left_out;    ///< GPUs that the plan does not use, and why; empty: none, or no plan
  int64_t gpus_shown = 0;  ///< by NVML; 0: nothing was planned, or it is not known
  std::map<int64_t, std::string> uuids;  ///< of GPUs, by CUDA's index
};

/// Logs the plan in one paragraph. On the CPU flags are as they were. kOutOfMemory refuses: what is
/// short, and what to type.
Result<PlannedFlags> plan_before_loading(const ModelFlags& flags, const ModelLoadOptions& options);

}  // namespace tutti
