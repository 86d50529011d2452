// Moves words between this GPU's memory and a peer's by loads and stores, as collectives do.
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

namespace tutti::cuda {

/// Queues a copy of `count` words; either side may be a peer's memory.
cudaError_t copy_words(uint32_t* to, const uint32_t* from, int64_t count, cudaStream_t s);

}  // namespace tutti::cuda
