#include "comm/thread_communicator.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "comm/self_communicator.h"

namespace tutti {
namespace {

// Values whose sum depends on the order of addition.
float value(int rank, int64_t i) {
  const float magnitude = (i % 3 == 0) ? 1e7F : 0.3F;
  return (rank % 2 == 0 ? 1.0F : -1.0F) * magnitude *
         (1.0F + 0.001F * static_cast<float>((i * 31 + rank * 17) % 97));
}

template <class F>
void on_all_ranks(ThreadGroup& group, F f) {
  std::vector<std::jthread> threads;
  for (int r = 0; r < group.size(); ++r) {
    threads.emplace_back([&group, r, &f] {
      const std::unique_ptr<Communicator> endpoint = group.endpoint(r);
      f(*endpoint);
    });
  }
}

class ThreadGroupTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadGroupTest, AllReduceSumsInRankOrderOnEveryRank) {
  const int size = GetParam();
  ThreadGroup group(size);
  // Growing, shrinking, smaller than the group, empty, and growing again.
  const std::vector<int64_t> lengths{1, 7, 8, 1000, 3, 0, 1001, 64, 5000, 2};
  on_all_ranks(group, [&](Communicator& comm) {
    EXPECT_EQ(comm.size(), size);
    for (int round = 0; round < 3; ++round) {
      for (const int64_t n : lengths) {
        std::vector<float> x(usize(n));
        for (int64_t i = 0; i < n; ++i) {
          x[usize(i)] = value(comm.rank(), i + round);
        }
        float none = 0;
        comm.all_reduce_sum({n == 0 ? &none : x.data(), DType::kF32, {n}});
        for (int64_t i = 0; i < n; ++i) {
          float want = value(0, i + round);
          for (int r = 1; r < size; ++r) {
            want += value(r, i + round);
          }
          ASSERT_EQ(x[usize(i)], want) << "rank " << comm.rank() << " length " << n << " at " << i;
        }
      }
    }
  });
}

TEST_P(ThreadGroupTest, AllGatherOfUnequalWidths) {
  const int size = GetParam();
  ThreadGroup group(size);
  on_all_ranks(group, [&](Communicator& comm) {
    for (const int64_t rows : {1, 5, 2}) {
      std::vector<int64_t> widths;
      int64_t total = 0;
      for (int r = 0; r < size; ++r) {
        widths.push_back((r * 3 + rows) % 4 + 1);
        total += widths.back();
      }
      const int64_t mine = widths[usize(comm.rank())];
      std::vector<float> in(usize(rows * mine));
      std::vector<float> out(usize(rows * total), -1.0F);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t c = 0; c < mine; ++c) {
          in[usize(row * mine + c)] = static_cast<float>(comm.rank() * 10000 + row * 100 + c);
        }
      }
      comm.all_gather_columns({out.data(), DType::kF32, {rows, total}},
                              TensorView(in.data(), DType::kF32, {rows, mine}),
                              widths);
      // The input may be overwritten as soon as the call returns.
      std::fill(in.begin(), in.end(), -7.0F);
      size_t at = 0;
      for (int64_t row = 0; row < rows; ++row) {
        for (int r = 0; r < size; ++r) {
          for (int64_t c = 0; c < widths[usize(r)]; ++c) {
            ASSERT_EQ(out[at++], static_cast<float>(r * 10000 + row * 100 + c));
          }
        }
      }
    }
  });
}

TEST_P(ThreadGroupTest, BarrierHoldsEverybodyBack) {
  const int size = GetParam();
  ThreadGroup group(size);
  std::atomic<int> arrived{0};
  on_all_ranks(group, [&](Communicator& comm) {
    for (int round = 1; round <= 200; ++round) {
      ++arrived;
      comm.barrier();
      ASSERT_GE(arrived.load(), round * size);
      comm.barrier();
    }
  });
}

TEST_P(ThreadGroupTest, AbortWakesWaitingRanks) {
  const int size = GetParam();
  if (size == 1) {
    GTEST_SKIP() << "a group of one never waits";
  }
  for (int round = 0; round < 20; ++round) {
    ThreadGroup group(size);
    std::atomic<int> stopped{0};
    on_all_ranks(group, [&](Communicator& comm) {
      if (comm.rank() == size - 1) {  // never joins the collective
        std::this_thread::sleep_for(std::chrono::microseconds(200 * (round % 5)));
        group.abort("rank failed");
        group.abort("second reason is ignored");
      }
      try {
        std::vector<float> x(4, 1.0F);
        comm.all_reduce_sum({x.data(), DType::kF32, {4}});
        ADD_FAILURE() << "the collective finished without all ranks";
      } catch (const DeviceError& e) {
        EXPECT_STREQ(e.what(), "collective stopped: rank failed");
        ++stopped;
      }
      EXPECT_THROW(comm.barrier(), DeviceError) << "later collectives end too";
    });
    EXPECT_EQ(stopped, size);
  }
}

// An abort at any moment of a busy group ends every rank. Found a rank that waited for ever because
// the abort came between its look at the flag and its wait.
TEST_P(ThreadGroupTest, AbortAtAnyMomentEndsAllRanks) {
  const int size = GetParam();
  if (size == 1) {
    GTEST_SKIP() << "a group of one never waits";
  }
  for (int round = 0; round < 200; ++round) {
    ThreadGroup group(size);
    std::jthread aborter([&group, round] {
      for (int i = 0; i < round * 5; ++i) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
      group.abort("stop");
    });
    on_all_ranks(group, [](Communicator& comm) {
      try {
        for (;;) {
          comm.barrier();
        }
      } catch (const DeviceError&) {
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadGroupTest, ::testing::Values(1, 2, 3, 8));

TEST(SelfCommunicatorTest, CollectivesOfOne) {
  SelfCommunicator self;
  std::vector<float> in{1, 2, 3, 4};
  std::vector<float> out(4);
  const std::vector<int64_t> widths{2};
  self.all_gather_columns(
      {out.data(), DType::kF32, {2, 2}}, TensorView(in.data(), DType::kF32, {2, 2}), widths);
  EXPECT_EQ(out, in);
  self.all_reduce_sum({in.data(), DType::kF32, {4}});
  self.barrier();
  EXPECT_EQ(in[3], 4.0F);
  EXPECT_EQ(self.size(), 1);
}

}  // namespace
}  // namespace tutti
