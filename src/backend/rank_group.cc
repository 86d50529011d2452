#include "backend/rank_group.h"

#include <algorithm>
#include <new>

#include "base/known_failures.h"
#include "base/log.h"
#include "comm/self_communicator.h"
#include "device/arena.h"

namespace tutti {

namespace {

// How often a wait looks whether there is still something to wait for.
constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::milliseconds kStallPoll{2};

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

RankGroupOptions reporting(RankGroupOptions options) {
  if (!options.on_waiting) {
    options.on_waiting = [](std::chrono::milliseconds waited) {
      log_info("no rank is done after {:.0f} s; loading may take any time, a signal ends it",
               seconds(waited));
    };
  }
  return options;
}

}  // namespace

RankGroup::RankGroup(std::unique_ptr<RankSet> set, const RankGroupOptions& options)
    : options_(reporting(options)), ranks_(std::make_shared<Ranks>()) {
  ranks_->set = std::move(set);
  ranks_->recovery.emplace(*ranks_->set);
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
  Patience patience{.grace = options_.grace, .step = options_.step_timeout};
  bool others_done = false;
  for (int r = 0; r < size(); ++r) {
    Worker& worker = *ranks_->workers[static_cast<size_t>(r)];
    while (!worker.abandoned && job_done(r, others_done, patience).has_value()) {
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

Status RankGroup::submit(Job job, OnFailure on_failure) {
  if (!failure_.ok()) {
    return failed_before();
  }
  for (const auto& worker : ranks_->workers) {
    if (!worker->jobs.push({.job = job, .on_failure = on_failure})) {
      return error(StatusCode::kDevice, "the rank group is shut down");
    }
  }
  return ok_status();
}

Status RankGroup::wait_for_job(std::chrono::milliseconds grace, std::chrono::milliseconds step) {
  Patience patience{.grace = grace, .step = step};
  Status lost;
  for (int r = 0; r < size(); ++r) {
    const Worker& worker = *ranks_->workers[static_cast<size_t>(r)];
    if (worker.abandoned) {
      continue;
    }
    std::optional<Done> done = job_done(r, /*others_done=*/r > 0, patience);
    if (!done.has_value() && !worker.abandoned) {
      return error(StatusCode::kDevice, "the rank group is shut down");
    }
    if (done.has_value() && lost.ok()) {
      lost = std::move(done->lost);
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
    const Status cause = ranks_->first_cause();
    failure_ = {cause.code(), explain_failure(cause.message())};
    return failure_;
  }
  return lost;
}

std::optional<RankGroup::Done> RankGroup::job_done(int rank, bool others_done, Patience& patience) {
  Worker& worker = *ranks_->workers[static_cast<size_t>(rank)];
  while (true) {
    if (std::optional<Done> done = worker.done.pop_for(kPoll)) {
      return done;
    }
    if (worker.done.closed() && worker.done.size() == 0) {
      return std::nullopt;
    }
    if (!keep_waiting(rank, others_done || any_done_after(rank), patience)) {
      abandon(rank);
      return std::nullopt;
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
    } else if ((patience.waited += kPoll) >= patience.step) {
      ranks_->fail(
          error(StatusCode::kDevice,
                "{} returned from a step within {:.1f} s: a device or its driver hangs, "
                "or steps take longer here and the step time-out is too short",
                others_done ? fmt::format("not every rank (not rank {})", rank) : "no rank",
                seconds(patience.step)));
    } else if (!others_done && patience.step == std::chrono::milliseconds::max() &&
               patience.waited % options_.report_every < kPoll) {
      options_.on_waiting(patience.waited);
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

RankGroup::Ranks::Attempt RankGroup::Ranks::run_job(const Job& job, RankHandles& handles) const {
  const auto failed = [&handles](StatusCode code, const char* why) {
    return Attempt{.status = error(code, "rank {}: {}", handles.rank, why)};
  };
  try {
    return {.status = job(handles)};
  } catch (const CollectiveInterrupted& e) {
    Attempt attempt = failed(StatusCode::kDevice, e.what());
    attempt.interrupted = true;
    return attempt;
  } catch (const DeviceError& e) {
    return failed(StatusCode::kDevice, e.what());
  } catch (const ArenaFull& e) {
    return failed(StatusCode::kOutOfMemory, e.what());
  } catch (const std::bad_alloc&) {
    return failed(StatusCode::kOutOfMemory, "out of host memory");
  }
}

Status RankGroup::Ranks::run_task(const Task& task, int64_t number, RankHandles& handles) {
  Status status = recovery->begin(number);
  if (!status.ok()) {
    return status;
  }
  while (true) {
    const Attempt attempt = run_job(task.job, handles);
    if (attempt.status.ok()) {
      recovery->end();
      return ok_status();
    }
    const bool loses = attempt.interrupted || attempt.status.code() != StatusCode::kDevice;
    if (loses && task.on_failure == OnFailure::kLosesJob) {
      JobRecovery::Outcome outcome =
          recovery->leave(number, attempt.interrupted ? ok_status() : attempt.status);
      if (outcome.next == JobRecovery::Next::kRunAgain) {
        continue;
      }
      if (outcome.next == JobRecovery::Next::kLost) {
        return std::move(outcome.cause);
      }
    }
    fail(attempt.status);
    return ok_status();
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
    // What came first may only have waited for a rank whose device then tells what happened.
    if (known_failure(cause.message()) == nullptr && known_failure(status.message()) != nullptr) {
      cause = status;
    }
    return;
  }
  // A rank that a collective interrupted comes here with what it was told; the set knows why.
  const Status health = set->health();
  cause = health.ok() || known_failure(status.message()) != nullptr ? status : health;
  set->abort(cause.message());
  broken.store(true, std::memory_order_release);
  recovery->give_up();
}

Status RankGroup::Ranks::first_cause() {
  const std::lock_guard lock(mutex);
  return cause;
}

void RankGroup::Ranks::work(int rank) {
  RankResources& resources = set->ranks()[static_cast<size_t>(rank)];
  Worker& worker = *workers[static_cast<size_t>(rank)];
  SelfCommunicator self;
  ParallelGroups parallel{.tp = *resources.tp, .dp = self, .ep = self, .pp = self};
  RankHandles handles{rank, *resources.device, *resources.ops, parallel, *resources.stream};
  for (int64_t number = 0; std::optional<Task> task = worker.jobs.pop(); ++number) {
    Status lost;
    if (stall && stall->rank == rank && stall->job == number) {
      stall_until_aborted();
      fail(error(StatusCode::kDevice, "rank {} was stalled before job {}", rank, number));
    } else if (broken.load(std::memory_order_acquire)) {
      // Aborted collectives alone do not stop it: a job may use none, and a group of one never
      // waits for anybody.
      fail(error(StatusCode::kDevice, "rank {}: not run", rank));
    } else {
      lost = run_task(*task, number, handles);
    }
    task.reset();  // what it holds is freed before anybody hears that it is done
    worker.done.push({.lost = std::move(lost)});
  }
  worker.done.close();
}

}  // namespace tutti
