// The engine thread does not allocate while sequences decode and nobody comes or goes. Every
// operator new of the program is counted per thread.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "engine/canned_model_runner.h"
#include "engine/engine.h"

namespace {

thread_local int64_t thread_allocations = 0;

}  // namespace

// g++ sees free() inlined where the matching operator new is not, and takes them for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

// The replaceable operators; all others call these (C++20, [new.delete]).
void* operator new(size_t size) {
  ++thread_allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) {
    return p;
  }
  throw std::bad_alloc();
}

void* operator new(size_t size, std::align_val_t align) {
  ++thread_allocations;
  const auto alignment = static_cast<size_t>(align);
  if (void* p = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)) {
    return p;
  }
  throw std::bad_alloc();
}

void operator delete(void* p) noexcept {
  std::free(p);
}

void operator delete(void* p, size_t /*size*/) noexcept {
  std::free(p);
}

void operator delete(void* p, std::align_val_t /*align*/) noexcept {
  std::free(p);
}

void operator delete(void* p, size_t /*size*/, std::align_val_t /*align*/) noexcept {
  std::free(p);
}

namespace tutti {
namespace {

constexpr int64_t kSequences = 256;
constexpr int64_t kFirst = 400;  // steps until every buffer has had its largest size
constexpr int64_t kLast = 1400;

class CountingSink final : public TokenSink {
 public:
  void on_event(const SequenceEvent& event) override {
    if (tokens < kSequences * 10) {
      // Slow at first, so that the delivery queue has been full once and all its buffers exist.
      std::this_thread::sleep_for(std::chrono::microseconds(5));
    }
    tokens += ssize(event.tokens.size());
    if (event.last()) {
      const std::lock_guard lock(mutex_);
      ++ended_;
      changed_.notify_all();
    }
  }

  void wait(int64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ == count; });
  }

  int64_t tokens = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t ended_ = 0;
};

TEST(EngineAllocations, SteadyDecodeAllocatesNothingOnTheEngineThread) {
  for (const bool cache : {true, false}) {
    for (const bool ahead : {true, false}) {
      auto runner = std::make_unique<CannedModelRunner>(RunnerLimits{.block_size = 16,
                                                                     .num_blocks = 40000,
                                                                     .max_batch_tokens = 4096,
                                                                     .max_batch_sequences = 512,
                                                                     .max_context = 4096,
                                                                     .vocab_size = 1000});
      std::atomic<int64_t> allocated = -1;
      int64_t before = 0;
      int64_t rows = 0;
      runner->set_on_submit([&](const Batch& batch) {
        const auto step = static_cast<int64_t>(batch.step);
        if (step == kFirst) {
          before = thread_allocations;
        } else if (step > kFirst && step <= kLast) {
          rows += ssize(batch.sequences.size());
        }
        if (step == kLast) {
          allocated = thread_allocations - before;
        }
      });
      EngineConfig config;
      config.max_waiting = kSequences;
      config.prefix_cache = cache;
      config.run_ahead = ahead;
      config.delivery_capacity = 4;  // so that all of its buffers are soon there
      Engine engine(config, std::move(runner));
      std::vector<SequenceRequest> requests;
      for (int64_t i = 0; i < kSequences; ++i) {
        SequenceRequest& r = requests.emplace_back();
        r.id = static_cast<uint64_t>(i + 1);
        for (int64_t j = 0; j < 40; ++j) {
          r.prompt.push_back(static_cast<int32_t>((i * 31 + j) % 1000));
        }
        r.max_tokens = kLast + 300;
      }
      const auto sink = std::make_shared<CountingSink>();
      ASSERT_TRUE(engine.submit(std::move(requests), sink).ok());
      sink->wait(kSequences);
      EXPECT_EQ(sink->tokens, kSequences * (kLast + 300));
      EXPECT_EQ(rows, kSequences * (kLast - kFirst)) << "everybody was in every step";
      EXPECT_EQ(allocated.load(), 0) << "cache " << cache << ", ahead " << ahead;
    }
  }
}

}  // namespace
}  // namespace tutti
