// Which NVIDIA GPUs this process can use, and why not if it cannot.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti::cuda {

struct CudaDeviceInfo {
  int index = 0;  ///< CUDA's, after CUDA_VISIBLE_DEVICES
  std::string name;
  int compute_capability = 0;  ///< 90 for 9.0
  int multiprocessors = 0;
  std::string uuid;  ///< "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", MIG-... for a part of one
  std::string pci;   ///< "0000:18:00.0"
  int64_t memory_bytes = 0;
};

/// kUnavailable names the failing call and what it usually means. `mask`: the value of
/// CUDA_VISIBLE_DEVICES, if it is set.
Result<std::vector<CudaDeviceInfo>> probe_cuda_devices(const std::optional<std::string>& mask);

/// Kernels are compiled for the architectures the build was configured with; kUnavailable if none
/// of them runs on this GPU.
Status check_kernels_run(const CudaDeviceInfo& gpu);

}  // namespace tutti::cuda
