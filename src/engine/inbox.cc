#include "engine/inbox.h"

#include <utility>

#include "base/checked.h"

namespace tutti {

Status Inbox::submit(std::vector<SequenceRequest> requests,
                     const std::shared_ptr<TokenSink>& sink) {
  {
    const std::lock_guard lock(mutex_);
    TUTTI_RETURN_IF_ERROR(closed_);
    const int64_t waiting = scheduler_waiting_ + ssize(work_.submissions.size());
    if (ssize(requests.size()) > max_waiting_ - waiting) {
      return error(StatusCode::kOverloaded,
                   "{} sequences are waiting already, the limit is {}; try again later",
                   waiting,
                   max_waiting_);
    }
    for (SequenceRequest& request : requests) {
      work_.submissions.push_back({.request = std::move(request), .sink = sink});
    }
  }
  ready_.notify_one();
  return ok_status();
}

void Inbox::cancel(uint64_t sequence_id) {
  {
    const std::lock_guard lock(mutex_);
    work_.cancels.push_back(sequence_id);
  }
  ready_.notify_one();
}

void Inbox::close(const Status& why) {
  const std::lock_guard lock(mutex_);
  if (closed_.ok()) {
    closed_ = why;
  }
}

Status Inbox::status() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void Inbox::stop() {
  {
    const std::lock_guard lock(mutex_);
    work_.stop = true;
  }
  ready_.notify_one();
}

Inbox::Work& Inbox::take(bool wait) {
  taken_.submissions.clear();
  taken_.cancels.clear();
  std::unique_lock lock(mutex_);
  if (wait) {
    ready_.wait(lock, [this] {
      return work_.stop || !work_.submissions.empty() || !work_.cancels.empty();
    });
  }
  std::swap(work_.submissions, taken_.submissions);
  std::swap(work_.cancels, taken_.cancels);
  taken_.stop = work_.stop;  // for good
  scheduler_waiting_ += ssize(taken_.submissions.size());
  return taken_;
}

void Inbox::set_scheduler_waiting(int64_t count) {
  const std::lock_guard lock(mutex_);
  scheduler_waiting_ = count;
}

}  // namespace tutti
