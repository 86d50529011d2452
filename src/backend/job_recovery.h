// How ranks go on after a job that one of them lost while its device stayed sound. Ranks run
// without asking each other, so when one fails the others may be in the same job, one job further
// or one behind. All of them leave what they are in at a collective that cannot complete; once
// nobody is in a job any more the lost one is skipped where it has not run, and later ones are run
// again from their beginning.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <mutex>

#include "base/status.h"

namespace tutti {

class RankSet;

/// Shared by the rank threads. Jobs have numbers that count up by one, the same on every rank.
class JobRecovery {
 public:
  explicit JobRecovery(RankSet& set) : set_(set) {}

  /// A rank is about to run its job; waits while others recover. Not ok: the job was lost by
  /// another rank, or recovery was given up; it must not be run.
  Status begin(int64_t job);

  /// A rank has run its job to the end.
  void end();

  enum class Next { kRunAgain, kLost, kGiveUp };

  struct Outcome {
    Next next = Next::kGiveUp;
    Status cause;  ///< of kLost: the error of the rank that lost the job
  };

  /// A rank failed in `job` with `status`, or was interrupted (ok) because another failed. Waits
  /// until no rank is in a job. kGiveUp: the ranks cannot be brought together again.
  Outcome leave(int64_t job, const Status& status);

  /// Nobody waits here from now on.
  void give_up();

 private:
  void resume();

  RankSet& set_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool given_up_ = false;
  bool recovering_ = false;
  int running_ = 0;  // ranks in a job
  int left_ = 0;     // of this recovery: ranks that wait for the others to leave
  uint64_t recoveries_ = 0;
  // Of the recovery under way: the first job that was lost, and why.
  int64_t lost_ = std::numeric_limits<int64_t>::max();
  Status cause_;
  // Of the last one that is over; it stays until every rank that left has left again.
  int64_t last_lost_ = -1;
  Status last_cause_;
};

}  // namespace tutti
