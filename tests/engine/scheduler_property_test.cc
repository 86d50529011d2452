// Random worlds until enough has happened: every request ends as if it had run alone, no block is
// lost, nobody waits longer than the stated bound.
// A million steps, fewer under a sanitizer; TUTTI_PROPERTY_STEPS asks for another number. The
// minimum counts are in proportion.
#include <chrono>
#include <cstdlib>

#include <gtest/gtest.h>

#include "engine/scheduler_world.h"

namespace tutti {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kSteps = 50000;
#else
constexpr int64_t kSteps = 1000000;
#endif

TEST(SchedulerProperty, EveryRequestEndsAsIfItRanAlone) {
  const char* wanted = std::getenv("TUTTI_PROPERTY_STEPS");
  const int64_t steps = wanted == nullptr ? kSteps : std::atoll(wanted);
  const auto begin = std::chrono::steady_clock::now();
  WorldCounts sum;
  uint64_t seed = 1;
  for (; sum.steps < steps; ++seed) {
    SchedulerWorld world(seed);
    const Status status = world.run(500);
    ASSERT_TRUE(status.ok()) << status.message();
    sum.add(world.counts());
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  printf("seeds 1-%d: %s; %.1f s\n", static_cast<int>(seed - 1), sum.text().c_str(), seconds);
  // The load must have reached what it is there to test.
  const int64_t least = steps / 100;
  EXPECT_GE(sum.preemptions, least);
  EXPECT_GE(sum.cancels, least);
  EXPECT_GE(sum.forks, least);
  EXPECT_GE(sum.cache_hits, least);
  EXPECT_GE(sum.evictions, least);
  EXPECT_GE(sum.deadlines, least);
  EXPECT_GE(sum.scores, least);
  EXPECT_GT(sum.failures, 0);
  EXPECT_GT(sum.run_ahead, steps / 4);
}

}  // namespace
}  // namespace tutti
