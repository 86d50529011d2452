// Watches the GPUs of a machine on a thread of its own while a server runs.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "watch/gpu_status.h"

namespace tutti {

struct GpuWatchOptions {
  std::vector<std::string> libraries;  ///< where NVML may lie
  std::string node = "/dev/nvidia0";   ///< looked at each minute; empty: not
  std::chrono::milliseconds interval{1000};
  /// Told what is worth a line in the log, on the watching thread.
  std::function<void(const std::string&)> say;
  /// What an error of the driver means; empty: not known. "the GPU fell off the bus; …"
  std::function<std::string(int64_t xid)> explain;
};

/// Thread-safe. A driver that hangs keeps the watching thread and nobody else: status() is of
/// before, and the destructor leaves the thread behind.
class GpuWatch {
 public:
  explicit GpuWatch(GpuWatchOptions options);
  ~GpuWatch();
  GpuWatch(const GpuWatch&) = delete;
  GpuWatch& operator=(const GpuWatch&) = delete;

  /// UUIDs of the GPUs on which ranks run.
  void set_used(std::set<std::string> uuids);

  GpuStatus status() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace tutti
