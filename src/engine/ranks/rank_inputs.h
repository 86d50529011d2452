// Turns a Batch into the device tensors a forward pass reads.
#pragma once
#include <vector>

#include "backend/rank_group.h"
#include "device/arena.h"
#include "nn/step_context.h"
#include "sched/batch.h"

namespace tutti {

/// Allocates the tensors from `arena`, where they live until its next reset.
Result<StepInputs> make_step_inputs(RankContext& rank,
                                    Arena& arena,
                                    const Batch& batch,
                                    const std::vector<int32_t>& logit_rows,
                                    int64_t block_size);

}  // namespace tutti
