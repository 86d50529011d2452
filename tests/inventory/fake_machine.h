// A machine made of files in a directory that goes away with the test.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>

#include "inventory/collect.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti::test {

class FakeMachine {
 public:
  FakeMachine() {
    system.root = root_.path();
    system.limit = [](LimitKind) { return std::optional<int64_t>(-1); };
    system.file_system = [](const std::string&) {
      return FileSystemSize{.size_bytes = 64 << 20, .free_bytes = 60 << 20};
    };
    write("/proc/sys/kernel/osrelease", "6.8.0-45-generic\n");
    write("/proc/sys/kernel/hostname", "box7.example.org\n");
    write("/proc/meminfo", "MemTotal:       1048576 kB\nMemFree:  5 kB\n");
    write("/proc/self/status", "Name:\ttutti\nCpus_allowed_list:\t0-3,8\n");
    write("/proc/self/cgroup", "0::/\n");
  }

  void write(const std::string& path, const std::string& text) const {
    const std::string full = system.path(path);
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    std::ofstream(full, std::ios::binary) << text;
  }

  /// A display controller of NVIDIA's.
  void add_pci_gpu(const std::string& address, const std::string& numa_node = "-1") const {
    const std::string folder = "/sys/bus/pci/devices/" + address + "/";
    write(folder + "vendor", "0x10de\n");
    write(folder + "class", "0x030200\n");
    write(folder + "numa_node", numa_node + "\n");
    write(folder + "current_link_speed", "32.0 GT/s PCIe\n");
    write(folder + "max_link_speed", "32.0 GT/s PCIe\n");
    write(folder + "current_link_width", "16\n");
    write(folder + "max_link_width", "16\n");
  }

  Inventory collect() const { return collect_inventory({.system = system, .version = "1.2.3"}); }

  System system;

 private:
  testing::TempDir root_;
};

/// All texts of errors from `source`, one a line.
inline std::string errors_of(const Inventory& inventory, const std::string& source) {
  std::string out;
  for (const InventoryError& error : inventory.errors) {
    out += error.source == source ? error.text + "\n" : "";
  }
  return out;
}

}  // namespace tutti::test
