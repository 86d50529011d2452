// Log-probabilities of tokens; contract in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// [r, ..], rows `stride` elements apart.
template <class T>
struct OutputRows {
  T* data = nullptr;
  int64_t stride = 0;
};

/// `tokens`, `counts`: [r].
cudaError_t log_probs(const OutputRows<int32_t>& ids,
                      const OutputRows<float>& values,
                      const int32_t* tokens,
                      const ConstRows& logits,
                      int64_t limit,
                      const int32_t* counts,
                      cudaStream_t s);

}  // namespace tutti::cuda
