// What a server notices, and how often it says so.
#include "watch/gpu_watch_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GpuReading gpu(int64_t index, double busy) {
  GpuReading reading{.index = index};
  reading.uuid = "GPU-" + std::to_string(index);
  reading.busy = busy;
  reading.ecc_uncorrected = 0;
  return reading;
}

TEST(GpuWatchState, NothingToSayOfSoundGpus) {
  GpuWatchState state;
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(state.take({gpu(0, 0.9), gpu(1, 0.9)}, 1, i), IsEmpty());
  }
  EXPECT_EQ(state.status().gpus.size(), 2U);
  EXPECT_EQ(state.status().time, "1970-01-01T00:01:39Z");
  EXPECT_THAT(state.status().notices, IsEmpty());
}

TEST(GpuWatchState, ASlowdownIsToldWhenItBeginsAndItsSecondsCount) {
  GpuWatchState state;
  GpuReading hot = gpu(1, 0.9);
  hot.slowed_by = {"hw_thermal"};
  EXPECT_THAT(state.take({gpu(0, 0.9), hot}, 1, 0), ElementsAre(HasSubstr("GPU 1 is slowed down")));
  EXPECT_THAT(state.take({gpu(0, 0.9), hot}, 2, 2), IsEmpty());
  EXPECT_EQ(state.status().gpus[1].slowed_seconds.at("hw_thermal"), 3);
  EXPECT_THAT(state.take({gpu(0, 0.9), gpu(1, 0.9)}, 1, 3), IsEmpty());
  EXPECT_EQ(state.status().gpus[1].slowed_seconds.at("hw_thermal"), 3) << "counters stay";
  EXPECT_THAT(state.take({gpu(0, 0.9), hot}, 1, 4), ElementsAre(HasSubstr("hw_thermal"))) << "anew";
}

TEST(GpuWatchState, NewMemoryErrorsAreTold) {
  GpuWatchState state;
  GpuReading old = gpu(0, 0);
  old.ecc_uncorrected = 5;
  EXPECT_THAT(state.take({old}, 1, 0), IsEmpty()) << "from before the server";
  old.ecc_uncorrected = 7;
  EXPECT_THAT(state.take({old}, 1, 1), ElementsAre(HasSubstr("2 new uncorrectable")));
  EXPECT_THAT(state.take({old}, 1, 2), IsEmpty());
}

TEST(GpuWatchState, ALostGpuIsToldOnce) {
  GpuWatchState state;
  GpuReading lost{.index = 3};
  lost.lost = true;
  EXPECT_THAT(state.take({lost}, 1, 0), ElementsAre(HasSubstr("GPU 3 does not answer")));
  EXPECT_THAT(state.take({lost}, 1, 1), IsEmpty());
}

TEST(GpuWatchState, AnIdleRankIsTold) {
  GpuWatchState state;
  state.set_used({"GPU-0", "GPU-1"});
  std::vector<std::string> said;
  for (int i = 0; i < 60; ++i) {
    for (const std::string& line : state.take({gpu(0, 0.95), gpu(1, 0.0), gpu(2, 0.0)}, 1, i)) {
      said.push_back(line);
    }
  }
  EXPECT_THAT(said, ElementsAre(HasSubstr("GPU 1 has stood idle for 30 s")));
  EXPECT_EQ(state.status().gpus[1].idle_seconds, 60);
  EXPECT_EQ(state.status().gpus[2].idle_seconds, 0) << "nobody's";
  EXPECT_TRUE(state.status().gpus[1].used);
  EXPECT_FALSE(state.status().gpus[2].used);
}

TEST(GpuWatchState, AnIdleServerIsNoFault) {
  GpuWatchState state;
  state.set_used({"GPU-0", "GPU-1"});
  for (int i = 0; i < 60; ++i) {
    EXPECT_THAT(state.take({gpu(0, 0.0), gpu(1, 0.0)}, 1, i), IsEmpty());
  }
  EXPECT_EQ(state.status().gpus[1].idle_seconds, 0);
}

TEST(GpuWatchState, XidsAreToldOnceEachAndCounted) {
  GpuWatchState state;
  state.take({gpu(0, 0)}, 1, 0);
  EXPECT_THAT(state.take_xid(0, 79, 1), HasSubstr("GPU 0: the driver reports error Xid 79"));
  EXPECT_EQ(state.take_xid(0, 79, 2), "");
  EXPECT_THAT(state.take_xid(0, 31, 3), HasSubstr("Xid 31"));
  EXPECT_EQ(state.status().gpus[0].xids.at(79), 2);
  state.take({gpu(0, 0)}, 1, 4);
  EXPECT_EQ(state.status().gpus[0].xids.at(79), 2) << "over readings";
  EXPECT_EQ(state.status().notices.size(), 2U);
}

TEST(GpuWatchState, ADeviceFileThatShutIsToldOnce) {
  GpuWatchState state;
  EXPECT_EQ(state.take_node_error("", 0), "");
  EXPECT_THAT(state.take_node_error("/dev/nvidia0: Operation not permitted", 1),
              HasSubstr("would find no GPU"));
  EXPECT_EQ(state.take_node_error("/dev/nvidia0: Operation not permitted", 2), "");
  EXPECT_EQ(state.take_node_error("", 3), "");
  EXPECT_NE(state.take_node_error("/dev/nvidia0: Operation not permitted", 4), "");
}

TEST(GpuWatchState, NoticesDoNotGrowForEver) {
  GpuWatchState state;
  for (int64_t code = 0; code < 1000; ++code) {
    state.take_xid(0, code, code);
  }
  EXPECT_LE(state.status().notices.size(), 100U);
  EXPECT_THAT(state.status().notices.back().text, HasSubstr("999"));
}

}  // namespace
}  // namespace tutti::test
