// How fast this GPU's memory can be read: the roofline that decoding is compared with.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// Seconds of the fastest of a few passes over `data`; waits for them. `data` is not changed.
cudaError_t time_reading(const void* data, int64_t bytes, cudaStream_t s, double* seconds);

}  // namespace tutti::cuda
