#include "base/queue.h"

#include <atomic>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

using std::chrono::milliseconds;

TEST(BoundedQueueTest, FirstInFirstOutAndBounded) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.push(2));
  EXPECT_FALSE(queue.try_push(3)) << "full";
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.try_pop(), 2);
  EXPECT_EQ(queue.try_pop(), std::nullopt);
  EXPECT_EQ(queue.pop_for(milliseconds(1)), std::nullopt);
}

TEST(BoundedQueueTest, HoldsMoveOnlyValues) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  EXPECT_TRUE(queue.push(std::make_unique<int>(5)));
  EXPECT_EQ(**queue.pop(), 5);
}

TEST(BoundedQueueTest, CloseDrainsThenEnds) {
  BoundedQueue<int> queue(4);
  queue.push(1);
  queue.push(2);
  queue.close();
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.push(3));
  EXPECT_FALSE(queue.try_push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.try_pop(), 2);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.pop_for(milliseconds(1)), std::nullopt);
}

TEST(BoundedQueueTest, CloseWakesWaitingReadersAndWriters) {
  BoundedQueue<int> empty(1);
  BoundedQueue<int> full(1);
  full.push(0);
  std::atomic<int> ended{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] { ended += empty.pop() == std::nullopt ? 1 : 0; });
    threads.emplace_back([&] { ended += full.push(1) ? 0 : 1; });
  }
  std::this_thread::sleep_for(milliseconds(20));
  empty.close();
  full.close();
  threads.clear();
  EXPECT_EQ(ended, 6);
}

TEST(BoundedQueueTest, AWriterThatWaitsForSpaceGoesOn) {
  BoundedQueue<int> queue(1);
  queue.push(1);
  std::jthread writer([&queue] { EXPECT_TRUE(queue.push(2)); });
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
}

TEST(BoundedQueueTest, EveryValueArrivesOnceFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  BoundedQueue<int> queue(7);
  std::vector<std::vector<int>> got(kThreads);
  std::vector<std::jthread> readers;
  for (int t = 0; t < kThreads; ++t) {
    readers.emplace_back([&queue, &mine = got[static_cast<size_t>(t)]] {
      while (const std::optional<int> value = queue.pop()) {
        mine.push_back(*value);
      }
    });
  }
  {
    std::vector<std::jthread> writers;
    for (int t = 0; t < kThreads; ++t) {
      writers.emplace_back([&queue, t] {
        for (int i = 0; i < kEach; ++i) {
          ASSERT_TRUE(queue.push(t * kEach + i));
        }
      });
    }
  }
  queue.close();
  readers.clear();
  std::vector<int> seen(kThreads * kEach, 0);
  for (const std::vector<int>& mine : got) {
    for (const int value : mine) {
      ++seen[static_cast<size_t>(value)];
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), kThreads * kEach);
}

}  // namespace
}  // namespace tutti
