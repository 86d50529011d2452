#include "ops/cpu/thread_pool.h"

#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/check.h"

namespace tutti {

namespace {

constexpr int kPausesPerClockRead = 16;
constexpr uint64_t kUnclaimedMask = 0xFFFFFFFFU;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() or the time is over; returns done().
template <class Done>
bool spin_until(const Done& done, int spin_us) {
  if (done()) {
    return true;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(spin_us);
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      pause();
      if (done()) {
        return true;
      }
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

CpuThreadPool::CpuThreadPool(int threads, int spin_us) : spin_us_(spin_us) {
  TUTTI_CHECK_GE(threads, 1);
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i] { work(i); });
  }
}

CpuThreadPool::~CpuThreadPool() {
  stop_.store(true);
  wake_count_.fetch_add(1);
  wake_count_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void CpuThreadPool::run(int64_t chunks, Call call, const void* object) {
  if (chunks <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < chunks; ++i) {
      call(object, i, 0);
    }
    return;
  }
  TUTTI_CHECK_LE(chunks, static_cast<int64_t>(kUnclaimedMask));
  call_.store(call, std::memory_order_relaxed);
  object_.store(object, std::memory_order_relaxed);
  chunks_.store(chunks, std::memory_order_relaxed);
  unfinished_.store(chunks, std::memory_order_relaxed);
  const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32U) + 1;
  ticket_.store(job << 32U | static_cast<uint64_t>(chunks), std::memory_order_release);
  wake_workers();
  while (take_chunk(0)) {
  }
  const auto done = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  if (spin_until(done, spin_us_)) {
    return;
  }
  caller_sleeps_.store(true);
  for (int64_t left = unfinished_.load(); left != 0; left = unfinished_.load()) {
    unfinished_.wait(left);
  }
  caller_sleeps_.store(false);
}

void CpuThreadPool::wake_workers() {
  wake_count_.fetch_add(1);  // sequentially consistent, against sleepers_ in work()
  if (sleepers_.load() > 0) {
    wake_count_.notify_all();
  }
}

bool CpuThreadPool::take_chunk(int worker) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & kUnclaimedMask) != 0) {
    // If these belong to a later job, that job's ticket differs and the exchange below fails: a
    // job is written only after all chunks of the one before it are done.
    const Call call = call_.load(std::memory_order_relaxed);
    const void* object = object_.load(std::memory_order_relaxed);
    const int64_t chunks = chunks_.load(std::memory_order_relaxed);
    if (ticket_.compare_exchange_weak(
            ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      call(object, chunks - static_cast<int64_t>(ticket & kUnclaimedMask), worker);
      if (unfinished_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
        unfinished_.notify_one();
      }
      return true;
    }
  }
  return false;
}

void CpuThreadPool::work(int worker) {
  for (;;) {
    const int32_t seen = wake_count_.load();
    while (take_chunk(worker)) {
    }
    if (stop_.load()) {
      return;
    }
    const auto changed = [&] { return wake_count_.load(std::memory_order_acquire) != seen; };
    if (spin_until(changed, spin_us_)) {
      continue;
    }
    sleepers_.fetch_add(1);
    wake_count_.wait(seen);  // returns at once if a job came between the check and the count
    sleepers_.fetch_sub(1);
  }
}

}  // namespace tutti
