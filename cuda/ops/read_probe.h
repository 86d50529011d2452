// How fast this GPU's memory can be read: the roofline that decoding is compared with.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// Queues one pass over `data`, which is not changed. `processors`: of the device.
cudaError_t read_all(const void* data, int64_t bytes, int processors, cudaStream_t s);

}  // namespace tutti::cuda
