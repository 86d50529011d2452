#include "backend/rank_group.h"

#include <atomic>
#include <chrono>
#include <future>
#include <new>
#include <semaphore>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "base/checked.h"

namespace tutti {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class RankGroupTest : public ::testing::TestWithParam<int> {
 protected:
  RankGroupTest()
      : backend_(make_cpu_backend({.threads = 1})),
        group_(RankGroup::start(*backend_, {.request = {.ranks = GetParam()}}).value()) {}

  int ranks() const { return GetParam(); }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<RankGroup> group_;
};

Status reduce_one(RankHandles& context, float* sum) {
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
                    ->submit([&, i](RankHandles& c) {
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
                  ->run([&](RankHandles& c) {
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
  const Status status = group_->run([&](RankHandles& c) -> Status {
    if (c.rank == failing) {
      return error(StatusCode::kCorrupt, "weights of rank {} are bad", c.rank);
    }
    float mine = 0;
    return reduce_one(c, &mine);  // waits for the rank that failed
  });
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_EQ(status.message(), fmt::format("weights of rank {} are bad", failing));
  // Later jobs end with an error, even those that use no collective.
  const Status later = group_->run([](RankHandles&) { return ok_status(); });
  EXPECT_FALSE(later.ok());
  EXPECT_EQ(later.code(), StatusCode::kDevice);
  EXPECT_THAT(later.message(), HasSubstr(fmt::format("weights of rank {} are bad", failing)));
}

TEST_P(RankGroupTest, ExceptionsOfDevicesAndMemoryBecomeStatus) {
  const Status device = group_->run(
      [](RankHandles& c) -> Status { throw DeviceError(fmt::format("lost device {}", c.rank)); });
  EXPECT_EQ(device.code(), StatusCode::kDevice);
  // The first to fail; any of them.
  EXPECT_THAT(device.message(), MatchesRegex("rank ([0-9]): lost device [0-9]"));

  const auto other = RankGroup::start(*backend_, {.request = {.ranks = ranks()}}).value();
  const Status memory = other->run([this](RankHandles& c) -> Status {
    if (c.rank == ranks() - 1) {
      throw std::bad_alloc();
    }
    return ok_status();
  });
  EXPECT_EQ(memory.code(), StatusCode::kOutOfMemory);
  EXPECT_THAT(memory.message(), HasSubstr(fmt::format("rank {}", ranks() - 1)));
}

// A rank that waited for another fails first, and the other's device then tells why.
TEST(RankGroupCause, WhatIsKnownGoesBeforeWhatCameFirst) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
  const std::unique_ptr<RankGroup> group =
      RankGroup::start(*backend, {.request = {.ranks = 2}}).value();
  std::promise<void> first_failed;
  std::promise<void> second_runs;
  const Status status = group->run([&](RankHandles& c) -> Status {
    if (c.rank == 0) {
      second_runs.get_future().wait();  // or it would not be run at all
      first_failed.set_value();
      throw DeviceError("rank 0 waited 1.0 s for rank 1, which did not arrive");
    }
    second_runs.set_value();
    first_failed.get_future().wait();
    // Late enough for the first to be kept in any case.
    std::this_thread::sleep_for(milliseconds(20));
    throw DeviceError("matmul: uncorrectable ECC error encountered (cudaErrorECCUncorrectable)");
  });
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_THAT(status.message(), HasSubstr("rank 1: matmul: uncorrectable ECC error"));
  EXPECT_THAT(status.message(), HasSubstr("the GPU's memory is broken in one place. To do: "));
}

TEST_P(RankGroupTest, StopRunsWhatWasSubmitted) {
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(group_
                    ->submit([&](RankHandles&) {
                      std::this_thread::sleep_for(std::chrono::milliseconds(2));
                      ++ran;
                      return ok_status();
                    })
                    .ok());
  }
  group_->stop();
  group_->stop();
  EXPECT_EQ(ran, 3 * ranks());
  const Status after = group_->submit([](RankHandles&) { return ok_status(); });
  EXPECT_EQ(after.code(), StatusCode::kDevice);
  EXPECT_THAT(after.message(), HasSubstr("shut down"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, RankGroupTest, ::testing::Values(1, 2, 4));

constexpr milliseconds kShort{200};
constexpr milliseconds kLong{60'000};

std::unique_ptr<RankGroup> start(const RankGroupOptions& options) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
  return RankGroup::start(*backend, options).value();
}

class Stopwatch {
 public:
  milliseconds elapsed() const {
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin_);
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

Status reduce_job(RankHandles& context) {
  float sum = 0;
  return reduce_one(context, &sum);
}

TEST(RankGroupTimeout, AStalledRankIsNamedByThoseThatWaitForIt) {
  const auto group = start({.request = {.ranks = 3, .collective_timeout = kShort},
                            .job_timeout = kLong,
                            .stall = RankStall{.rank = 1, .job = 2}});
  EXPECT_TRUE(group->run(reduce_job).ok());
  EXPECT_TRUE(group->run(reduce_job).ok());
  const Stopwatch watch;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(group->submit(reduce_job).ok());
  }
  const Status status = group->wait();
  EXPECT_LT(watch.elapsed(), milliseconds(10'000));
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_THAT(status.message(),
              MatchesRegex("all_reduce_sum .4 bytes.: rank [02] waited 0.2 s for rank 1, which did "
                           "not arrive .it last passed all_reduce_sum 2."));
  for (int i = 0; i < 2; ++i) {  // later jobs are collected, and say what came first
    EXPECT_THAT(group->wait().message(), HasSubstr("for rank 1, which did not arrive"));
  }
  EXPECT_THAT(group->submit(reduce_job).message(), HasSubstr("for rank 1, which did not arrive"));
  EXPECT_TRUE(group->stop());
}

TEST(RankGroupTimeout, ARankThatLagsWithoutACollectiveIsNamed) {
  for (const int stalled : {0, 1}) {
    const auto group = start({.request = {.ranks = 2},
                              .job_timeout = kShort,
                              .stall = RankStall{.rank = stalled, .job = 0}});
    const Status status = group->run([](RankHandles&) { return ok_status(); });
    EXPECT_EQ(status.code(), StatusCode::kDevice);
    EXPECT_EQ(
        status.message(),
        fmt::format("rank {} did not return from its job within 0.2 s of another rank", stalled));
    EXPECT_TRUE(group->stop());
  }
}

TEST(RankGroupTimeout, ALongJobOfAllRanksIsReported) {
  std::atomic<bool> reported{false};
  const auto group = start({.request = {.ranks = 2},
                            .job_timeout = kLong,
                            .report_every = milliseconds(50),
                            .on_waiting = [&](milliseconds waited) {
                              EXPECT_GE(waited, milliseconds(50));
                              reported = true;
                              reported.notify_all();
                            }});
  const Status status = group->run([&](RankHandles&) {
    reported.wait(false);
    return ok_status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(group->stop());
}

TEST(RankGroupTimeout, LongJobsOfAllRanksAreLegal) {
  const auto group =
      start({.request = {.ranks = 2, .collective_timeout = kShort}, .job_timeout = kShort});
  const Status status = group->run([](RankHandles& context) {
    std::this_thread::sleep_for(3 * kShort);
    return reduce_job(context);
  });
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(RankGroupTimeout, StopDoesNotWaitForAStalledRank) {
  const auto group = start(
      {.request = {.ranks = 2}, .job_timeout = kShort, .stall = RankStall{.rank = 1, .job = 0}});
  ASSERT_TRUE(group->submit([](RankHandles&) { return ok_status(); }).ok());
  const Stopwatch watch;
  EXPECT_TRUE(group->stop());
  EXPECT_LT(watch.elapsed(), milliseconds(10'000));
}

// What a job uses that may outlive the test's frame.
struct Hang {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::promise<bool> back;
};

TEST(RankGroupTimeout, ARankThatNeverReturnsIsLeftBehind) {
  const auto hang = std::make_shared<Hang>();
  auto group = start({.request = {.ranks = 3, .collective_timeout = kShort},
                      .job_timeout = kLong,
                      .grace = kShort});
  const Stopwatch watch;
  ASSERT_TRUE(group
                  ->submit([hang](RankHandles& context) {
                    if (context.rank != 1) {
                      return reduce_job(context);
                    }
                    hang->released.wait();
                    // The group is gone; what it made for this rank is not.
                    bool interrupted = false;
                    try {
                      context.parallel.tp.barrier();
                    } catch (const DeviceError&) {
                      interrupted = true;
                    }
                    hang->back.set_value(interrupted && context.device.free_bytes() > 0);
                    return ok_status();
                  })
                  .ok());
  const Status status = group->wait();
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_THAT(status.message(), HasSubstr("for rank 1, which did not arrive"));
  EXPECT_FALSE(group->submit(reduce_job).ok());
  EXPECT_FALSE(group->stop());
  group.reset();
  EXPECT_LT(watch.elapsed(), milliseconds(10'000));
  hang->release.set_value();
  EXPECT_TRUE(hang->back.get_future().get());
}

TEST(RankGroupTimeout, JobsOfRunHaveLongerToReturn) {
  const auto group =
      start({.request = {.ranks = 2}, .job_timeout = kLong, .grace = milliseconds(1)});
  std::atomic<bool> begun{false};
  std::atomic<bool> finished{false};
  const Status status = group->run([&](RankHandles& context) -> Status {
    if (context.rank == 1) {
      begun.wait(false);  // else the other would not run its job at all
      return error(StatusCode::kCorrupt, "a tensor is bad");
    }
    begun = true;
    begun.notify_all();
    std::this_thread::sleep_for(2 * kShort);  // as one that reads many tensors
    finished = true;
    return ok_status();
  });
  EXPECT_TRUE(finished) << "what the job refers to is used to the end";
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_TRUE(group->stop());
}

TEST(RankGroupTimeout, AStallOfARankThereIsNotIsRefused) {
  const std::unique_ptr<Backend> backend = make_cpu_backend({.threads = 1});
  for (const int rank : {-1, 2}) {
    const auto group =
        RankGroup::start(*backend, {.request = {.ranks = 2}, .stall = RankStall{.rank = rank}});
    EXPECT_EQ(group.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(group.status().message(), HasSubstr("ranks 0 to 1"));
  }
}

// Ranks whose collectives are queued on devices: a time-out shows in health() alone, and the ranks
// wait in their streams until abort() lets them go.
class DeviceLikeSet final : public RankSet {
 public:
  explicit DeviceLikeSet(std::unique_ptr<RankSet> inner) : inner_(std::move(inner)) {}

  std::vector<RankResources>& ranks() override { return inner_->ranks(); }

  void abort(const std::string& reason) override {
    inner_->abort(reason);
    aborted_.release(8);
  }

  Status health() const override {
    return timed_out ? error(StatusCode::kDevice, "all_gather_columns: rank 0 waited for rank 1")
                     : ok_status();
  }

  void wait_on_stream() { aborted_.acquire(); }

  std::atomic<bool> timed_out{false};

 private:
  std::unique_ptr<RankSet> inner_;
  std::counting_semaphore<> aborted_{0};
};

class DeviceLikeBackend final : public Backend {
 public:
  std::string describe(const RankChoice& choice) const override { return inner_->describe(choice); }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    return inner_->memory_pools(ranks);
  }

  bool ranks_share_memory() const override { return true; }

  int64_t rank_overhead_bytes() const override { return 0; }

  Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) override {
    return inner_->measure_ceilings(choice, compute);
  }

  DType default_compute() const override { return DType::kF32; }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    auto made = std::make_unique<DeviceLikeSet>(inner_->make_ranks(request).value());
    set = made.get();
    return std::unique_ptr<RankSet>(std::move(made));
  }

  DeviceLikeSet* set = nullptr;

 private:
  std::unique_ptr<Backend> inner_ = make_cpu_backend({.threads = 1});
};

TEST(RankGroupTimeout, ACollectiveThatFailedOnADeviceAbortsTheOthers) {
  DeviceLikeBackend backend;
  const auto group = RankGroup::start(backend, {.request = {.ranks = 2}}).value();
  ASSERT_TRUE(group
                  ->submit([&](RankHandles& context) {
                    if (context.rank == 1) {
                      backend.set->timed_out = true;
                    }
                    backend.set->wait_on_stream();
                    return ok_status();  // the stream is empty; only health() knows
                  })
                  .ok());
  const Status status = group->wait();
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_EQ(status.message(), "all_gather_columns: rank 0 waited for rank 1");
}

// A device that fails lets the others' collectives time out; what it said tells more than they.
TEST(RankGroupCause, WhatIsKnownGoesBeforeACollectiveThatFailed) {
  DeviceLikeBackend backend;
  const auto group = RankGroup::start(backend, {.request = {.ranks = 2}}).value();
  const Status status = group->run([&](RankHandles& context) -> Status {
    if (context.rank == 0) {
      backend.set->wait_on_stream();
      return ok_status();
    }
    backend.set->timed_out = true;
    throw DeviceError("matmul: uncorrectable ECC error encountered (cudaErrorECCUncorrectable)");
  });
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_THAT(status.message(), HasSubstr("rank 1: matmul: uncorrectable ECC error"));
}

}  // namespace
}  // namespace tutti
