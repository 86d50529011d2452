// Which NVIDIA GPUs this process can use, and why not if it cannot.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti::cuda {

struct CudaDeviceInfo {
  int index = 0;  ///< CUDA's, after CUDA_VISIBLE_DEVICES
  std::string name;
  int compute_capability = 0;  ///< 90 for 9.0
  int multiprocessors = 0;
};

/// kUnavailable names the failing call and what it usually means.
Result<std::vector<CudaDeviceInfo>> probe_cuda_devices();

/// Kernels are compiled for the architectures the build was configured with; kUnavailable if none
/// of them runs on this GPU.
Status check_kernels_run(const CudaDeviceInfo& gpu);

}  // namespace tutti::cuda
