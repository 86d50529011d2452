// Log-probabilities of tokens; contract in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// `tokens`, `counts`: [r].
cudaError_t log_probs(const TypedRows<int32_t>& ids,
                      const TypedRows<float>& values,
                      const int32_t* tokens,
                      const ConstRows& logits,
                      int64_t limit,
                      const int32_t* counts,
                      cudaStream_t s);

}  // namespace tutti::cuda
