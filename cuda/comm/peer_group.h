// What the ranks of a group share: a mailbox for each in its GPU's memory, or in the host's where
// GPUs may not reach each other, and the words by which they give each other up. All of it is
// allocated at the start; a collective allocates nothing.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/thread_communicator.h"
#include "cuda/comm/peer_thresholds.h"
#include "cuda/comm/peer_types.h"
#include "cuda/cuda_device.h"
#include "cuda/device_probe.h"

namespace tutti::cuda {

struct PeerGroupOptions {
  std::vector<CudaDeviceInfo> placement;  ///< the GPU of each rank; several may share one
  /// Whether GPUs may write into each other's memory. If not, or if the driver knows no way, the
  /// mailboxes lie in pinned host memory.
  bool peer_access = true;
  std::chrono::milliseconds timeout{30'000};  ///< of every wait
};

/// Bytes that one rank's mailbox takes in a group of `ranks`.
int64_t peer_mailbox_bytes(int ranks);

class PeerGroup {
 public:
  /// kUnsupported for more ranks than a group can have; kOutOfMemory and kDevice name the GPU.
  static Result<std::unique_ptr<PeerGroup>> create(const PeerGroupOptions& options);

  /// Ends what still waits, then waits for the GPUs.
  ~PeerGroup();
  PeerGroup(const PeerGroup&) = delete;
  PeerGroup& operator=(const PeerGroup&) = delete;

  int size() const { return static_cast<int>(endpoints_.size()); }

  const PeerEndpoint& endpoint(int rank) const { return endpoints_[static_cast<size_t>(rank)]; }

  /// Whether mailboxes lie in the GPUs' memory.
  bool direct() const { return direct_; }

  /// The host's barrier of the ranks' threads.
  ThreadGroup& threads() { return threads_; }

  /// Ends all waiting, on the devices and in the barrier, and makes health() and later calls fail
  /// with `reason`. Only the first counts. Any thread.
  void abort(const std::string& reason);

  /// Ends all waiting without a reason: what is queued is of no use any more. Any thread.
  void abandon();

  /// "2 ranks on 1 GPU, direct"
  std::string describe() const;

  /// Whether health() is an error. Cheap.
  bool failed() const;

  /// kDevice: the first wait that took too long, or the reason of abort(). Any thread.
  Status health() const;

  /// What rank 0 found, read by the others behind a barrier.
  PeerThresholds agreed;

 private:
  struct FreePinned {
    void operator()(char* memory) const;
  };

  using Pinned = std::unique_ptr<char, FreePinned>;

  explicit PeerGroup(const PeerGroupOptions& options);

  static Result<Pinned> allocate_pinned(int64_t bytes, const char* what);
  Status connect(bool peer_access);
  Status allocate();
  Result<char*> allocate_mailbox(CudaDevice& device, int64_t bytes);
  /// The GPUs, each once.
  std::vector<int> gpus() const;

  std::vector<CudaDeviceInfo> placement_;
  ThreadGroup threads_;
  bool direct_ = true;
  std::vector<std::unique_ptr<CudaDevice>> devices_;  // of each rank; before what lies on them
  std::vector<Buffer> buffers_;
  std::vector<Pinned> pinned_;
  Pinned shared_memory_;
  PeerShared* shared_ = nullptr;
  std::vector<PeerEndpoint> endpoints_;
  mutable std::mutex mutex_;
  std::string reason_;
};

}  // namespace tutti::cuda
