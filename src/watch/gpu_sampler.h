// Reads GPUs by NVML again and again: a few calls a GPU, some milliseconds each time.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "inventory/nvml_library.h"
#include "watch/gpu_status.h"

namespace tutti {

/// Of one thread. A driver that hangs keeps its caller.
class GpuSampler {
 public:
  /// `names`: where the library may lie. kUnavailable says why there is none.
  static Result<std::unique_ptr<GpuSampler>> open(const std::vector<std::string>& names);
  ~GpuSampler();
  GpuSampler(const GpuSampler&) = delete;
  GpuSampler& operator=(const GpuSampler&) = delete;

  std::vector<GpuReading> read();

  struct Xid {
    int64_t gpu = 0;  ///< index
    int64_t code = 0;
  };

  /// Waits for an error of a GPU; nothing if none comes within `limit`, or the driver tells none.
  std::optional<Xid> wait_for_xid(std::chrono::milliseconds limit);

 private:
  struct Events;
  explicit GpuSampler(std::unique_ptr<NvmlLibrary> library);
  GpuReading read_one(unsigned index);

  std::unique_ptr<NvmlLibrary> library_;
  std::unique_ptr<Events> events_;
};

}  // namespace tutti
