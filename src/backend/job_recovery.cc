#include "backend/job_recovery.h"

#include <utility>

#include "backend/backend.h"

namespace tutti {

Status JobRecovery::begin(int64_t job) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !recovering_ || given_up_; });
  if (given_up_) {
    return error(StatusCode::kDevice, "not run");
  }
  if (job <= last_lost_) {
    return last_cause_;
  }
  ++running_;
  return ok_status();
}

void JobRecovery::end() {
  const std::lock_guard lock(mutex_);
  --running_;
  if (recovering_ && running_ == 0) {
    resume();
  }
}

JobRecovery::Outcome JobRecovery::leave(int64_t job, const Status& status) {
  std::unique_lock lock(mutex_);
  if (given_up_ || (!recovering_ && (status.ok() || !set_.interrupt()))) {
    return {};
  }
  recovering_ = true;
  if (!status.ok() && job < lost_) {
    lost_ = job;
    cause_ = status;
  }
  --running_;
  ++left_;
  const uint64_t mine = recoveries_;
  if (running_ == 0) {
    resume();
  } else {
    changed_.wait(lock, [&] { return recoveries_ != mine || given_up_; });
  }
  if (recoveries_ == mine) {
    return {};
  }
  // The next recovery cannot end before this rank, which counts as running again, has left too.
  if (job > last_lost_) {
    return {.next = Next::kRunAgain};
  }
  Outcome lost{.next = Next::kLost, .cause = last_cause_};
  --running_;
  if (recovering_ && running_ == 0) {
    resume();
  }
  return lost;
}

void JobRecovery::give_up() {
  {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
  }
  changed_.notify_all();
}

// Nobody is in a job, so nobody is in a collective.
void JobRecovery::resume() {
  set_.resume();
  recovering_ = false;
  running_ = std::exchange(left_, 0);
  last_lost_ = std::exchange(lost_, std::numeric_limits<int64_t>::max());
  last_cause_ = std::exchange(cause_, Status());
  ++recoveries_;
  changed_.notify_all();
}

}  // namespace tutti
