#include "ops/cpu/thread_pool.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(CpuThreadPool, EveryChunkOnce) {
  for (const int threads : {1, 2, 3, 5}) {
    CpuThreadPool pool(threads, 5);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t chunks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(chunks));
      std::atomic<int> bad_workers{0};
      pool.parallel_for(chunks, [&](int64_t chunk, int worker) {
        runs[static_cast<size_t>(chunk)].fetch_add(1);
        if (worker < 0 || worker >= threads) {
          bad_workers.fetch_add(1);
        }
      });
      for (const auto& count : runs) {
        EXPECT_EQ(count.load(), 1);
      }
      EXPECT_EQ(bad_workers.load(), 0);
    }
  }
}

// Plain (not atomic) data: a region's writes are visible to the caller and to the next region.
TEST(CpuThreadPool, RegionsAreOrdered) {
  CpuThreadPool pool(3, 5);
  std::array<int64_t, 7> values{};
  constexpr int64_t kRegions = 3000;
  for (int64_t region = 0; region < kRegions; ++region) {
    pool.parallel_for(7, [&](int64_t i, int) {
      const auto at = static_cast<size_t>((i + region) % 7);
      values[at] += 1;
    });
    ASSERT_EQ(values[static_cast<size_t>(region % 7)], region + 1);
  }
}

TEST(CpuThreadPool, WorkersWakeAfterSleeping) {
  CpuThreadPool pool(3, 0);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> runs{0};
    pool.parallel_for(50, [&](int64_t, int) { runs.fetch_add(1); });
    EXPECT_EQ(runs.load(), 50);
  }
}

TEST(CpuThreadPool, SeveralPoolsShareTheMachine) {
  constexpr int kPools = 4;
  std::vector<std::thread> ranks;
  std::atomic<int64_t> total{0};
  for (int r = 0; r < kPools; ++r) {
    ranks.emplace_back([&] {
      CpuThreadPool pool(2, 5);
      for (int i = 0; i < 200; ++i) {
        pool.parallel_for(8, [&](int64_t, int) { total.fetch_add(1); });
      }
    });
  }
  for (std::thread& rank : ranks) {
    rank.join();
  }
  EXPECT_EQ(total.load(), kPools * 200 * 8);
}

TEST(CpuThreadPool, StopsWhileIdle) {
  for (int i = 0; i < 50; ++i) {
    const CpuThreadPool pool(4, i % 2 == 0 ? 0 : 100);
  }
}

}  // namespace
}  // namespace tutti
