// Small integers that go from one step to the next without leaving the device; contracts in
// ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

cudaError_t fill_tokens(
    int32_t* tokens, const int32_t* last, const int32_t* rows, int64_t count, cudaStream_t s);
cudaError_t scatter(
    int32_t* y, const int32_t* values, const int32_t* at, int64_t count, cudaStream_t s);

}  // namespace tutti::cuda
