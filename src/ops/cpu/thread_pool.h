// The threads that share the work inside one op. Made for many short parallel regions in a row:
// workers spin briefly for the next one, then sleep. One pool belongs to one rank thread; several
// pools may exist and may together have more threads than the machine has CPUs.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace tutti {

class CpuThreadPool {
 public:
  /// `threads` counts the caller, so threads - 1 workers are started; at least 1. `spin_us` is how
  /// long an idle worker, or a caller that waits for the last worker, spins before it sleeps.
  CpuThreadPool(int threads, int spin_us);
  ~CpuThreadPool();
  CpuThreadPool(const CpuThreadPool&) = delete;
  CpuThreadPool& operator=(const CpuThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls fn(chunk, worker) for every chunk in [0, chunks), each once, on any of the threads, and
  /// returns when all are done. 0 <= worker < threads() names the thread, for scratch memory.
  /// fn must not throw and must not call parallel_for. Does not allocate. One caller at a time.
  template <class Fn>
  void parallel_for(int64_t chunks, const Fn& fn) {
    run(
        chunks,
        [](const void* object, int64_t chunk, int worker) {
          (*static_cast<const Fn*>(object))(chunk, worker);
        },
        &fn);
  }

 private:
  using Call = void (*)(const void* object, int64_t chunk, int worker);

  void run(int64_t chunks, Call call, const void* object);
  void work(int worker);
  bool take_chunk(int worker);
  void wake_workers();

  const int spin_us_;
  // The job. Written before ticket_ announces it; atomic because a late worker may look at them
  // while the next job is written, and finds out only when its claim on ticket_ fails.
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> object_{nullptr};
  std::atomic<int64_t> chunks_{0};
  // High half: number of the job; low half: chunks nobody has claimed yet. Taking a chunk is one
  // compare-and-swap, which fails if the job is another one by now.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> unfinished_{0};
  // What sleeping workers wait on: bumped for each job and at the end.
  alignas(64) std::atomic<int32_t> wake_count_{0};
  std::atomic<int32_t> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace tutti
