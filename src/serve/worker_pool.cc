#include "serve/worker_pool.h"

namespace tutti {

WorkerPool::WorkerPool(int threads, int queue_capacity)
    : queue_(static_cast<size_t>(queue_capacity)) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (auto job = queue_.pop()) {
        (*job)();
      }
    });
  }
}

WorkerPool::~WorkerPool() {
  stop();
}

void WorkerPool::stop() {
  queue_.close();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

}  // namespace tutti
