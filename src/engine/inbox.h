// What other threads ask of the engine thread: new sequences (bounded) and cancels (bounded by the
// number of live sequences). One lock; the engine thread blocks here when it has nothing to run.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "sched/sequence.h"
#include "sched/sequence_events.h"

namespace tutti {

/// Receives the events of sequences, on the delivery thread. Must return quickly, must not throw.
/// An event and what it refers to last as long as the call.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void on_event(const SequenceEvent& event) = 0;
};

class Inbox {
 public:
  struct Submission {
    SequenceRequest request;
    std::shared_ptr<TokenSink> sink;
  };

  struct Work {
    std::vector<Submission> submissions;  // in order of arrival
    std::vector<uint64_t> cancels;
    bool stop = false;
  };

  /// `max_waiting`: sequences here and in the scheduler's queue.
  explicit Inbox(int64_t max_waiting) : max_waiting_(max_waiting) {}

  /// All or nothing. kOverloaded when full; the Status of close() once closed.
  Status submit(std::vector<SequenceRequest> requests, const std::shared_ptr<TokenSink>& sink);

  void cancel(uint64_t sequence_id);

  /// From now on submit() fails with `why` (the first one given wins).
  void close(const Status& why);

  /// Ok until closed.
  Status status() const;

  /// Makes take() return with Work::stop.
  void stop();

  /// Engine thread: everything that has come, valid until the next call. With `wait`, blocks until
  /// something has.
  Work& take(bool wait);

  /// Engine thread: sequences that wait for admission in the scheduler. Those that take() gave out
  /// count as waiting until this is called.
  void set_scheduler_waiting(int64_t count);

 private:
  friend struct InboxPeer;  // tests plant a bug through it

  const int64_t max_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  Work work_;
  Work taken_;  // engine thread; its buffers are used again
  int64_t scheduler_waiting_ = 0;
  Status closed_;
};

}  // namespace tutti
