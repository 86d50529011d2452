// Which NVIDIA GPUs this process can use, and why not if it cannot.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti {

struct CudaDeviceInfo {
  std::string name;
  int compute_major = 0;
  int compute_minor = 0;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
};

/// kUnavailable names the failing call and what it usually means.
Result<std::vector<CudaDeviceInfo>> probe_cuda_devices();

}  // namespace tutti
