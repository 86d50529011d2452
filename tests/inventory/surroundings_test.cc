// What stands around the driver and between GPUs, read from small directories that stand for
// machines.
#include <cerrno>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inventory/cgroup.h"
#include "inventory/driver_facts.h"
#include "inventory/fake_machine.h"
#include "inventory/host_facts.h"
#include "inventory/peer_path.h"

namespace tutti::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

DriverFacts driver_of(const FakeMachine& machine) {
  Inventory inventory;
  add_driver_surroundings(machine.system, inventory);
  return inventory.driver;
}

TEST(Surroundings, NothingOfNvidia) {
  const FakeMachine machine;
  const DriverFacts driver = driver_of(machine);
  EXPECT_THAT(driver.nodes, IsEmpty());
  EXPECT_EQ(driver.char_links, false);
  EXPECT_EQ(driver.nvswitches, 0);
  EXPECT_EQ(driver.fabric_manager, false);
  EXPECT_EQ(driver.peermem, std::nullopt);
  EXPECT_EQ(driver.compat, std::nullopt);
  EXPECT_EQ(driver.xids, std::nullopt) << "the log is not readable here";
}

TEST(Surroundings, OfAnNvswitchMachine) {
  FakeMachine machine;
  for (const char* name : {"nvidia0",
                           "nvidia11",
                           "nvidiactl",
                           "nvidia-uvm",
                           "nvidia-modeset",
                           "nvidia-nvswitch0",
                           "nvidia-nvswitch3",
                           "nvidia-nvswitchctl"}) {
    machine.write(std::string("/dev/") + name, "");
  }
  machine.write("/dev/char/195:0", "");
  machine.write("/dev/nvidia-caps-imex-channels/channel0", "");
  machine.write("/proc/77/comm", "nv-fabricmanage\n");
  machine.write("/proc/modules", "nvidia_uvm 1 0 - Live\nnvidia_peermem 16384 0 - Live 0x0\n");
  machine.write("/usr/local/cuda/compat/libcuda.so.1", "");
  machine.system.environment["LD_LIBRARY_PATH"] = "/usr/lib:/usr/local/cuda/compat";
  machine.system.open_error = [](const std::string& path) {
    return path.ends_with("nvidia0") ? EPERM : 0;
  };
  const DriverFacts driver = driver_of(machine);
  ASSERT_EQ(driver.nodes.size(), 4U);
  EXPECT_EQ(driver.nodes[1].name, "nvidia0");
  EXPECT_EQ(driver.nodes[1].error, "Operation not permitted");
  EXPECT_EQ(driver.nodes[2].error, std::nullopt);
  EXPECT_EQ(driver.char_links, true);
  EXPECT_EQ(driver.nvswitches, 2);
  EXPECT_EQ(driver.imex_channels, 1);
  EXPECT_EQ(driver.fabric_manager, true);
  EXPECT_EQ(driver.peermem, true);
  EXPECT_EQ(driver.compat, "/usr/local/cuda/compat/libcuda.so.1");
}

TEST(Surroundings, XidsOfTheKernelsLogEachOnce) {
  FakeMachine machine;
  machine.system.kernel_log = [] {
    return std::optional<std::vector<std::string>>(
        {"6,1,0,-;Linux version 6.8.0",
         "4,2,1,-;NVRM: Xid (PCI:0000:18:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen "
         "off the bus.",
         "4,3,2,-;NVRM: Xid (PCI:0000:18:00): 79, pid=7, GPU has fallen off the bus.",
         "4,4,3,-;NVRM: Xid (PCI:0000:2a:00): 31, pid=42, name=python3, Ch 00000010",
         "4,5,4,-;NVRM: Xid (PCI:0000:2a:00): odd"});
  };
  const DriverFacts driver = driver_of(machine);
  ASSERT_TRUE(driver.xids.has_value());
  ASSERT_EQ(driver.xids->size(), 2U);
  EXPECT_EQ(driver.xids->at(0).pci, "0000:18:00");
  EXPECT_EQ(driver.xids->at(0).code, 79);
  EXPECT_EQ(driver.xids->at(1).code, 31);
}

// A GPU below a bridge, as sysfs nests them, with links from the bus.
void put_below_bridge(const FakeMachine& machine, const std::string& control) {
  const std::string tree = "/sys/devices/pci0000:00/0000:00:01.0";
  const std::string gpu = tree + "/0000:18:00.0";
  machine.write(gpu + "/vendor", "0x10de\n");
  machine.write(gpu + "/class", "0x030200\n");
  machine.write(gpu + "/iommu_group/type", "DMA-FQ\n");
  machine.write("/sys/kernel/iommu_groups/7/type", "DMA-FQ\n");
  std::string config(256, '\0');
  config[0] = '\x20';  // what a reader of text would cut off
  // Another capability (id 1) at 0x100 that points to Access Control Services at 0x110.
  config += std::string("\x01\x00\x01\x11", 4) + std::string(12, '\0');
  config += std::string("\x0d\x00\x01\x00\xff\x00", 6) + control + std::string(8, '\0');
  machine.write(tree + "/config", config);
  std::filesystem::create_directories(machine.system.path("/sys/bus/pci/devices"));
  for (const auto& [name, to] : {std::pair("0000:18:00.0", gpu), std::pair("0000:00:01.0", tree)}) {
    std::filesystem::create_symlink(
        machine.system.path(to), machine.system.path(std::string("/sys/bus/pci/devices/") + name));
  }
}

HostFacts peer_path_of(const FakeMachine& machine) {
  HostFacts host;
  add_peer_path_facts(machine.system, host);
  return host;
}

TEST(PeerPath, ABridgeThatRedirectsAndAnIommuThatTranslates) {
  const FakeMachine machine;
  put_below_bridge(machine, std::string("\x1d\x00", 2));
  const HostFacts host = peer_path_of(machine);
  EXPECT_EQ(host.acs_redirect, true);
  EXPECT_EQ(host.iommu, "translated");
}

TEST(PeerPath, ABridgeThatDoesNot) {
  const FakeMachine machine;
  put_below_bridge(machine, std::string("\x11\x00", 2));
  machine.write("/sys/devices/pci0000:00/0000:00:01.0/0000:18:00.0/iommu_group/type", "identity\n");
  const HostFacts host = peer_path_of(machine);
  EXPECT_EQ(host.acs_redirect, false);
  EXPECT_EQ(host.iommu, "passthrough");
}

TEST(PeerPath, WhatAUserMayNotRead) {
  const FakeMachine machine;
  put_below_bridge(machine, std::string("\x1d\x00", 2));
  machine.write("/sys/devices/pci0000:00/0000:00:01.0/config", std::string(64, '\1'));
  EXPECT_EQ(peer_path_of(machine).acs_redirect, std::nullopt);
}

TEST(PeerPath, NoIommuAndNoGpu) {
  const FakeMachine without;
  EXPECT_EQ(peer_path_of(without).iommu, std::nullopt);
  const FakeMachine off;
  off.add_pci_gpu("0000:18:00.0");
  EXPECT_EQ(peer_path_of(off).iommu, "off");
}

TEST(Surroundings, QuotasAndKillsOfControlGroups) {
  const FakeMachine machine;
  machine.write("/proc/self/cgroup", "0::/a/b\n");
  machine.write("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
  machine.write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  machine.write("/sys/fs/cgroup/a/b/memory.events", "low 0\nhigh 0\noom 3\noom_kill 2\n");
  EXPECT_EQ(cgroup_cpu_quota(machine.system), 4.0);
  EXPECT_EQ(cgroup_oom_kills(machine.system), 2);
  const FakeMachine plain;
  EXPECT_EQ(cgroup_cpu_quota(plain.system), std::nullopt);
  EXPECT_EQ(cgroup_oom_kills(plain.system), std::nullopt);
}

TEST(Surroundings, NetworkAndCpus) {
  FakeMachine machine;
  machine.write("/sys/class/net/eth0/operstate", "up\n");
  machine.write("/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
  machine.write("/sys/class/infiniband/mlx5_0/ports/1/rate", "400 Gb/sec (4X NDR)\n");
  machine.write("/proc/meminfo", "MemTotal:  2048 kB\nMemFree: 5 kB\nMemAvailable:  1024 kB\n");
  machine.write("/proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
  machine.system.numa_calls = [] { return std::optional(false); };
  machine.system.file_system = [](const std::string&) {
    return FileSystemSize{.size_bytes = 1, .free_bytes = 1, .read_only = true};
  };
  std::filesystem::create_directories(machine.system.path("/dev/shm"));
  Inventory inventory;
  add_host_facts(machine.system, inventory);
  EXPECT_EQ(inventory.host.cpu_list, "0-3,8");
  EXPECT_EQ(inventory.host.memory_available_bytes, 1 << 20);
  EXPECT_EQ(inventory.host.virtual_machine, true);
  EXPECT_EQ(inventory.host.numa_calls, false);
  EXPECT_EQ(inventory.shm.writable, false);
  ASSERT_EQ(inventory.host.interfaces.size(), 1U);
  EXPECT_EQ(inventory.host.interfaces[0].state, "up");
  ASSERT_EQ(inventory.host.infiniband.size(), 1U);
  EXPECT_EQ(inventory.host.infiniband[0].state, "ACTIVE");
  EXPECT_EQ(inventory.host.infiniband[0].rate, "400 Gb/sec (4X NDR)");
}

}  // namespace
}  // namespace tutti::test
