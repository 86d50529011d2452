// Virtual ranks: N threads of one process, on the CPU. Sums run in rank order, so every rank gets
// the same bits whatever the timing.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "comm/communicator.h"
#include "comm/rank_progress.h"

namespace tutti {

/// State shared by the ranks of one group.
class ThreadGroup {
 public:
  /// `timeout`: how long a rank waits for the others before the group is aborted. Time in which the
  /// whole process stood still does not count.
  explicit ThreadGroup(int size, std::chrono::milliseconds timeout = std::chrono::seconds(30));

  int size() const { return size_; }

  std::unique_ptr<Communicator> endpoint(int rank);

  /// Makes every present and future collective of the group throw DeviceError(reason), so that no
  /// rank waits for one that failed.
  void abort(const std::string& reason);

  /// See RankSet: a rank has failed between two collectives. Waits that all ranks have come to end
  /// as usual; every other, present or future, throws CollectiveInterrupted.
  void interrupt();

  /// Ends interrupt(), once no rank is in a collective.
  void resume();

  /// kDevice with the reason once the group is aborted, by abort() or because a rank waited too
  /// long for another or called another collective than the others. Any thread; does not wait.
  Status health() const;

 private:
  friend class ThreadCommunicator;
  /// Rank `rank` begins a collective: waits for the others and checks that they call the same.
  /// DeviceError if not, if it waited too long or if the group is aborted.
  void meet(int rank, const CollectiveCall& call);
  void wait_for_all(int rank);
  void sleep_until_all(int rank, uint32_t generation);
  void wake_all();
  void check_abort() const;
  void check_interrupt() const;

  /// Whether the wait that began at `generation` must go on.
  bool waiting(uint32_t generation) const {
    return generation_.load(std::memory_order_acquire) == generation &&
           !interrupted_.load(std::memory_order_acquire);
  }

  const int size_;
  const int spins_;
  const std::chrono::nanoseconds timeout_;
  RankProgress progress_;
  std::vector<ConstTensorView> slots_;  // what each rank offers to the others
  std::vector<float> sum_;              // result of a reduction, written in slices by all ranks
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  alignas(64) std::atomic<bool> aborted_{false};
  std::atomic<bool> interrupted_{false};
  std::string abort_reason_;  // written before aborted_ is set
  std::atomic_flag abort_once_ = ATOMIC_FLAG_INIT;
};

}  // namespace tutti
