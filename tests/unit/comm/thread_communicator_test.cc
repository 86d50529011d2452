#include "comm/thread_communicator.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
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

TEST_P(ThreadGroupTest, ExchangeOfRows) {
  const int size = GetParam();
  ThreadGroup group(size);
  on_all_ranks(group, [&](Communicator& comm) {
    for (const int64_t rows : {1, 5, 16}) {
      std::vector<int64_t> widths;
      int64_t total = 0;
      for (int r = 0; r < size; ++r) {
        widths.push_back((r * 3 + rows) % 4);
        total += widths.back();
      }
      const int64_t mine = widths[usize(comm.rank())];
      std::vector<float> in;
      for (int64_t i = 0; i < rows * mine; ++i) {
        in.push_back(value(comm.rank(), i));
      }
      in.push_back(0);  // so that there is an address where there is no column
      const RowShare share = row_share(rows, comm.rank(), size);
      std::vector<float> out(usize(share.count * total + 1), -1.0F);
      comm.exchange_rows({.out = {out.data(), DType::kF32, {share.count, total}},
                          .in = {in.data(), DType::kF32, {rows, mine}},
                          .widths = widths});
      size_t at = 0;
      for (int64_t row = share.begin; row < share.begin + share.count; ++row) {
        for (int r = 0; r < size; ++r) {
          for (int64_t c = 0; c < widths[usize(r)]; ++c) {
            ASSERT_EQ(out[at++], value(r, row * widths[usize(r)] + c))
                << "rank " << comm.rank() << " row " << row << " part " << r << " column " << c;
          }
        }
      }
      EXPECT_EQ(out[at], -1.0F);
    }
  });
}

TEST(RowShareTest, EveryRowIsOneRanks) {
  for (const int64_t rows : {0, 1, 7, 64}) {
    for (const int ranks : {1, 2, 3, 8}) {
      int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const RowShare share = row_share(rows, r, ranks);
        EXPECT_EQ(share.begin, next);
        EXPECT_LE(share.count, (rows + ranks - 1) / ranks);
        next += share.count;
      }
      EXPECT_EQ(next, rows);
    }
  }
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

// Ranks that come late again and again, also with more ranks than cores: nobody is lost asleep.
TEST_P(ThreadGroupTest, LateRanksAreWaitedFor) {
  const int size = GetParam();
  ThreadGroup group(size, std::chrono::seconds(60));
  on_all_ranks(group, [&](Communicator& comm) {
    for (int round = 0; round < 100; ++round) {
      if (round % size == comm.rank()) {
        std::this_thread::sleep_for(std::chrono::microseconds(50 * (round % 7)));
      }
      float x = 1;
      comm.all_reduce_sum({&x, DType::kF32, {1}});
      ASSERT_EQ(x, static_cast<float>(size));
    }
  });
  EXPECT_TRUE(group.health().ok());
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadGroupTest, ::testing::Values(1, 2, 3, 8));

using Call = std::function<void(Communicator&)>;

void reduce(Communicator& comm, int64_t n) {
  std::vector<float> x(usize(n), 1.0F);
  comm.all_reduce_sum({x.data(), DType::kF32, {n}});
}

void broadcast(Communicator& comm, int root) {
  std::vector<float> x(4, 1.0F);
  comm.broadcast({.x = {x.data(), DType::kF32, {4}}, .root = root});
}

struct Failures {
  std::vector<std::string> said;  // by rank; empty: its calls all returned
  Status health;
  std::chrono::steady_clock::duration took;
};

Failures run_calls(std::chrono::milliseconds timeout, const std::vector<Call>& calls) {
  Failures out;
  out.said.resize(calls.size());
  ThreadGroup group(static_cast<int>(calls.size()), timeout);
  const auto begin = std::chrono::steady_clock::now();
  on_all_ranks(group, [&](Communicator& comm) {
    try {
      calls[usize(comm.rank())](comm);
    } catch (const DeviceError& e) {
      out.said[usize(comm.rank())] = e.what();
    }
  });
  out.took = std::chrono::steady_clock::now() - begin;
  out.health = group.health();
  return out;
}

constexpr auto kShort = std::chrono::milliseconds(200);
constexpr auto kLong = std::chrono::seconds(60);

TEST(ThreadGroupTimeout, NamesOperationRankAndPeer) {
  const auto passed = [](Communicator& comm) {
    reduce(comm, 7);
    comm.barrier();
    reduce(comm, 3);
  };
  const Failures out = run_calls(kShort,
                                 {[&](Communicator& comm) {
                                    passed(comm);
                                    reduce(comm, 3584);
                                  },
                                  passed});
  EXPECT_EQ(out.said[0],
            "collective stopped: all_reduce_sum (14,336 bytes): rank 0 waited 0.2 s for rank 1, "
            "which did not arrive (it last passed all_reduce_sum 3)");
  EXPECT_EQ(out.said[1], "");
  EXPECT_EQ(out.health.code(), StatusCode::kDevice);
  EXPECT_EQ("collective stopped: " + out.health.message(), out.said[0]);
  EXPECT_GE(out.took, kShort);
  EXPECT_LT(out.took, std::chrono::seconds(10));
}

TEST(ThreadGroupTimeout, NamesAllThatAreMissing) {
  const auto nothing = [](Communicator&) {};
  const Failures out =
      run_calls(kShort, {nothing, [](Communicator& comm) { comm.barrier(); }, nothing});
  EXPECT_EQ(out.said[1],
            "collective stopped: barrier: rank 1 waited 0.2 s for ranks 0, 2, which did not arrive "
            "(rank 0 has called no collective yet)");
}

TEST(ThreadGroupTimeout, EndsEverybodyThatWaits) {
  const auto barrier = [](Communicator& comm) { comm.barrier(); };
  const Failures out = run_calls(kShort, {barrier, barrier, [](Communicator&) {}, barrier});
  for (const int rank : {0, 1, 3}) {
    EXPECT_THAT(out.said[usize(rank)], ::testing::HasSubstr("for rank 2, which did not arrive"));
    EXPECT_EQ(out.said[usize(rank)], out.said[0]) << "one cause";
  }
}

TEST(ThreadGroupTimeout, DifferentCallsInOnePlaceAreFoundAtOnce) {
  const struct {
    Call first;
    Call second;
    const char* want;
  } cases[] = {
      {[](Communicator& c) { reduce(c, 4); },
       [](Communicator& c) { broadcast(c, 0); },
       "the ranks disagree on collective 2: rank 0 calls all_reduce_sum (16 bytes), rank 1 calls "
       "broadcast (16 bytes of rank 0)"},
      {[](Communicator& c) { reduce(c, 4); },
       [](Communicator& c) { reduce(c, 5); },
       "the ranks disagree on collective 2: rank 0 calls all_reduce_sum (16 bytes), rank 1 calls "
       "all_reduce_sum (20 bytes)"},
      {[](Communicator& c) { broadcast(c, 1); },
       [](Communicator& c) { broadcast(c, 0); },
       "the ranks disagree on collective 2: rank 0 calls broadcast (16 bytes of rank 1), rank 1 "
       "calls broadcast (16 bytes of rank 0)"},
      {[](Communicator& c) { c.barrier(); },
       [](Communicator& c) { reduce(c, 1); },
       "the ranks disagree on collective 2: rank 0 calls barrier, rank 1 calls all_reduce_sum (4 "
       "bytes)"},
  };

  for (const auto& c : cases) {
    const auto after_one = [](const Call& call) {
      return [call](Communicator& comm) {
        comm.barrier();
        call(comm);
      };
    };
    const Failures out =
        run_calls(kLong, {after_one(c.first), after_one(c.second), after_one(c.second)});
    for (const std::string& said : out.said) {
      EXPECT_EQ(said, std::string("collective stopped: ") + c.want);
    }
    EXPECT_LT(out.took, kLong / 2);
  }
}

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
