// A job that one rank loses, its device being sound: the group goes on, and every other job has the
// results that it has without the loss, wherever the ranks were when it happened.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu_backend.h"
#include "backend/rank_group.h"
#include "base/checked.h"
#include "device/arena.h"

namespace tutti {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr int kJobs = 12;
constexpr int kSums = 3;  // collectives of a job

// Where the job of number `job` fails on rank `rank`: before collective `at`, or after the last.
struct Fault {
  int rank = 0;
  int job = 0;
  int at = 0;
};

std::unique_ptr<RankGroup> start(int ranks, const RankGroupOptions& options = {}) {
  RankGroupOptions wanted = options;
  wanted.request.ranks = ranks;
  return RankGroup::start(*make_cpu_backend({.threads = 1}), wanted).value();
}

using Sums = std::array<std::array<float, kSums>, kJobs>;

struct Outcome {
  std::vector<Status> statuses;
  std::vector<Sums> sums;  // by rank
};

// Two jobs are in flight at a time, as steps are.
Outcome run_jobs(RankGroup& group, const std::vector<Fault>& faults, unsigned jitter) {
  Outcome out{.sums = std::vector<Sums>(usize(group.size()))};
  const auto job = [&out, &faults, jitter](RankHandles& c, int number) {
    const auto fail_at = [&](int at) {
      // Ranks come to the same place at different times.
      if ((jitter >> static_cast<unsigned>((c.rank + number + at) % 8) & 1U) != 0) {
        std::this_thread::sleep_for(milliseconds(1));
      }
      for (const Fault& fault : faults) {
        if (fault.rank == c.rank && fault.job == number && fault.at == at) {
          throw std::bad_alloc();
        }
      }
    };
    for (int i = 0; i < kSums; ++i) {
      fail_at(i);
      auto x = static_cast<float>(1000 * number + 10 * i + c.rank);
      c.parallel.tp.all_reduce_sum({&x, DType::kF32, {1}});
      out.sums[usize(c.rank)][usize(number)][usize(i)] = x;
    }
    fail_at(kSums);
    return ok_status();
  };
  for (int number = 0; number < kJobs; ++number) {
    EXPECT_TRUE(
        group.submit([job, number](RankHandles& c) { return job(c, number); }, OnFailure::kLosesJob)
            .ok());
    if (number > 0) {
      out.statuses.push_back(group.wait());
    }
  }
  out.statuses.push_back(group.wait());
  return out;
}

void check(const Outcome& out, int ranks, const std::vector<Fault>& faults) {
  for (int number = 0; number < kJobs; ++number) {
    const Status& status = out.statuses[usize(number)];
    const auto fault = std::find_if(
        faults.begin(), faults.end(), [number](const Fault& f) { return f.job == number; });
    if (fault != faults.end()) {
      EXPECT_EQ(status.code(), StatusCode::kOutOfMemory) << "job " << number;
      EXPECT_EQ(status.message(), fmt::format("rank {}: out of host memory", fault->rank));
      continue;
    }
    ASSERT_TRUE(status.ok()) << "job " << number << ": " << status.message();
    for (int rank = 0; rank < ranks; ++rank) {
      for (int i = 0; i < kSums; ++i) {
        const int sum = ranks * (1000 * number + 10 * i) + ranks * (ranks - 1) / 2;
        EXPECT_EQ(out.sums[usize(rank)][usize(number)][usize(i)], static_cast<float>(sum))
            << "rank " << rank << ", job " << number << ", collective " << i;
      }
    }
  }
}

TEST(LostJob, WhereverARankLosesItTheOthersHaveTheirResults) {
  for (const int ranks : {1, 2, 4}) {
    for (int rank = 0; rank < ranks; ++rank) {
      for (int at = 0; at <= kSums; ++at) {
        for (const unsigned jitter : {0x00U, 0x5aU, 0xc3U}) {
          const auto group = start(ranks);
          const std::vector<Fault> faults = {{.rank = rank, .job = 5, .at = at}};
          check(run_jobs(*group, faults, jitter), ranks, faults);
          EXPECT_FALSE(group->broken());
          EXPECT_TRUE(group->health().ok());
          EXPECT_TRUE(group->stop());
        }
      }
    }
  }
}

TEST(LostJob, JobsAreLostOneAfterTheOther) {
  for (const int ranks : {1, 2, 3}) {
    for (int at = 0; at <= kSums; ++at) {
      for (const unsigned jitter : {0x00U, 0x33U}) {
        const auto group = start(ranks);
        // The last two jobs meet in one recovery when the first is lost behind its collectives.
        const std::vector<Fault> faults = {{.rank = 0, .job = 0, .at = at},
                                           {.rank = ranks - 1, .job = 3, .at = kSums},
                                           {.rank = 0, .job = 4, .at = 0},
                                           {.rank = ranks - 1, .job = 11, .at = kSums}};
        check(run_jobs(*group, faults, jitter), ranks, faults);
        EXPECT_TRUE(group->run([](RankHandles&) { return ok_status(); }).ok());
      }
    }
  }
}

TEST(LostJob, AFullArenaLosesTheStep) {
  const auto group = start(2);
  const auto step = [&group](int64_t floats) {
    EXPECT_TRUE(group
                    ->submit(
                        [floats](RankHandles& c) -> Status {
                          TUTTI_TRY(Arena arena, Arena::create(c.device, 1024));
                          const TensorView x = arena.alloc(DType::kF32, {floats});
                          std::fill_n(x.data<float>(), floats, 1.0F);
                          c.parallel.tp.all_reduce_sum(x);
                          return ok_status();
                        },
                        OnFailure::kLosesJob)
                    .ok());
    return group->wait();
  };
  const Status lost = step(257);
  EXPECT_EQ(lost.code(), StatusCode::kOutOfMemory);
  EXPECT_THAT(lost.message(), HasSubstr("arena of 1024 bytes"));
  EXPECT_TRUE(step(256).ok());
}

TEST(LostJob, ADeviceErrorEndsTheGroupAllTheSame) {
  for (const int ranks : {1, 2}) {
    const auto group = start(ranks);
    ASSERT_TRUE(group
                    ->submit(
                        [&](RankHandles& c) -> Status {
                          if (c.rank == ranks - 1) {
                            throw DeviceError("an illegal address");
                          }
                          c.parallel.tp.barrier();
                          return ok_status();
                        },
                        OnFailure::kLosesJob)
                    .ok());
    EXPECT_EQ(group->wait().code(), StatusCode::kDevice);
    EXPECT_TRUE(group->broken());
    EXPECT_FALSE(group->submit([](RankHandles&) { return ok_status(); }).ok());
  }
}

TEST(LostJob, ADeviceErrorEndsThoseThatWaitToGoOn) {
  const auto group = start(3);
  std::atomic<bool> begun{false};
  ASSERT_TRUE(group
                  ->submit(
                      [&](RankHandles& c) -> Status {
                        if (c.rank == 0) {
                          begun.wait(false);
                          throw std::bad_alloc();
                        }
                        if (c.rank == 1) {
                          begun = true;
                          begun.notify_all();
                          std::this_thread::sleep_for(milliseconds(20));
                          throw DeviceError("an illegal address");
                        }
                        c.parallel.tp.barrier();
                        return ok_status();
                      },
                      OnFailure::kLosesJob)
                  .ok());
  const Status status = group->wait();
  EXPECT_EQ(status.code(), StatusCode::kDevice);
  EXPECT_EQ(status.message(), "rank 1: an illegal address");
  EXPECT_TRUE(group->broken());
  EXPECT_TRUE(group->stop());
}

// What a job uses that may outlive the test's frame.
struct Hang {
  std::atomic<bool> released{false};
};

TEST(LostJob, RanksThatAllHangAreGivenUp) {
  for (const int ranks : {1, 2}) {
    const auto hang = std::make_shared<Hang>();
    auto group = start(ranks, {.step_timeout = milliseconds(200), .grace = milliseconds(100)});
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(group
                      ->submit(
                          [hang](RankHandles&) {
                            hang->released.wait(false);
                            return ok_status();
                          },
                          OnFailure::kLosesJob)
                      .ok());
    }
    const auto begin = std::chrono::steady_clock::now();
    const Status status = group->wait();
    EXPECT_EQ(status.code(), StatusCode::kDevice);
    EXPECT_THAT(status.message(), HasSubstr("no rank returned from a step within 0.2 s"));
    EXPECT_FALSE(group->stop());
    group.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
    hang->released = true;
    hang->released.notify_all();
  }
}

}  // namespace
}  // namespace tutti
