// N ranks as N threads of this process. Each thread owns its device, ops and communicator; others
// hand it jobs. Knows nothing of tokens, so that any model that runs on ranks can use it.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "backend/job_recovery.h"
#include "base/queue.h"

namespace tutti {

/// What a job sees; only valid on the rank's own thread.
struct RankHandles {
  int rank = 0;
  Device& device;
  Ops& ops;
  ParallelGroups& parallel;
  Stream& stream;
};

/// A fault for tests: the thread of `rank` stops before its job number `job` (from 0, all jobs
/// count) until the group is aborted; then the job fails there.
struct RankStall {
  int rank = 0;
  int64_t job = 0;
};

struct RankGroupOptions {
  RankRequest request;
  /// How long a rank may be behind the first that has done the same job. Ranks that are all in a
  /// job of run() may take any time: nobody knows how long loading takes.
  std::chrono::milliseconds job_timeout{600'000};
  /// How long somebody may wait for the oldest submitted job.
  std::chrono::milliseconds step_timeout{600'000};
  /// How long ranks may take to return from a submitted job after the group was aborted. Those in
  /// a job of run(), which may load weights for minutes, have job_timeout.
  std::chrono::milliseconds grace{5'000};
  /// How often on_waiting is told of a job of run() that no rank is done with: nothing bounds
  /// those.
  std::chrono::milliseconds report_every{60'000};
  /// By the thread that waits, with the time so far; unset: a line in the log.
  std::function<void(std::chrono::milliseconds waited)> on_waiting;
  std::optional<RankStall> stall;
};

/// What it means if a job fails and no device did (any error but kDevice).
enum class OnFailure {
  kEndsGroup,
  /// This job is lost on all ranks and the group goes on, where RankSet::interrupt() can: only for
  /// jobs that may be run again from their beginning when they are interrupted by the loss of the
  /// one before, and whose state may be anything after they were lost.
  kLosesJob,
};

class RankGroup {
 public:
  using Job = std::function<Status(RankHandles&)>;

  /// Errors: those of Backend::make_ranks; kInvalidArgument for a stall of a rank there is not.
  static Result<std::unique_ptr<RankGroup>> start(Backend& backend,
                                                  const RankGroupOptions& options);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  /// Runs what was submitted, then joins the threads; the devices stay until the destructor, so
  /// that what was allocated on them can be freed in between. Idempotent. False if a rank never
  /// came back: its thread and the RankSet are left behind, and so must be what its job uses;
  /// freeing that might wait for its device for ever.
  bool stop();

  /// What collectives go through, for people and as a key; see RankSet::describe().
  std::string describe() const { return ranks_->set->describe(); }

  /// kDevice once a collective has failed on a device; see RankSet::health().
  Status health() const { return ranks_->set->health(); }

  int size() const { return static_cast<int>(ranks_->workers.size()); }

  /// Every rank runs `job`, after all jobs submitted before. Never blocks for long. One thread
  /// submits and waits. kDevice once the group is broken or stopped.
  Status submit(Job job, OnFailure on_failure = OnFailure::kEndsGroup);

  /// Waits for the oldest submitted job on all ranks. Fails if the group has failed by then, in
  /// this job or a later one: with the first error of any rank, not that of one that was only
  /// interrupted by it; cause and remedy stand behind texts that are known. After an error the
  /// group is broken: its collectives are aborted, later jobs are not run and fail with kDevice. A
  /// rank that lags (RankGroupOptions), or a collective that failed on a device, is kDevice as
  /// well. With broken() false the job was lost alone: the error is that of the rank that lost it,
  /// and jobs before and after are as if it had not been.
  Status wait() { return wait_for_job(options_.grace, options_.step_timeout); }

  /// The group has failed for good; of the thread that submits and waits.
  bool broken() const { return !failure_.ok(); }

  Status run(Job job) {
    TUTTI_RETURN_IF_ERROR(submit(std::move(job)));
    return wait_for_job(std::max(options_.grace, options_.job_timeout),
                        std::chrono::milliseconds::max());
  }

 private:
  struct Done {
    Status lost;  // not ok: the job was lost, here or on another rank
  };

  struct Task {
    Job job;
    OnFailure on_failure = OnFailure::kEndsGroup;
  };

  struct Worker {
    BoundedQueue<Task> jobs{kMaxPending};
    BoundedQueue<Done> done{kMaxPending};  // one per job; closed when the thread has ended
    std::thread thread;
    bool abandoned = false;  // belongs to the thread that submits and waits
  };

  // What the threads use. Each holds it, so that it outlives the group where one never returns.
  struct Ranks {
    std::unique_ptr<RankSet> set;
    std::vector<std::unique_ptr<Worker>> workers;
    std::optional<RankStall> stall;
    std::optional<JobRecovery> recovery;
    std::atomic<bool> broken{false};
    std::mutex mutex;
    Status cause;  // under the mutex; the first failure

    // Of one attempt at a job.
    struct Attempt {
      Status status;
      bool interrupted = false;
    };

    void work(int rank);
    /// Runs the rank's job number `number`, again if need be. An error: it was lost. Where the
    /// group ends it fails it and returns ok.
    Status run_task(const Task& task, int64_t number, RankHandles& handles);
    Attempt run_job(const Job& job, RankHandles& handles) const;
    void stall_until_aborted() const;
    /// Keeps the first cause and wakes the ranks. One that is known for what it is
    /// (base/known_failures.h) goes before one that is not, whichever came first.
    void fail(const Status& status);
    Status first_cause();
  };

  // Of one wait; counted in polls, so that time in which the process stood still does not count.
  struct Patience {
    std::chrono::milliseconds waited{0};   // while the group was seen to be sound
    std::chrono::milliseconds behind{0};   // since a rank was seen to have done the job
    std::chrono::milliseconds aborted{0};  // since the group was seen to be aborted
    std::chrono::milliseconds grace{0};
    std::chrono::milliseconds step{0};  // bound of `waited`
  };

  static constexpr size_t kMaxPending = 8;

  RankGroup(std::unique_ptr<RankSet> set, const RankGroupOptions& options);

  Status wait_for_job(std::chrono::milliseconds grace, std::chrono::milliseconds step);
  /// Waits for the oldest job of rank `rank`. nullopt: it was abandoned, or its thread has ended.
  std::optional<Done> job_done(int rank, bool others_done, Patience& patience);
  bool any_done_after(int rank) const;
  /// After each poll in which `rank` was not done: false if it is time to abandon it.
  bool keep_waiting(int rank, bool others_done, Patience& patience);
  void abandon(int rank);
  Status failed_before() const;

  const RankGroupOptions options_;
  std::shared_ptr<Ranks> ranks_;
  Status failure_;  // the first; belongs to the thread that submits and waits
};

}  // namespace tutti
