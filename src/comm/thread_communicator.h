// Virtual ranks: N threads of one process, on the CPU. Sums run in rank order, so every rank gets
// the same bits whatever the timing.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace tutti {

/// State shared by the ranks of one group.
class ThreadGroup {
 public:
  explicit ThreadGroup(int size);

  int size() const { return size_; }

  std::unique_ptr<Communicator> endpoint(int rank);

  /// Makes every present and future collective of the group throw DeviceError(reason), so that no
  /// rank waits for one that failed.
  void abort(const std::string& reason);

 private:
  friend class ThreadCommunicator;
  void wait_for_all();

  const int size_;
  const int spins_;
  std::vector<ConstTensorView> slots_;  // what each rank offers to the others
  std::vector<float> sum_;              // result of a reduction, written in slices by all ranks
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<bool> aborted_{false};
  std::string abort_reason_;  // written before aborted_ is set
  std::atomic_flag abort_once_ = ATOMIC_FLAG_INIT;
};

}  // namespace tutti
