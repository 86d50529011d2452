// Facts about hosts, read from small directories that stand for machines.
#include "inventory/host_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inventory/cgroup.h"
#include "inventory/container_kind.h"
#include "inventory/driver_facts.h"
#include "inventory/fake_machine.h"
#include "inventory/pci_gpus.h"
#include "inventory/stale_shm.h"

namespace tutti::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(HostFacts, OfAPlainMachine) {
  FakeMachine machine;
  machine.write("/sys/devices/system/node/node0/cpulist", "0-3\n");
  machine.write("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:     2048 kB\n");
  machine.write("/sys/devices/system/node/node10/cpulist", "8\n");
  machine.write("/sys/devices/system/node/node2/cpulist", "\n");
  machine.write("/sys/devices/system/node/possible", "0-2\n");
  machine.write("/dev/shm/something", "");
  Inventory inventory;
  add_host_facts(machine.system, inventory);
  EXPECT_EQ(inventory.host.kind, "bare");
  EXPECT_EQ(inventory.host.kernel, "6.8.0-45-generic");
  EXPECT_EQ(inventory.host.cpus, 5) << "those of Cpus_allowed_list";
  EXPECT_EQ(inventory.host.memory_bytes, kGiB);
  EXPECT_EQ(inventory.host.cgroup_memory_bytes, std::nullopt);
  EXPECT_EQ(inventory.host.usable_memory_bytes(), kGiB);
  ASSERT_EQ(inventory.host.numa.size(), 3U);
  EXPECT_EQ(inventory.host.numa[0].cpus, "0-3");
  EXPECT_EQ(inventory.host.numa[0].memory_bytes, 2 << 20);
  EXPECT_EQ(inventory.host.numa[2].node, 10) << "by number, not by name";
  EXPECT_EQ(inventory.shm.present, true);
  EXPECT_EQ(inventory.shm.size_bytes, 64 << 20);
  EXPECT_EQ(inventory.shm.free_bytes, 60 << 20);
  EXPECT_EQ(inventory.limits.memlock_bytes, -1);
  EXPECT_THAT(inventory.errors, IsEmpty());
}

TEST(HostFacts, OfNothing) {
  const testing::TempDir empty;
  System system;
  system.root = empty.path();
  Inventory inventory;
  add_host_facts(system, inventory);
  EXPECT_EQ(inventory.host.memory_bytes, std::nullopt);
  EXPECT_EQ(inventory.host.cpus, std::nullopt);
  EXPECT_EQ(inventory.shm.present, false);
  EXPECT_EQ(inventory.limits.nofile, std::nullopt);
  const std::string errors = errors_of(inventory, "host");
  for (const char* part : {"osrelease", "/proc/meminfo", "CPUs", "/proc/self/cgroup"}) {
    EXPECT_THAT(errors, HasSubstr(part));
  }
}

TEST(HostFacts, ListsOfCpus) {
  EXPECT_EQ(count_of_list("0"), 1);
  EXPECT_EQ(count_of_list("0-31,64-95"), 64);
  for (const char* bad : {"", "a", "3-1", "-1", "0-", "0,,1", "0-99999999999"}) {
    EXPECT_EQ(count_of_list(bad), std::nullopt) << bad;
  }
}

// Where the limit stands, in version 2: the group itself, one above, or nowhere.
TEST(CgroupMemory, Version2TakesTheSmallestOnTheWayUp) {
  FakeMachine machine;
  machine.write("/proc/self/cgroup", "0::/a.slice/b.scope\n");
  machine.write("/proc/self/mountinfo",
                "26 24 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
  machine.write("/sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), std::nullopt);
  machine.write("/sys/fs/cgroup/a.slice/memory.max", "2147483648\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), 2 * kGiB);
  machine.write("/sys/fs/cgroup/a.slice/b.scope/memory.max", "1073741824\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), kGiB);
}

TEST(CgroupMemory, ANamespacedContainerSeesItsOwnGroupAsTheRoot) {
  FakeMachine machine;  // "0::/"
  machine.write("/proc/self/mountinfo",
                "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
  machine.write("/sys/fs/cgroup/memory.max", "536870912\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), kGiB / 2);
  machine.write("/proc/self/cgroup", "0::/../other\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), kGiB / 2) << "a group outside of what is mounted";
}

TEST(CgroupMemory, Version1OfAContainerAndItsHost) {
  FakeMachine machine;
  machine.write("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/0123\n0::/\n");
  machine.write("/proc/self/mountinfo",
                "34 31 0:31 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), std::nullopt) << "version 1's word for no limit";
  machine.write("/sys/fs/cgroup/memory/memory.stat",
                "cache 1\nhierarchical_memory_limit 2147483648\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), 2 * kGiB) << "of a group that is not mounted here";
  machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
  EXPECT_EQ(cgroup_memory_limit(machine.system), kGiB);
}

TEST(CgroupMemory, TheSmallerOfGroupAndMachineCounts) {
  HostFacts host{.memory_bytes = 4 * kGiB, .cgroup_memory_bytes = 2 * kGiB};
  EXPECT_EQ(host.usable_memory_bytes(), 2 * kGiB);
  host.cgroup_memory_bytes = 8 * kGiB;
  EXPECT_EQ(host.usable_memory_bytes(), 4 * kGiB);
}

struct KindCase {
  const char* path;
  const char* content;
  const char* kind;
};

TEST(ContainerKind, ByItsEvidence) {
  for (const KindCase& c : {
           KindCase{"/.dockerenv", "", "docker"},
           KindCase{"/proc/1/cgroup", "5:memory:/docker/0123\n", "docker"},
           KindCase{"/proc/self/mountinfo",
                    "9 8 8:1 /var/lib/docker/containers/0123/hosts /etc/hosts rw - ext4 x rw\n",
                    "docker"},
           KindCase{"/run/.containerenv", "", "podman"},
           KindCase{"/run/secrets/kubernetes.io/serviceaccount/token", "x", "kubernetes"},
           KindCase{"/proc/self/cgroup", "0::/kubepods.slice/kubepods-pod1.slice\n", "kubernetes"},
           KindCase{"/proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n", "wsl"},
           KindCase{"/proc/cpuinfo", "flags\t\t: fpu hypervisor lahf_lm\n", "vm"},
           KindCase{"/sys/class/dmi/id/sys_vendor", "QEMU\n", "vm"},
       }) {
    FakeMachine machine;
    machine.write(c.path, c.content);
    EXPECT_EQ(container_kind(machine.system), c.kind) << c.path;
  }
}

TEST(ContainerKind, TheInnermostCounts) {
  FakeMachine machine;
  machine.write("/proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
  EXPECT_EQ(container_kind(machine.system), "vm");
  machine.write("/.dockerenv", "");
  EXPECT_EQ(container_kind(machine.system), "docker");
  machine.system.environment["KUBERNETES_SERVICE_HOST"] = "10.0.0.1";
  EXPECT_EQ(container_kind(machine.system), "kubernetes");
}

TEST(ContainerKind, ACloudsBareMachineIsNoGuest) {
  FakeMachine machine;
  machine.write("/proc/cpuinfo", "flags\t\t: fpu lahf_lm\n");
  machine.write("/sys/class/dmi/id/product_name", "Google Compute Engine\n");
  EXPECT_EQ(container_kind(machine.system), "bare");
}

TEST(StaleShm, FilesOfDeadProcessesOnly) {
  FakeMachine machine;
  for (const char* name : {"nccl-mapped", "nccl-open", "nccl-left", "nccl-left2", "other"}) {
    machine.write(std::string("/dev/shm/") + name, std::string(9000, 'x'));
  }
  machine.write("/proc/7/maps", "7f00-7f01 rw-s 0 00:19 4   /dev/shm/nccl-mapped\n");
  machine.write("/proc/7/fd/.keep", "");
  machine.write("/proc/8/maps", "7f00-7f01 rw-s 0 00:19 4   /dev/shm/nccl-left (deleted)\n");
  machine.write("/proc/8/fd/.keep", "");
  std::filesystem::create_symlink("/dev/shm/nccl-open", machine.system.path("/proc/8/fd/3"));
  const std::vector<StaleFile> stale = stale_nccl_files(machine.system);
  ASSERT_EQ(stale.size(), 2U);
  EXPECT_EQ(stale[0].name, "nccl-left");
  EXPECT_EQ(stale[1].name, "nccl-left2") << "a name that begins like another";
  EXPECT_GE(stale[0].bytes, 8192);
}

TEST(StaleShm, AProcessThatCannotBeLookedIntoMayUseThem) {
  FakeMachine machine;
  machine.write("/dev/shm/nccl-left", "x");
  machine.write("/proc/9/status", "Name:\tx\nVmSize:\t 8 kB\n");  // neither maps nor fd
  EXPECT_THAT(stale_nccl_files(machine.system), IsEmpty());
  machine.write("/proc/9/status", "Name:\tx\nState:\tZ (zombie)\n");
  EXPECT_EQ(stale_nccl_files(machine.system).size(), 1U) << "it has ended";
}

TEST(KernelDriver, OpenAndProprietary) {
  FakeMachine machine;
  machine.write("/proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.03  Release "
                "Build  (build@somewhere)\nGCC version:  gcc version 13.3.0\n");
  Inventory inventory;
  add_kernel_driver(machine.system, inventory);
  EXPECT_EQ(inventory.driver.version, "580.159.03");
  EXPECT_EQ(inventory.driver.module, "open");
  machine.write("/proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\n");
  add_kernel_driver(machine.system, inventory);
  EXPECT_EQ(inventory.driver.version, "550.54.15");
  EXPECT_EQ(inventory.driver.module, "proprietary");
  EXPECT_THAT(inventory.errors, IsEmpty());
  machine.write("/proc/driver/nvidia/version", "something new\n");
  add_kernel_driver(machine.system, inventory);
  EXPECT_THAT(errors_of(inventory, "driver"), HasSubstr("unknown form"));
}

TEST(PciGpus, DisplayFunctionsOfNvidiaOnly) {
  FakeMachine machine;
  EXPECT_EQ(pci_gpus(machine.system), std::nullopt) << "no sysfs";
  machine.add_pci_gpu("0000:18:00.0", "1");
  machine.add_pci_gpu("0000:2a:00.0");
  const std::string folder = "/sys/bus/pci/devices/";
  machine.write(folder + "0000:2a:00.0/class", "0x030000\n");  // with a display
  machine.write(folder + "0000:2a:00.0/current_link_speed", "5 GT/s\n");
  machine.write(folder + "0000:2a:00.0/max_link_speed", "Unknown\n");
  machine.write(folder + "0000:2a:00.0/current_link_width", "63\n");
  machine.write(folder + "0000:c0:00.0/vendor", "0x10de\n");  // a switch
  machine.write(folder + "0000:c0:00.0/class", "0x068000\n");
  machine.write(folder + "0000:01:00.0/vendor", "0x8086\n");
  machine.write(folder + "0000:01:00.0/class", "0x030000\n");
  const auto gpus = pci_gpus(machine.system);
  ASSERT_TRUE(gpus.has_value());
  ASSERT_EQ(gpus->size(), 2U);
  EXPECT_EQ((*gpus)[0].address, "0000:18:00.0");
  EXPECT_EQ((*gpus)[0].numa_node, 1);
  EXPECT_EQ((*gpus)[0].link.gen, 5);
  EXPECT_EQ((*gpus)[0].link.width_max, 16);
  EXPECT_EQ((*gpus)[1].numa_node, std::nullopt);
  EXPECT_EQ((*gpus)[1].link.gen, 2);
  EXPECT_EQ((*gpus)[1].link.gen_max, std::nullopt);
  EXPECT_EQ((*gpus)[1].link.width, std::nullopt);
}

}  // namespace
}  // namespace tutti::test
