// N ranks as N threads of this process. Each thread owns its device, ops and communicator; others
// hand it jobs. Knows nothing of tokens, so that any model that runs on ranks can use it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "base/queue.h"

namespace tutti {

/// What a job sees; only valid on the rank's own thread.
struct RankContext {
  int rank = 0;
  Device& device;
  Ops& ops;
  ParallelContext& parallel;
  Stream& stream;
};

class RankGroup {
 public:
  using Job = std::function<Status(RankContext&)>;

  static Result<std::unique_ptr<RankGroup>> start(Backend& backend, int ranks);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  /// Runs what was submitted, then joins the threads; the devices stay until the destructor, so
  /// that what was allocated on them can be freed in between. Idempotent.
  void stop();

  /// kDevice once a collective has failed on a device; see RankSet::health().
  Status health() const { return set_->health(); }

  int size() const { return static_cast<int>(workers_.size()); }

  /// Every rank runs `job`, after all jobs submitted before. Never blocks for long. One thread
  /// submits and waits.
  Status submit(Job job);

  /// Waits for the oldest submitted job on all ranks; the first error of any rank. After an error
  /// the group is broken: its collectives are aborted and later jobs fail.
  Status wait();

  Status run(Job job) {
    TUTTI_RETURN_IF_ERROR(submit(std::move(job)));
    return wait();
  }

 private:
  struct Worker {
    BoundedQueue<Job> jobs{kMaxPending};
    BoundedQueue<Status> done{kMaxPending};
    std::jthread thread;
  };

  static constexpr size_t kMaxPending = 8;

  explicit RankGroup(std::unique_ptr<RankSet> set) : set_(std::move(set)) {}

  void work(int rank, Worker& worker);
  Status run_job(const Job& job, RankContext& context);
  Status failed_before() const;

  std::unique_ptr<RankSet> set_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Status failure_;  // the first; belongs to the thread that submits and waits
};

}  // namespace tutti
