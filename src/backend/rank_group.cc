#include "backend/rank_group.h"

#include <new>

#include "comm/self_communicator.h"

namespace tutti {

Result<std::unique_ptr<RankGroup>> RankGroup::start(Backend& backend, int ranks) {
  TUTTI_TRY(std::unique_ptr<RankSet> set, backend.make_ranks({.ranks = ranks}));
  std::unique_ptr<RankGroup> group(new RankGroup(std::move(set)));
  for (int r = 0; r < ranks; ++r) {
    group->workers_.push_back(std::make_unique<Worker>());
  }
  for (int r = 0; r < ranks; ++r) {
    Worker& worker = *group->workers_[static_cast<size_t>(r)];
    worker.thread = std::jthread([raw = group.get(), r, &worker] { raw->work(r, worker); });
  }
  return group;
}

RankGroup::~RankGroup() {
  stop();
}

void RankGroup::stop() {
  for (const auto& worker : workers_) {
    worker->jobs.close();
  }
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) {
      worker->thread.join();
    }
  }
}

Status RankGroup::submit(Job job) {
  if (!failure_.ok()) {
    return failed_before();
  }
  for (const auto& worker : workers_) {
    if (!worker->jobs.push(job)) {
      return error(StatusCode::kDevice, "the rank group is shut down");
    }
  }
  return ok_status();
}

Status RankGroup::wait() {
  Status first;
  for (const auto& worker : workers_) {
    std::optional<Status> status = worker->done.pop();
    if (!status) {
      return error(StatusCode::kDevice, "the rank group is shut down");
    }
    // A rank that was only interrupted by another's failure says so; prefer the cause.
    const bool better = first.ok() || (first.code() == StatusCode::kDevice &&
                                       status->code() != StatusCode::kDevice);
    if (!status->ok() && better) {
      first = std::move(*status);
    }
  }
  if (!failure_.ok()) {
    return failed_before();
  }
  failure_ = first;
  return first;
}

// Aborted collectives alone do not stop later jobs: a job may use none, and a group of one never
// waits for anybody.
Status RankGroup::failed_before() const {
  return error(StatusCode::kDevice, "the ranks stopped after: {}", failure_.message());
}

Status RankGroup::run_job(const Job& job, RankContext& context) {
  try {
    return job(context);
  } catch (const DeviceError& e) {
    return error(StatusCode::kDevice, "rank {}: {}", context.rank, e.what());
  } catch (const std::bad_alloc&) {
    return error(StatusCode::kOutOfMemory, "rank {}: out of host memory", context.rank);
  }
}

void RankGroup::work(int rank, Worker& worker) {
  RankResources& resources = set_->ranks()[static_cast<size_t>(rank)];
  SelfCommunicator self;
  ParallelContext parallel{.tp = *resources.tp, .dp = self, .ep = self, .pp = self};
  RankContext context{rank, *resources.device, *resources.ops, parallel, *resources.stream};
  while (std::optional<Job> job = worker.jobs.pop()) {
    Status status = run_job(*job, context);
    if (!status.ok()) {
      set_->abort(status.message());
    }
    worker.done.push(std::move(status));
  }
}

}  // namespace tutti
