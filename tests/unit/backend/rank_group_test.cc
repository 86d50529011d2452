#include "backend/rank_group.h"

#include <atomic>
#include <chrono>
#include <new>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "base/checked.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;

class RankGroupTest : public ::testing::TestWithParam<int> {
 protected:
  RankGroupTest()
      : backend_(make_cpu_backend({.threads = 1})),
        group_(RankGroup::start(*backend_, GetParam()).value()) {}

  int ranks() const { return GetParam(); }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<RankGroup> group_;
};

Status reduce_one(RankContext& context, float* sum) {
  float x = static_cast<float>(context.rank + 1);
  context.parallel.tp.all_reduce_sum({&x, DType::kF32, {1}});
  *sum = x;
  return ok_status();
}

TEST_P(RankGroupTest, EveryRankRunsEveryJobInOrder) {
  EXPECT_EQ(group_->size(), ranks());
  std::vector<std::vector<int>> seen(usize(ranks()));
  std::vector<std::set<std::thread::id>> threads(usize(ranks()));
  constexpr int kJobs = 6;
  for (int i = 0; i < kJobs; ++i) {
    ASSERT_TRUE(group_
                    ->submit([&, i](RankContext& c) {
                      seen[usize(c.rank)].push_back(i);
                      threads[usize(c.rank)].insert(std::this_thread::get_id());
                      return ok_status();
                    })
                    .ok());
  }
  for (int i = 0; i < kJobs; ++i) {
    EXPECT_TRUE(group_->wait().ok());
  }
  for (int r = 0; r < ranks(); ++r) {
    EXPECT_EQ(seen[usize(r)], (std::vector<int>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(threads[usize(r)].size(), 1U) << "a rank is one thread";
  }
}

TEST_P(RankGroupTest, ContextHoldsTheRanksOwnResources) {
  std::vector<const void*> devices(usize(ranks()));
  std::vector<float> sums(usize(ranks()));
  ASSERT_TRUE(group_
                  ->run([&](RankContext& c) {
                    devices[usize(c.rank)] = &c.device;
                    EXPECT_EQ(c.parallel.tp.rank(), c.rank);
                    EXPECT_EQ(c.parallel.tp.size(), ranks());
                    EXPECT_EQ(c.parallel.ep.size(), 1);
                    return reduce_one(c, &sums[usize(c.rank)]);
                  })
                  .ok());
  EXPECT_EQ(std::set<const void*>(devices.begin(), devices.end()).size(), usize(ranks()));
  for (const float sum : sums) {
    EXPECT_EQ(sum, static_cast<float>(ranks() * (ranks() + 1) / 2));
  }
}

TEST_P(RankGroupTest, AnErrorOfOneRankWakesTheOthersAndIsTheOneReported) {
  const int failing = ranks() - 1;
  const Status status = group_->run([&](RankContext& c) -> Status {
    if (c.rank == failing) {
      return error(StatusCode::kCorrupt, "weights of rank {} are bad", c.rank);
    }
    float mine = 0;
    return reduce_one(c, &mine);  // waits for the rank that failed
  });
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_EQ(status.message(), fmt::format("weights of rank {} are bad", failing));
  // Later jobs end with an error, even those that use no collective.
  const Status later = group_->run([](RankContext&) { return ok_status(); });
  EXPECT_FALSE(later.ok());
  EXPECT_EQ(later.code(), StatusCode::kDevice);
  EXPECT_THAT(later.message(), HasSubstr(fmt::format("weights of rank {} are bad", failing)));
}

TEST_P(RankGroupTest, ExceptionsOfDevicesAndMemoryBecomeStatus) {
  const Status device = group_->run(
      [](RankContext& c) -> Status { throw DeviceError(fmt::format("lost device {}", c.rank)); });
  EXPECT_EQ(device.code(), StatusCode::kDevice);
  EXPECT_THAT(device.message(), HasSubstr("rank 0: lost device 0"));

  const auto other = RankGroup::start(*backend_, ranks()).value();
  const Status memory = other->run([this](RankContext& c) -> Status {
    if (c.rank == ranks() - 1) {
      throw std::bad_alloc();
    }
    return ok_status();
  });
  EXPECT_EQ(memory.code(), StatusCode::kOutOfMemory);
  EXPECT_THAT(memory.message(), HasSubstr(fmt::format("rank {}", ranks() - 1)));
}

TEST_P(RankGroupTest, StopRunsWhatWasSubmitted) {
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(group_
                    ->submit([&](RankContext&) {
                      std::this_thread::sleep_for(std::chrono::milliseconds(2));
                      ++ran;
                      return ok_status();
                    })
                    .ok());
  }
  group_->stop();
  group_->stop();
  EXPECT_EQ(ran, 3 * ranks());
  const Status after = group_->submit([](RankContext&) { return ok_status(); });
  EXPECT_EQ(after.code(), StatusCode::kDevice);
  EXPECT_THAT(after.message(), HasSubstr("shut down"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, RankGroupTest, ::testing::Values(1, 2, 4));

}  // namespace
}  // namespace tutti
