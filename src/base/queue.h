// A bounded multi-producer multi-consumer queue of values, closed once. Thread-safe. Memory grows
// to the longest the queue has been, then nothing is allocated any more.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace tutti {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  /// False if the queue is full or closed; never blocks.
  bool try_push(T value) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || count_ >= capacity_) {
        return false;
      }
      put(std::move(value));
    }
    ready_.notify_one();
    return true;
  }

  /// Blocks while full; false if closed.
  bool push(T value) {
    {
      std::unique_lock lock(mutex_);
      space_.wait(lock, [this] { return closed_ || count_ < capacity_; });
      if (closed_) {
        return false;
      }
      put(std::move(value));
    }
    ready_.notify_one();
    return true;
  }

  /// Blocks until an item comes; nullopt once the queue is closed and drained.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return closed_ || count_ > 0; });
    return take();
  }

  std::optional<T> pop_for(std::chrono::microseconds timeout) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, timeout, [this] { return closed_ || count_ > 0; });
    return take();
  }

  std::optional<T> try_pop() {
    const std::lock_guard lock(mutex_);
    return take();
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
    space_.notify_all();
  }

  bool closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::optional<T> take() {
    if (count_ == 0) {
      return std::nullopt;
    }
    std::optional<T> value(std::move(ring_[first_]));
    ring_[first_].reset();
    first_ = (first_ + 1) % ring_.size();
    --count_;
    space_.notify_one();
    return value;
  }

  void put(T value) {
    if (count_ == ring_.size()) {
      // Unrolled, so that the oldest is first again.
      std::vector<std::optional<T>> larger(ring_.empty() ? 4 : 2 * ring_.size());
      for (size_t i = 0; i < count_; ++i) {
        larger[i] = std::move(ring_[(first_ + i) % ring_.size()]);
      }
      ring_ = std::move(larger);
      first_ = 0;
    }
    ring_[(first_ + count_) % ring_.size()] = std::move(value);
    ++count_;
  }

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable space_;
  std::vector<std::optional<T>> ring_;
  size_t first_ = 0;
  size_t count_ = 0;
  bool closed_ = false;
};

}  // namespace tutti
