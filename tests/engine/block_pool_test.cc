#include "sched/block_pool.h"

#include <random>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(BlockPool, AllocatesAllOrNothing) {
  BlockPool pool(4);
  std::vector<int32_t> a;
  EXPECT_TRUE(pool.allocate(3, a));
  EXPECT_EQ(a.size(), 3U);
  std::vector<int32_t> b = {99};
  EXPECT_FALSE(pool.allocate(2, b));
  EXPECT_EQ(b, std::vector<int32_t>{99});
  EXPECT_EQ(pool.free(), 1);
  EXPECT_EQ(pool.used(), 3);
  EXPECT_TRUE(pool.allocate(0, b));
  EXPECT_TRUE(pool.check_invariants().ok());
}

TEST(BlockPool, SharedBlockIsFreeAfterItsLastHolder) {
  BlockPool pool(2);
  std::vector<int32_t> a;
  ASSERT_TRUE(pool.allocate(1, a));
  pool.share(a[0]);
  EXPECT_EQ(pool.ref_count(a[0]), 2);
  pool.release(a);
  EXPECT_EQ(pool.free(), 1);
  pool.release(a);
  EXPECT_EQ(pool.free(), 2);
  EXPECT_EQ(pool.ref_count(a[0]), 0);
}

TEST(BlockPool, EmptyPoolGivesNothing) {
  BlockPool pool(0);
  std::vector<int32_t> a;
  EXPECT_FALSE(pool.allocate(1, a));
  EXPECT_TRUE(pool.check_invariants().ok());
}

TEST(BlockPool, ConservesBlocksUnderRandomUse) {
  const unsigned seed = 20240601;
  std::mt19937 rng(seed);
  BlockPool pool(37);
  std::vector<std::vector<int32_t>> held;
  for (int step = 0; step < 20000; ++step) {
    const auto what = rng() % 3;
    if (what == 0) {
      std::vector<int32_t> blocks;
      const auto count = static_cast<int64_t>(rng() % 6);
      const int64_t free = pool.free();
      ASSERT_EQ(pool.allocate(count, blocks), count <= free) << "seed=" << seed;
      held.push_back(blocks);
    } else if (!held.empty()) {
      const size_t i = rng() % held.size();
      if (what == 1 && held.size() < 64) {
        for (const int32_t block : held[i]) {
          pool.share(block);
        }
        held.push_back(held[i]);
      } else {
        pool.release(held[i]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    ASSERT_EQ(pool.free() + pool.used() + pool.cached(), pool.total()) << "seed=" << seed;
    if (step % 100 == 0) {
      ASSERT_TRUE(pool.check_invariants().ok()) << pool.check_invariants().message();
    }
  }
}

}  // namespace
}  // namespace tutti
