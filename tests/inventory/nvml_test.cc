// The real way to NVML, dlopen and all, with a mock library at its end (mock_nvml.md).
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inventory/fake_machine.h"
#include "inventory/nvml_query.h"
#include "inventory/nvml_source.h"

namespace tutti::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kH200Bytes = 150754820096;

Inventory ask(const std::string& machine, const char* library = MOCK_NVML) {
  const testing::TempDir folder;
  folder.write("machine.json", machine);
  setenv("TUTTI_MOCK_NVML", folder.file("machine.json").c_str(), 1);
  Inventory inventory;
  add_nvml_facts({library}, inventory);
  return inventory;
}

std::string eight(const std::string& more = "") {
  return R"({"gpus": [{}, {}, {}, {}, {}, {}, {}, {}])" + more + "}";
}

TEST(Nvml, EightHealthyGpus) {
  const Inventory inventory = ask(eight());
  EXPECT_THAT(inventory.errors, IsEmpty());
  EXPECT_EQ(inventory.counts.nvml, 8);
  EXPECT_EQ(inventory.driver.version, "580.159.03");
  EXPECT_EQ(inventory.driver.cuda, "13.0");
  EXPECT_EQ(inventory.driver.nvml_error, std::nullopt);
  ASSERT_EQ(inventory.gpus.size(), 8U);
  const Gpu& gpu = inventory.gpus[5];
  EXPECT_EQ(gpu.nvml_index, 5);
  EXPECT_EQ(gpu.uuid, "GPU-00000006-0000-4000-8000-000000000000");
  EXPECT_EQ(gpu.pci, "0000:68:00.0");
  EXPECT_EQ(gpu.name, "NVIDIA H200");
  EXPECT_EQ(gpu.compute_capability, "9.0");
  EXPECT_EQ(gpu.sms, 132);
  EXPECT_EQ(gpu.memory_total_bytes, kH200Bytes);
  EXPECT_EQ(gpu.memory_used_bytes, 104857600);
  ASSERT_TRUE(gpu.processes.has_value());
  EXPECT_THAT(*gpu.processes, IsEmpty());
  EXPECT_EQ(gpu.mig, false);
  EXPECT_EQ(gpu.compute_mode, "default");
  EXPECT_EQ(gpu.ecc.uncorrected, 0);
  EXPECT_EQ(gpu.remapped.pending, false);
  EXPECT_EQ(gpu.remapped.failed, false);
  EXPECT_EQ(gpu.recovery_action, "none");
  EXPECT_THAT(gpu.clock_reasons.value(), ElementsAre("idle"));
  EXPECT_EQ(gpu.power_watts, 75.5);
  EXPECT_EQ(gpu.power_limit_watts, 700);
  EXPECT_EQ(gpu.pcie.gen, 5);
  EXPECT_EQ(gpu.pcie.width_max, 16);
  EXPECT_EQ(gpu.bar1_bytes, int64_t{256} << 30);
  EXPECT_EQ(gpu.numa_node, 1);
  EXPECT_EQ(gpu.fabric.state, "completed");
  EXPECT_EQ(gpu.fabric.health, "healthy");
  EXPECT_EQ(gpu.fabric.cluster, std::string(32, '0'));
  EXPECT_EQ(gpu.fabric.clique, 0);
  EXPECT_EQ(gpu.mig_pending, false);
  EXPECT_EQ(gpu.persistence, true);
  EXPECT_EQ(gpu.temperature_celsius, 34);
  EXPECT_EQ(gpu.ecc.retired_pending, false);
  EXPECT_EQ(gpu.pcie.replays, 0);
  EXPECT_EQ(gpu.nvlink.active, 18);
  EXPECT_EQ(gpu.nvlink.inactive, 0);
  EXPECT_EQ(gpu.nvlink.errors, 0);
  EXPECT_EQ(inventory.driver.confidential, false);
  ASSERT_EQ(inventory.links.size(), 28U);
  for (const GpuLink& link : inventory.links) {
    EXPECT_LT(link.a, link.b);
    EXPECT_EQ(link.kind, "NV18");
    EXPECT_EQ(link.p2p.read, "ok");
    EXPECT_EQ(link.p2p.atomics, "ok");
    EXPECT_EQ(link.data_test, "not_run");
    EXPECT_EQ(link.bytes_per_second, std::nullopt);
  }
}

TEST(Nvml, FaultsThatWaitAreTold) {
  const Inventory inventory =
      ask(R"({"confidential": 1, "gpus": [{"links": 17, "link_errors": 5, "persistence": 0,
          "retired_pending": 1, "pcie_replays": 12, "mig_next": 1, "cluster": 171, "clique": 2}]})");
  const Gpu& gpu = inventory.gpus[0];
  EXPECT_EQ(gpu.nvlink.active, 17);
  EXPECT_EQ(gpu.nvlink.inactive, 1);
  EXPECT_EQ(gpu.nvlink.errors, 5);
  EXPECT_EQ(gpu.persistence, false);
  EXPECT_EQ(gpu.ecc.retired_pending, true);
  EXPECT_EQ(gpu.pcie.replays, 12);
  EXPECT_EQ(gpu.mig_pending, true);
  EXPECT_EQ(gpu.fabric.cluster, "ab" + std::string(30, '0'));
  EXPECT_EQ(gpu.fabric.clique, 2);
  EXPECT_EQ(inventory.driver.confidential, true);
}

TEST(Nvml, NoLibrary) {
  const Inventory inventory = ask(eight(), "/nowhere/libnvidia-ml.so.1");
  EXPECT_THAT(inventory.driver.nvml_error.value_or(""), HasSubstr("/nowhere/libnvidia-ml.so.1"));
  EXPECT_EQ(inventory.counts.nvml, std::nullopt);
  EXPECT_EQ(inventory.errors.size(), 1U);
}

TEST(Nvml, LibraryAndModuleOfDifferentVersions) {
  const Inventory inventory = ask(R"({"gpus": [], "fail": {"nvmlInit_v2": 18}})");
  EXPECT_THAT(inventory.driver.nvml_error.value_or(""), HasSubstr("different versions"));
  EXPECT_THAT(inventory.gpus, IsEmpty());
}

TEST(Nvml, AGpuThatFellOffTheBus) {
  const Inventory inventory = ask(R"({"gpus": [{}, {"fail": {"nvmlDeviceGetHandleByIndex_v2": 15}},
      {}]})");
  EXPECT_EQ(inventory.counts.nvml, 3);
  ASSERT_EQ(inventory.gpus.size(), 3U);
  EXPECT_EQ(inventory.gpus[1].nvml_index, 1);
  EXPECT_EQ(inventory.gpus[1].uuid, std::nullopt);
  EXPECT_EQ(inventory.gpus[2].name, "NVIDIA H200");
  ASSERT_EQ(inventory.links.size(), 1U) << "between the two that are left";
  EXPECT_EQ(inventory.links[0].b, 2);
  EXPECT_EQ(errors_of(inventory, "nvml"),
            "nvmlDeviceGetHandleByIndex_v2: the GPU has fallen off the bus (GPU 1)\n");
}

TEST(Nvml, AGpuThatIsLostWhileItIsAskedIsAskedNoMore) {
  const Inventory inventory = ask(R"({"gpus": [{"fail": {"nvmlDeviceGetMemoryInfo_v2": 15}}]})");
  EXPECT_EQ(inventory.gpus[0].name, "NVIDIA H200");
  EXPECT_EQ(inventory.gpus[0].memory_total_bytes, std::nullopt);
  EXPECT_EQ(inventory.gpus[0].processes, std::nullopt);
  EXPECT_EQ(inventory.gpus[0].power_watts, std::nullopt);
  EXPECT_EQ(errors_of(inventory, "nvml"),
            "nvmlDeviceGetMemoryInfo_v2: the GPU has fallen off the bus (GPU 0)\n");
}

TEST(Nvml, WithoutPermission) {
  const Inventory inventory = ask(eight(R"(, "fail": {
      "nvmlDeviceGetPowerUsage": 4, "nvmlDeviceGetComputeRunningProcesses_v3": 4,
      "nvmlDeviceGetP2PStatus": 4, "nvmlDeviceGetMemoryInfo_v2": 4})"));
  const Gpu& gpu = inventory.gpus[0];
  EXPECT_EQ(gpu.power_watts, std::nullopt);
  EXPECT_EQ(gpu.processes, std::nullopt) << "not known is not none";
  EXPECT_EQ(gpu.memory_total_bytes, kH200Bytes) << "by the older function";
  EXPECT_EQ(gpu.power_limit_watts, 700);
  EXPECT_EQ(inventory.links[0].p2p.read, std::nullopt);
  EXPECT_EQ(inventory.links[0].kind, "SYS") << "NVLinks to switches are no proof of a way";
  EXPECT_EQ(errors_of(inventory, "nvml"),
            "nvmlDeviceGetComputeRunningProcesses_v3: no permission (GPUs 0-7)\n"
            "nvmlDeviceGetP2PStatus: no permission (GPUs 0-7)\n"
            "nvmlDeviceGetPowerUsage: no permission (GPUs 0-7)\n");
}

TEST(Nvml, AnOldDriver) {
  const Inventory inventory =
      ask(R"({"driver": "440.33.01", "gpus": [{"name": "Tesla V100", "capability": 70, "processes":
          [{"pid": 9, "name": "python3", "bytes": 4096}]}, {}]})",
          MOCK_NVML_OF_OLD_DRIVER);
  const Gpu& gpu = inventory.gpus[0];
  EXPECT_EQ(inventory.driver.cuda, "10.2");
  EXPECT_EQ(gpu.memory_total_bytes, kH200Bytes);
  EXPECT_EQ(gpu.memory_used_bytes, 104857600);
  ASSERT_EQ(gpu.processes.value().size(), 1U);
  EXPECT_EQ((*gpu.processes)[0].bytes, 4096);
  EXPECT_THAT(gpu.clock_reasons.value(), ElementsAre("idle"));
  EXPECT_EQ(gpu.sms, std::nullopt);
  EXPECT_EQ(gpu.remapped.pending, std::nullopt);
  EXPECT_EQ(gpu.fabric.state, std::nullopt);
  EXPECT_EQ(gpu.recovery_action, std::nullopt);
  EXPECT_EQ(inventory.links[0].kind, "NV18");
  const std::string errors = errors_of(inventory, "nvml");
  for (const char* function : {"nvmlDeviceGetNumGpuCores",
                               "nvmlDeviceGetRemappedRows",
                               "nvmlDeviceGetFieldValues",
                               "nvmlDeviceGetGpuFabricInfoV"}) {
    EXPECT_THAT(
        errors,
        HasSubstr(std::string(function) + ": this driver does not have the function (GPUs 0-1)"));
  }
  EXPECT_THAT(errors, Not(HasSubstr("MemoryInfo")));
  EXPECT_THAT(errors, Not(HasSubstr("Clocks")));
}

TEST(Nvml, PartsOfAGpu) {
  const Inventory inventory = ask(R"({"gpus": [{"mig": [
      {"uuid": "MIG-1", "name": "NVIDIA H200 MIG 3g.71gb", "gi": 1, "ci": 0, "total": 76000000000,
       "free": 75000000000},
      {"uuid": "MIG-2", "gi": 2}]}, {"fail": {"nvmlDeviceGetMigMode": 3}}]})");
  EXPECT_THAT(inventory.errors, IsEmpty());
  EXPECT_EQ(inventory.gpus[0].mig, true);
  EXPECT_EQ(inventory.gpus[1].mig, false) << "a GPU that cannot be divided";
  ASSERT_EQ(inventory.gpus[0].mig_devices.size(), 2U);
  const MigDevice& part = inventory.gpus[0].mig_devices[0];
  EXPECT_EQ(part.uuid, "MIG-1");
  EXPECT_EQ(part.name, "NVIDIA H200 MIG 3g.71gb");
  EXPECT_EQ(part.gpu_instance, 1);
  EXPECT_EQ(part.memory_total_bytes, 76000000000);
  EXPECT_EQ(part.memory_used_bytes, 1000000000);
  EXPECT_EQ(inventory.gpus[0].mig_devices[1].gpu_instance, 2);
}

TEST(Nvml, ProcessesAreNamedByTheirProgramAlone) {
  std::string many;
  for (int i = 0; i < 100; ++i) {
    many += fmt::format(R"({}{{"pid": {}, "bytes": 1}})", i == 0 ? "" : ",", 100 + i);
  }
  const Inventory inventory = ask(R"({"gpus": [{"processes": [
      {"pid": 1, "name": "/home/ada/venv/bin/python3 --token x", "bytes": 5000000000},
      {"pid": 2, "bytes": null}]}, {"processes": [)" +
                                  many + "]}]}");
  const std::vector<GpuProcess>& processes = inventory.gpus[0].processes.value();
  ASSERT_EQ(processes.size(), 2U);
  EXPECT_EQ(processes[0].name, "python3");
  EXPECT_EQ(processes[0].bytes, 5000000000);
  EXPECT_EQ(processes[1].name, std::nullopt) << "of another container";
  EXPECT_EQ(processes[1].bytes, std::nullopt);
  EXPECT_EQ(inventory.gpus[1].processes.value().size(), 100U);
  EXPECT_EQ(errors_of(inventory, "nvml"), "nvmlSystemGetProcessName: not found (GPUs 0-1)\n");
}

TEST(Nvml, SickGpus) {
  const Inventory inventory = ask(R"({"gpus": [
      {"ecc": 3, "remap_pending": 1, "remap_failed": 1, "recovery": 2, "clocks": 76,
       "compute_mode": 3, "pcie_gen": 1, "pcie_width": 4, "pcie_gen_max": 4294967295, "power_limit": 300000},
      {"fabric": 2}, {"fabric_status": 999}, {"fabric_health": 425}, {"fabric_health": 0},
      {"recovery": 77, "clocks": 1099511627776}]})");
  const Gpu& gpu = inventory.gpus[0];
  EXPECT_EQ(gpu.ecc.uncorrected, 3);
  EXPECT_EQ(gpu.remapped.pending, true);
  EXPECT_EQ(gpu.remapped.failed, true);
  EXPECT_EQ(gpu.recovery_action, "node_reboot");
  EXPECT_THAT(gpu.clock_reasons.value(), ElementsAre("sw_power_cap", "hw_slowdown", "hw_thermal"));
  EXPECT_EQ(gpu.compute_mode, "exclusive_process");
  EXPECT_EQ(gpu.pcie.gen, 1);
  EXPECT_EQ(gpu.pcie.gen_max, std::nullopt) << "all ones";
  EXPECT_EQ(gpu.pcie.width, 4);
  EXPECT_EQ(gpu.power_limit_watts, 300);
  EXPECT_EQ(gpu.power_limit_default_watts, 700);
  EXPECT_EQ(inventory.gpus[1].fabric.state, "in_progress");
  EXPECT_EQ(inventory.gpus[1].fabric.health, std::nullopt);
  EXPECT_EQ(inventory.gpus[2].fabric.health, "failed: unknown error of the driver");
  EXPECT_EQ(inventory.gpus[3].fabric.health, "degraded_bandwidth");
  EXPECT_EQ(inventory.gpus[4].fabric.health, std::nullopt);
  EXPECT_EQ(inventory.gpus[5].recovery_action, "unknown_77");
  EXPECT_THAT(inventory.gpus[5].clock_reasons.value(), ElementsAre("unknown_40"));
}

TEST(Nvml, LinksBetweenPairs) {
  const Inventory bridge = ask(R"({"gpus": [{"links": 4, "peer": 40}, {"links": 4, "peer": 24}]})");
  EXPECT_EQ(bridge.links[0].kind, "NV4") << "straight to each other";
  const Inventory none = ask(R"({"all": {"links": 0, "ancestor": 30, "p2p": 1},
      "gpus": [{}, {}]})");
  EXPECT_EQ(none.links[0].kind, "PHB");
  EXPECT_EQ(none.links[0].p2p.write, "chipset_not_supported");
  EXPECT_THAT(none.errors, IsEmpty()) << "GPUs without NVLink are sound";
  EXPECT_THAT(ask(R"({"gpus": [{}]})").links, IsEmpty());
}

TEST(Nvml, NumbersInRanges) {
  EXPECT_EQ(ranges({0, 1, 2, 3, 6}), "0-3,6");
  EXPECT_EQ(ranges({5}), "5");
  EXPECT_EQ(ranges({}), "");
}

}  // namespace
}  // namespace tutti::test
