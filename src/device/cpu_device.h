// The host as a device. Large blocks come straight from the kernel with transparent huge pages
// asked for: streaming gigabytes of weights otherwise spends its time in TLB misses.
#pragma once
#include <memory>

#include "device/device.h"

namespace tutti {

class CpuDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::kCpu; }

  int index() const override { return 0; }

  std::string name() const override { return "cpu"; }

  int64_t total_bytes() const override;
  /// What the kernel says is available without swapping, within the cgroup's limit.
  int64_t free_bytes() const override;
  void* allocate(int64_t bytes) override;
  void deallocate(void* data, int64_t bytes) override;
  Status copy_from_host(void* to, const void* from, int64_t bytes, Stream& stream) override;
  Status copy_to_host(void* to, const void* from, int64_t bytes, Stream& stream) override;
  /// Pieces are filled where they belong: nothing is staged.
  Result<std::unique_ptr<PieceWriter>> new_piece_writer(Stream& stream,
                                                        int64_t piece_bytes) override;
  std::unique_ptr<Stream> new_stream() override;
  std::unique_ptr<Fence> new_fence() override;
  std::unique_ptr<Timer> new_timer() override;
  Status pause(Stream& stream, double seconds) override;
  void* allocate_host(int64_t bytes) override;
  void deallocate_host(void* data) override;

  bool records_graphs() const override { return false; }

  /// kUnsupported.
  Result<std::unique_ptr<Graph>> record(Stream& stream,
                                        const std::function<Status()>& work) override;
};

/// CPUs this process may run on (affinity mask and cgroup quota, not the machine's count); at
/// least 1.
int available_cpus();

}  // namespace tutti
