// The GPUs of this machine as a Backend.
#pragma once
#include <memory>
#include <vector>

#include "backend/backend.h"

namespace tutti::cuda {

struct CudaBackendOptions {
  int gpu_count = 0;      ///< use this many, from the first on; 0 = all
  std::vector<int> gpus;  ///< or these, by index; empty = by count
};

/// kUnavailable names what is missing or broken: driver, GPU, compute capability, cuBLAS.
Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaBackendOptions& options);

}  // namespace tutti::cuda
