#include "backend/rank_group.h"

#include <algorithm>
#include <new>

#include "base/log.h"
#include "comm/self_communicator.h"

namespace tutti {

namespace {

// How often a wait looks whether there is still something to wait for.
constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::milliseconds kStallPoll{2};

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

RankGroup::RankGroup(std::unique_ptr<RankSet> set, const RankGroupOptions& options)
    : options_(options), ranks_(std::make_shared<Ranks>()) {
  ranks_->set = std::move(set);
  ranks_->stall = options.stall;
  for (size_t r = 0; r < ranks_->set->ranks().size(); ++r) {
    ranks_->workers.push_back(std::make_unique<Worker>());
  }
  for (int r = 0; r < size(); ++r) {
    ranks_->workers[static_cast<size_t>(r)]->thread =
        std::thread([ranks = ranks_, r] { ranks->work(r); });
  }
}

Result<std::unique_ptr<RankGroup>> RankGroup::start(Backend& backend,
                                                    const RankGroupOptions& options) {
  TUTTI_TRY(std::unique_ptr<RankSet> set, backend.make_ranks(options.request));
  const int ranks = static_cast<int>(set->ranks().size());
  if (options.stall && (options.stall->rank < 0 || options.stall->rank >= ranks)) {
    return invalid("a stall of rank {} was asked for; the group has ranks 0 to {}",
                   options.stall->rank,
                   ranks - 1);
  }
  return std::unique_ptr<RankGroup>(new RankGroup(std::move(set), options));
}

RankGroup::~RankGroup() {
  stop();
}

bool RankGroup::stop() {
  for (const auto& worker : ranks_->workers) {
    worker->jobs.close();
  }
  bool all = true;
  Patience patience{.grace = options_.grace};
  bool others_done = false;
  for (int r = 0; r < size(); ++r) {
    Worker& worker = *ranks_->workers[static_cast<size_t>(r)];
    while (!worker.abandoned && job_done(r, others_done, patience)) {
      // What nobody waited for.
    }
    if (worker.thread.joinable()) {
      worker.thread.join();
    }
    others_done = true;
    all = all && (!worker.abandoned || worker.done.closed());
  }
  return all;
}

Status RankGroup::submit(Job job) {
  if (!failure_.ok()) {
    return failed_before();
  }
  for (const auto& worker : ranks_->workers) {
    if (!worker->jobs.push(job)) {
      return error(StatusCode::kDevice, "the rank group is shut down");
    }
  }
  return ok_status();
}

Status RankGroup::wait_for_job(std::chrono::milliseconds grace) {
  Patience patience{.grace = grace};
  for (int r = 0; r < size(); ++r) {
    const Worker& worker = *ranks_->workers[static_cast<size_t>(r)];
    if (!worker.abandoned && !job_done(r, /*others_done=*/r > 0, patience) && !worker.abandoned) {
      return error(StatusCode::kDevice, "the rank group is shut down");
    }
  }
  if (!failure_.ok()) {
    return failed_before();
  }
  // Jobs whose collectives are queued on devices return before these fail, or because they did.
  if (const Status health = ranks_->set->health(); !health.ok()) {
    ranks_->fail(health);
  }
  if (ranks_->broken.load(std::memory_order_acquire)) {
    failure_ = ranks_->first_cause();
  }
  return failure_;
}

bool RankGroup::job_done(int rank, bool others_done, Patience& patience) {
  Worker& worker = *ranks_->workers[static_cast<size_t>(rank)];
  while (true) {
    if (worker.done.pop_for(kPoll)) {
      return true;
    }
    if (worker.done.closed() && worker.done.size() == 0) {
      return false;
    }
    if (!keep_waiting(rank, others_done || any_done_after(rank), patience)) {
      abandon(rank);
      return false;
    }
  }
}

bool RankGroup::any_done_after(int rank) const {
  return std::any_of(ranks_->workers.begin() + rank + 1, ranks_->workers.end(), [](const auto& w) {
    return w->done.size() > 0 || w->done.closed();
  });
}

bool RankGroup::keep_waiting(int rank, bool others_done, Patience& patience) {
  if (!ranks_->broken.load(std::memory_order_acquire)) {
    if (const Status health = ranks_->set->health(); !health.ok()) {
      ranks_->fail(health);
    } else if (others_done && (patience.behind += kPoll) >= options_.job_timeout) {
      ranks_->fail(error(StatusCode::kDevice,
                         "rank {} did not return from its job within {:.1f} s of another rank",
                         rank,
                         seconds(options_.job_timeout)));
    }
    return true;
  }
  patience.aborted += kPoll;
  return patience.aborted < patience.grace;
}

void RankGroup::abandon(int rank) {
  Worker& worker = *ranks_->workers[static_cast<size_t>(rank)];
  worker.abandoned = true;
  worker.jobs.close();
  worker.thread.detach();
  log_error(
      "rank {} did not return after the ranks were stopped: {}. Its thread and the memory of all "
      "ranks are left behind; only the end of the process frees them",
      rank,
      ranks_->first_cause().message());
}

Status RankGroup::failed_before() const {
  return error(StatusCode::kDevice, "the ranks stopped after: {}", failure_.message());
}

Status RankGroup::Ranks::run_job(const Job& job, RankContext& context) const {
  try {
    return job(context);
  } catch (const DeviceError& e) {
    return error(StatusCode::kDevice, "rank {}: {}", context.rank, e.what());
  } catch (const std::bad_alloc&) {
    return error(StatusCode::kOutOfMemory, "rank {}: out of host memory", context.rank);
  }
}

void RankGroup::Ranks::stall_until_aborted() const {
  while (!broken.load(std::memory_order_acquire) && set->health().ok()) {
    std::this_thread::sleep_for(kStallPoll);
  }
}

void RankGroup::Ranks::fail(const Status& status) {
  const std::lock_guard lock(mutex);
  if (!cause.ok()) {
    return;
  }
  // A rank that a collective interrupted comes here with what it was told; the set knows why.
  const Status health = set->health();
  cause = health.ok() ? status : health;
  set->abort(cause.message());
  broken.store(true, std::memory_order_release);
}

Status RankGroup::Ranks::first_cause() {
  const std::lock_guard lock(mutex);
  return cause;
}

void RankGroup::Ranks::work(int rank) {
  RankResources& resources = set->ranks()[static_cast<size_t>(rank)];
  Worker& worker = *workers[static_cast<size_t>(rank)];
  SelfCommunicator self;
  ParallelContext parallel{.tp = *resources.tp, .dp = self, .ep = self, .pp = self};
  RankContext context{rank, *resources.device, *resources.ops, parallel, *resources.stream};
  for (int64_t number = 0; std::optional<Job> job = worker.jobs.pop(); ++number) {
    Status status;
    if (stall && stall->rank == rank && stall->job == number) {
      stall_until_aborted();
      status = error(StatusCode::kDevice, "rank {} was stalled before job {}", rank, number);
    } else if (broken.load(std::memory_order_acquire)) {
      // Aborted collectives alone do not stop it: a job may use none, and a group of one never
      // waits for anybody.
      status = error(StatusCode::kDevice, "rank {}: not run", rank);
    } else {
      status = run_job(*job, context);
    }
    if (!status.ok()) {
      fail(status);
    }
    job.reset();  // what it holds is freed before anybody hears that it is done
    worker.done.push({});
  }
  worker.done.close();
}

}  // namespace tutti
