// Readings through a mock of NVML (tests/inventory/mock_nvml.md), and a whole watch over it.
#include "watch/gpu_sampler.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/loader/checkpoint_files.h"
#include "watch/gpu_watch.h"

namespace tutti::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class MockMachine {
 public:
  explicit MockMachine(const std::string& json) {
    folder_.write("machine.json", json);
    setenv("TUTTI_MOCK_NVML", folder_.file("machine.json").c_str(), 1);
  }

 private:
  testing::TempDir folder_;
};

TEST(GpuSampler, ReadsWhatIsThere) {
  const MockMachine machine(
      R"({"gpus": [{"busy": 83, "memory_busy": 40, "clock": 1755, "temperature": 61,
           "power": 512000, "clocks": 72, "ecc": 2, "pcie_tx": 1500, "pcie_rx": 2500000,
           "processes": [{"pid": 7, "name": "/usr/bin/python3 -m x", "bytes": 5000000000}]},
          {"fail": {"nvmlDeviceGetUUID": 15}}, {"fail": {"nvmlDeviceGetHandleByIndex_v2": 15}}]})");
  Result<std::unique_ptr<GpuSampler>> sampler = GpuSampler::open({MOCK_NVML});
  ASSERT_TRUE(sampler.ok()) << sampler.status().message();
  const std::vector<GpuReading> gpus = (*sampler)->read();
  ASSERT_EQ(gpus.size(), 3U);
  const GpuReading& gpu = gpus[0];
  EXPECT_EQ(gpu.name, "NVIDIA H200");
  EXPECT_EQ(gpu.pci, "0000:18:00.0");
  EXPECT_EQ(gpu.busy, 0.83);
  EXPECT_EQ(gpu.memory_busy, 0.4);
  EXPECT_EQ(gpu.clock_mhz, 1755);
  EXPECT_EQ(gpu.clock_max_mhz, 1980);
  EXPECT_EQ(gpu.temperature_celsius, 61);
  EXPECT_EQ(gpu.power_watts, 512);
  EXPECT_EQ(gpu.power_limit_watts, 700);
  EXPECT_EQ(gpu.pcie_sent_bytes_per_second, 1.5e6);
  EXPECT_EQ(gpu.pcie_received_bytes_per_second, 2.5e9);
  EXPECT_EQ(gpu.ecc_uncorrected, 2);
  EXPECT_THAT(gpu.slowed_by, ElementsAre("hw_slowdown", "hw_thermal"));
  ASSERT_EQ(gpu.processes.size(), 1U);
  EXPECT_EQ(gpu.processes[0].name, "python3");
  EXPECT_FALSE(gpu.lost);
  EXPECT_TRUE(gpus[1].lost) << "it fell off while it was asked";
  EXPECT_EQ(gpus[1].busy, std::nullopt);
  EXPECT_TRUE(gpus[2].lost);
}

TEST(GpuSampler, WithoutALibrary) {
  const Result<std::unique_ptr<GpuSampler>> sampler =
      GpuSampler::open({"/nowhere/libnvidia-ml.so"});
  ASSERT_FALSE(sampler.ok());
  EXPECT_EQ(sampler.status().code(), StatusCode::kUnavailable);
}

TEST(GpuWatch, TellsErrorsOfGpusOnceWithTheirMeaning) {
  const MockMachine machine(
      R"({"gpus": [{}, {"clocks": 64}], "events": [{"gpu": 1, "xid": 79}, {"gpu": 1, "xid": 79}]})");
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> lines;
  GpuWatch watch({.libraries = {MOCK_NVML},
                  .node = "",
                  .interval = std::chrono::milliseconds(5),
                  .say =
                      [&](const std::string& line) {
                        const std::lock_guard lock(mutex);
                        lines.push_back(line);
                        changed.notify_all();
                      },
                  .explain = [](int64_t xid) { return xid == 79 ? "off the bus" : ""; }});
  const auto both = [&] {
    const GpuStatus status = watch.status();
    return status.gpus.size() == 2 && status.gpus[1].xids.contains(79) &&
           status.gpus[1].xids.at(79) == 2;
  };
  std::unique_lock lock(mutex);
  for (int i = 0; i < 1000; ++i) {
    changed.wait_for(lock, std::chrono::milliseconds(10));
    lock.unlock();
    const bool done = both();
    lock.lock();
    if (done) {
      break;
    }
  }
  lock.unlock();
  ASSERT_TRUE(both());
  lock.lock();
  EXPECT_THAT(lines, Contains(HasSubstr("GPU 1: the driver reports error Xid 79: off the bus")));
  EXPECT_THAT(lines, Contains(HasSubstr("GPU 1 (0000:28:00.0) is slowed down: hw_thermal")));
  EXPECT_EQ(lines.size(), 2U) << "each once";
}

TEST(GpuWatch, SaysWhyItSeesNothing) {
  GpuWatch watch({.libraries = {"/nowhere/libnvidia-ml.so"}});
  for (int i = 0; i < 1000 && watch.status().error.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(watch.status().error, HasSubstr("/nowhere/libnvidia-ml.so"));
  EXPECT_THAT(watch.status().gpus, IsEmpty());
}

}  // namespace
}  // namespace tutti::test
