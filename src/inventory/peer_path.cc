#include "inventory/peer_path.h"

#include <filesystem>
#include <set>

#include "inventory/pci_gpus.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr const char* kDevices = "/sys/bus/pci/devices/";

// "0000:00:01.0"
bool is_pci_address(std::string_view name) {
  return name.size() == 12 && name[4] == ':' && name[7] == ':' && name[10] == '.';
}

// Functions above `address` up to the root of its tree: sysfs nests the folders of devices.
std::vector<std::string> bridges_above(const System& system, const std::string& address) {
  std::vector<std::string> bridges;
  std::error_code ec;
  const fs::path folder = fs::canonical(system.path(kDevices + address), ec);
  for (const fs::path& part : folder) {
    if (!ec && is_pci_address(part.string()) && part.string() != address) {
      bridges.push_back(part.string());
    }
  }
  return bridges;
}

unsigned word_at(const std::string& bytes, size_t at, size_t count) {
  unsigned value = 0;
  for (size_t i = 0; i < count && at + i < bytes.size(); ++i) {
    value |= static_cast<unsigned>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

// The control word of Access Control Services (PCIe 6.0, section 7.7.11): whether requests or
// completions between devices below are redirected to the root. Empty: not readable, or no such
// capability, which are told apart by `readable`.
bool redirects(const std::string& config, bool& readable) {
  constexpr size_t kExtended = 0x100;  // what only root may read begins here
  constexpr unsigned kAcs = 0x000d;
  constexpr unsigned kRedirect = 0x04U | 0x08U;
  readable = config.size() > kExtended;
  size_t at = kExtended;
  for (int i = 0; readable && i < 64 && at >= kExtended && at + 8 <= config.size(); ++i) {
    const unsigned head = word_at(config, at, 4);
    if ((head & 0xffffU) == kAcs) {
      return (word_at(config, at + 6, 2) & kRedirect) != 0;
    }
    at = head >> 20U;
  }
  return false;
}

std::optional<bool> acs_redirect(const System& system, const std::vector<PciGpu>& gpus) {
  std::set<std::string> bridges;
  for (const PciGpu& gpu : gpus) {
    for (std::string& bridge : bridges_above(system, gpu.address)) {
      bridges.insert(std::move(bridge));
    }
  }
  std::optional<bool> found;
  for (const std::string& bridge : bridges) {
    bool readable = false;
    const bool on =
        redirects(system.read_bytes(kDevices + bridge + "/config").value_or(""), readable);
    if (readable) {
      found = found.value_or(false) || on;
    }
  }
  return found;
}

// "DMA", "DMA-FQ": addresses of devices are translated; "identity": they are passed through.
std::optional<std::string> iommu(const System& system, const std::vector<PciGpu>& gpus) {
  if (gpus.empty()) {
    return std::nullopt;
  }
  std::optional<std::string> worst;
  for (const PciGpu& gpu : gpus) {
    const std::optional<std::string> type =
        system.read(kDevices + gpu.address + "/iommu_group/type");
    if (type) {
      const bool translated = type->starts_with("DMA");
      worst = translated || worst == "translated" ? "translated" : "passthrough";
    }
  }
  const bool none = system.list("/sys/kernel/iommu_groups").empty();
  return worst ? worst : none ? std::optional<std::string>("off") : std::nullopt;
}

}  // namespace

void add_peer_path_facts(const System& system, HostFacts& host) {
  const std::vector<PciGpu> gpus = pci_gpus(system).value_or(std::vector<PciGpu>{});
  host.iommu = iommu(system, gpus);
  host.acs_redirect = acs_redirect(system, gpus);
}

}  // namespace tutti
