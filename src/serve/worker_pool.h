// A few threads for work too long for an io thread: parsing, templating, tokenizing.
#pragma once
#include <functional>
#include <thread>
#include <vector>

#include "base/queue.h"

namespace tutti {

class WorkerPool {
 public:
  WorkerPool(int threads, int queue_capacity);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// False if the queue is full or the pool is stopping. `job` must not throw.
  bool try_run(std::function<void()> job) { return queue_.try_push(std::move(job)); }

  /// Finishes queued jobs and joins. Idempotent.
  void stop();

 private:
  BoundedQueue<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace tutti
