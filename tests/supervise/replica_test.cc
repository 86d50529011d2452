// The life of an engine by the clock of the test: no process, no waiting.
#include "supervise/replica.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

using namespace std::chrono_literals;
using Kind = EngineReport::Kind;
using Action = Replica::Action;
using State = ReplicaState;

class ReplicaTest : public ::testing::Test {
 protected:
  void start() {
    ASSERT_EQ(replica.next(now), Action::kStart);
    ASSERT_EQ(replica.next(now), Action::kNone);
    replica.started(now);
    ASSERT_EQ(replica.state(), State::kPlanning);
  }

  void make_ready() {
    replica.reported({.kind = Kind::kLoading, .done_bytes = 1, .total_bytes = 2}, now);
    ASSERT_EQ(replica.state(), State::kLoading);
    replica.reported({.kind = Kind::kWarming}, now);
    ASSERT_EQ(replica.state(), State::kWarming);
    replica.reported({.kind = Kind::kReady, .max_context = 7}, now);
    ASSERT_EQ(replica.state(), State::kReady);
  }

  static constexpr ReplicaTimes kTimes{};
  static constexpr RestartRules kRules{};
  Replica::Clock::time_point now{1000h};
  Replica replica{kTimes, kRules, now};
};

TEST_F(ReplicaTest, BecomesReadyAndKeepsWhatItWasTold) {
  start();
  make_ready();
  EXPECT_EQ(replica.max_context(), 7);
  EXPECT_EQ(replica.crashes(), 0);
  EXPECT_TRUE(replica.last_error().ok());
  EXPECT_EQ(replica.next_time(), now + kTimes.alive);
}

TEST_F(ReplicaTest, EveryStateHasATimeOutThatNamesIt) {
  struct Case {
    const char* name;
    std::chrono::seconds time;
    std::vector<EngineReport> reports;
  };

  const Case cases[] = {
      {"planning", kTimes.planning, {}},
      {"loading", kTimes.loading, {{.kind = Kind::kLoading, .done_bytes = 1, .total_bytes = 9}}},
      {"warming", kTimes.warming, {{.kind = Kind::kWarming}}},
      {"a sign of life", kTimes.alive, {{.kind = Kind::kReady}}},
  };
  for (const Case& one : cases) {
    replica = Replica(kTimes, kRules, now);
    start();
    for (const EngineReport& report : one.reports) {
      replica.reported(report, now);
    }
    EXPECT_EQ(replica.next(now + one.time - 1s), Action::kNone) << one.name;
    EXPECT_EQ(replica.next(now + one.time), Action::kKill) << one.name;
    EXPECT_TRUE(replica.killed());
    replica.ended({.signal = 9}, now + one.time);
    EXPECT_EQ(replica.state(), State::kPending) << one.name;
    EXPECT_NE(replica.last_error().message().find(one.name), std::string::npos)
        << replica.last_error().message();
  }
}

TEST_F(ReplicaTest, LoadingMayTakeAnyTimeAsLongAsItGoesOn) {
  start();
  for (int64_t done = 0; done < 100; ++done) {
    replica.reported({.kind = Kind::kLoading, .done_bytes = done, .total_bytes = 1000}, now);
    now += kTimes.loading - 1s;
    ASSERT_EQ(replica.next(now), Action::kNone);
  }
  // The same figure again is no progress.
  replica.reported({.kind = Kind::kLoading, .done_bytes = 99, .total_bytes = 1000}, now);
  EXPECT_EQ(replica.next(now + 1s), Action::kKill);
}

TEST_F(ReplicaTest, SignsOfLifeKeepItAlive) {
  start();
  make_ready();
  for (int i = 0; i < 10; ++i) {
    now += kTimes.alive - 1s;
    replica.reported({.kind = Kind::kAlive}, now);
    ASSERT_EQ(replica.next(now), Action::kNone);
  }
}

TEST_F(ReplicaTest, CrashesAreFollowedByLongerAndLongerPauses) {
  std::chrono::milliseconds last = 0ms;
  for (int i = 1; i < kRules.crashes; ++i) {
    start();
    replica.ended({.signal = 11}, now);
    ASSERT_EQ(replica.state(), State::kPending);
    const auto pause =
        std::chrono::duration_cast<std::chrono::milliseconds>(replica.next_time() - now);
    EXPECT_EQ(pause, i == 1 ? kRules.first_pause : 2 * last);
    EXPECT_EQ(replica.next(replica.next_time() - 1ms), Action::kNone);
    now = replica.next_time();
    last = pause;
  }
  start();
  replica.ended({.signal = 11}, now);
  EXPECT_EQ(replica.state(), State::kFailed);
  EXPECT_EQ(replica.next(now + 24h), Action::kNone);
  EXPECT_EQ(replica.next_time(), Replica::Clock::time_point::max());
  EXPECT_NE(replica.last_error().message().find("SIGSEGV"), std::string::npos);
  EXPECT_NE(replica.last_error().message().find("5 times"), std::string::npos);
  EXPECT_EQ(replica.crashes(), kRules.crashes);
}

TEST_F(ReplicaTest, RareCrashesNeverAddUp) {
  for (int i = 0; i < 50; ++i) {
    start();
    make_ready();
    now += kRules.window;
    replica.ended({.signal = 6}, now);
    ASSERT_EQ(replica.state(), State::kPending);
    ASSERT_LE(replica.next_time() - now, 2 * kRules.first_pause);
    now = replica.next_time();
  }
  EXPECT_EQ(replica.crashes(), 50);
}

TEST_F(ReplicaTest, AProcessThatCouldNotBeStartedIsACrash) {
  ASSERT_EQ(replica.next(now), Action::kStart);
  replica.not_started(Status(StatusCode::kUnavailable, "no memory for a process"), now);
  EXPECT_EQ(replica.state(), State::kPending);
  EXPECT_EQ(replica.last_error().message(), "no memory for a process");
}

TEST_F(ReplicaTest, ARefusalIsFinal) {
  start();
  replica.reported(report_of(Status(StatusCode::kOutOfMemory, "9 GB short")), now);
  EXPECT_EQ(replica.state(), State::kDraining);
  replica.ended({.code = 69}, now);
  EXPECT_EQ(replica.state(), State::kFailed);
  EXPECT_EQ(replica.last_error().code(), StatusCode::kOutOfMemory);
  EXPECT_EQ(replica.last_error().message(), "9 GB short");
}

TEST_F(ReplicaTest, ADeviceFailureIsTriedAgain) {
  start();
  make_ready();
  replica.reported(report_of(Status(StatusCode::kDevice, "cuda:1 fell off the bus")), now);
  EXPECT_EQ(replica.state(), State::kDraining);
  replica.ended({.code = 74}, now);
  EXPECT_EQ(replica.state(), State::kPending);
  EXPECT_EQ(replica.last_error().message(), "cuda:1 fell off the bus");
}

TEST_F(ReplicaTest, StopsInOrder) {
  start();
  make_ready();
  replica.stop(now);
  EXPECT_EQ(replica.state(), State::kDraining);
  EXPECT_EQ(replica.next(now), Action::kTerminate);
  EXPECT_EQ(replica.next(now), Action::kNone);
  EXPECT_EQ(replica.next(now + kTimes.draining), Action::kKill);
  EXPECT_EQ(replica.next(now + kTimes.draining), Action::kNone);
  EXPECT_EQ(replica.next(now + kTimes.draining + kTimes.killing), Action::kKill);
  replica.ended({.signal = 9}, now);
  EXPECT_EQ(replica.state(), State::kGone);
  EXPECT_EQ(replica.crashes(), 0);
}

TEST_F(ReplicaTest, StopsBetweenTwoProcesses) {
  start();
  replica.ended({.code = 1}, now);
  replica.stop(now);
  EXPECT_EQ(replica.state(), State::kGone);
  EXPECT_EQ(replica.next(now + 24h), Action::kNone);
}

TEST_F(ReplicaTest, ReportsOfOneThatIsStoppingChangeNothing) {
  start();
  replica.stop(now);
  replica.reported({.kind = Kind::kReady}, now);
  EXPECT_EQ(replica.state(), State::kDraining);
}

}  // namespace
}  // namespace tutti
