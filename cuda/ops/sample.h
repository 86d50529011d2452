// Choosing tokens from logits; contract in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// `tokens`: [r].
cudaError_t argmax(int32_t* tokens, const ConstRows& logits, int64_t limit, cudaStream_t s);

}  // namespace tutti::cuda
