// A whole inventory: what the sources say about the same GPU comes together.
#include "inventory/collect.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inventory/fake_machine.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CollectTest : public ::testing::Test {
 protected:
  Inventory collect(const std::string& nvml) {
    machine_.write("/mock.json", nvml);
    setenv("TUTTI_MOCK_NVML", machine_.system.path("/mock.json").c_str(), 1);
    options_.system = machine_.system;
    options_.libraries.nvml = {MOCK_NVML};
    return collect_inventory(options_);
  }

  static Gpu by_cuda(int64_t index, const std::string& uuid) {
    Gpu gpu;
    gpu.index = index;
    gpu.uuid = uuid;
    gpu.name = "NVIDIA H200";
    gpu.compute_capability = "9.0";
    gpu.sms = 132;
    return gpu;
  }

  FakeMachine machine_;
  CollectOptions options_{.version = "1.2.3"};
};

std::string uuid(int gpu) {
  return fmt::format("GPU-{:08x}-0000-4000-8000-000000000000", gpu + 1);
}

TEST_F(CollectTest, ThreeWaysOfCounting) {
  machine_.add_pci_gpu("0000:18:00.0", "1");
  machine_.add_pci_gpu("0000:28:00.0");
  machine_.add_pci_gpu("0000:38:00.0");
  options_.cuda = {by_cuda(0, uuid(1))};
  options_.last_good = 3;
  const Inventory inventory = collect(R"({"gpus": [{}, {}]})");
  EXPECT_EQ(inventory.counts.pci, 3);
  EXPECT_EQ(inventory.counts.nvml, 2);
  EXPECT_EQ(inventory.counts.cuda, 1);
  EXPECT_EQ(inventory.counts.last_good, 3);
  ASSERT_EQ(inventory.gpus.size(), 3U);
  EXPECT_EQ(inventory.gpus[0].index, std::nullopt) << "hidden from CUDA";
  EXPECT_EQ(inventory.gpus[0].numa_node, 0) << "NVML's word first";
  EXPECT_EQ(inventory.gpus[1].index, 0);
  EXPECT_EQ(inventory.gpus[2].nvml_index, std::nullopt) << "only PCI shows it";
  EXPECT_EQ(inventory.gpus[2].pci, "0000:38:00.0");
  EXPECT_EQ(inventory.gpus[2].pcie.gen, 5);
  EXPECT_EQ(inventory.tutti_version, "1.2.3");
  EXPECT_EQ(inventory.taken_at, "1970-01-01T00:00:00Z");
  EXPECT_THAT(inventory.errors, IsEmpty());
}

TEST_F(CollectTest, AGpuThatNvmlCountsButDoesNotReachHasItsAddressFromPci) {
  for (const char* address : {"0000:18:00.0", "0000:28:00.0", "0000:38:00.0"}) {
    machine_.add_pci_gpu(address);
  }
  const Inventory inventory =
      collect(R"({"gpus": [{}, {"fail": {"nvmlDeviceGetHandleByIndex_v2": 15}}, {}]})");
  ASSERT_EQ(inventory.gpus.size(), 3U);
  EXPECT_EQ(inventory.gpus[1].pci, "0000:28:00.0");
  EXPECT_EQ(inventory.gpus[1].index, std::nullopt);
  EXPECT_EQ(inventory.gpus[2].index, 1) << "CUDA does not count it";
}

TEST_F(CollectTest, WithoutCudaTheMaskTells) {
  machine_.system.environment["CUDA_VISIBLE_DEVICES"] = "2,0,9";
  options_.cuda_error = "libtutti_cuda.so was not found";
  const Inventory inventory = collect(R"({"gpus": [{}, {}, {}]})");
  EXPECT_EQ(inventory.counts.cuda, std::nullopt);
  EXPECT_EQ(inventory.gpus[2].index, 0);
  EXPECT_EQ(inventory.gpus[0].index, 1);
  EXPECT_EQ(inventory.gpus[1].index, std::nullopt);
  EXPECT_THAT(errors_of(inventory, "cuda"), HasSubstr("was not found"));
  EXPECT_THAT(errors_of(inventory, "env"), HasSubstr("\"9\" names no GPU"));
  EXPECT_EQ(inventory.env.at("CUDA_VISIBLE_DEVICES"), "2,0,9");
}

TEST_F(CollectTest, CudasWordOnPartsAndMasks) {
  machine_.system.environment["CUDA_VISIBLE_DEVICES"] = "MIG-7,MIG-9";
  options_.cuda = {by_cuda(0, "MIG-7")};
  const Inventory inventory =
      collect(R"({"gpus": [{"mig": [{"uuid": "MIG-6"}, {"uuid": "MIG-7"}]}]})");
  ASSERT_EQ(inventory.gpus.size(), 1U);
  EXPECT_EQ(inventory.gpus[0].index, std::nullopt);
  EXPECT_EQ(inventory.gpus[0].mig_devices[0].index, std::nullopt);
  EXPECT_EQ(inventory.gpus[0].mig_devices[1].index, 0);
  EXPECT_THAT(errors_of(inventory, "env"), HasSubstr("MIG-9"));
}

TEST_F(CollectTest, CudaWithoutNvml) {
  machine_.add_pci_gpu("0000:18:00.0", "1");
  Gpu seen = by_cuda(0, uuid(0));
  seen.pci = "0000:18:00.0";
  seen.memory_total_bytes = 1000;
  options_.cuda = {seen, by_cuda(1, uuid(1))};
  const Inventory inventory = collect(R"({"gpus": [], "fail": {"nvmlInit_v2": 999}})");
  ASSERT_EQ(inventory.gpus.size(), 2U);
  EXPECT_EQ(inventory.gpus[0].uuid, uuid(0)) << "known by its address";
  EXPECT_EQ(inventory.gpus[0].numa_node, 1);
  EXPECT_EQ(inventory.gpus[0].memory_total_bytes, 1000);
  EXPECT_EQ(inventory.gpus[1].index, 1);
  EXPECT_TRUE(inventory.driver.nvml_error.has_value());
}

TEST_F(CollectTest, AMachineWithoutGpus) {
  const Inventory inventory = machine_.collect();
  EXPECT_THAT(inventory.gpus, IsEmpty());
  EXPECT_EQ(inventory.counts.pci, std::nullopt);
  EXPECT_EQ(inventory.libraries.nccl, std::nullopt);
  EXPECT_THAT(errors_of(inventory, "cuda"), HasSubstr("CUDA was not asked"));
  EXPECT_TRUE(parse_inventory(to_json(inventory), "x").ok());
}

TEST_F(CollectTest, WhatWasCollectedReadsBackTheSame) {
  for (int i = 0; i < 8; ++i) {
    machine_.add_pci_gpu(fmt::format("0000:{:02x}:00.0", 0x18 + 0x10 * i));
  }
  const std::string text = to_json(collect(R"({"gpus": [{}, {}, {}, {}, {}, {}, {}, {}]})"));
  const Result<Inventory> back = parse_inventory(text, "x");
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(to_json(*back), text);
}

}  // namespace
}  // namespace tutti::test
