// The GPUs of this machine as a Backend.
#pragma once
#include <memory>

#include "backend/backend.h"
#include "cuda/gpu_group.h"

namespace tutti::cuda {

/// kUnavailable names what is missing or broken: driver, GPU, compute capability, cuBLAS. Otherwise
/// as GpuGroup::open.
Result<std::unique_ptr<Backend>> make_cuda_backend(GpuGroupOptions options);

}  // namespace tutti::cuda
