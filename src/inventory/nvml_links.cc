#include "inventory/nvml_links.h"

#include <algorithm>
#include <array>

#include "inventory/nvml_gpu.h"

namespace tutti {

namespace {

// Active NVLinks of one GPU.
struct LinkEnds {
  std::vector<std::string> gpus;  // PCI addresses of GPUs at the other end, one per link
  int64_t switched = 0;           // links to a switch, or to what the machine does not show
};

bool is_gpu(const std::vector<NvmlDevice>& devices, const std::string& pci) {
  return std::any_of(
      devices.begin(), devices.end(), [&](const NvmlDevice& d) { return d.pci == pci; });
}

LinkEnds nvlinks_of(const nvml::Functions& f,
                    const NvmlDevice& gpu,
                    const std::vector<NvmlDevice>& devices,
                    NvmlErrors& errors) {
  LinkEnds ends;
  NvmlQuery query(gpu.device, gpu.index, errors);
  for (unsigned link = 0; link < nvml::kMaxNvLinks; ++link) {
    unsigned active = 0;
    const unsigned code = query.code(f.nvlink_state, link, &active);
    if (code == nvml::kInvalidArgument || code == nvml::kNotSupported) {
      break;  // it has no more, or none at all
    }
    if (!query.ok_code(f.nvlink_state, code)) {
      break;
    }
    if (active == 0) {
      continue;
    }
    nvml::PciInfo remote{};
    const bool known = query.code(f.nvlink_remote, link, &remote) == nvml::kSuccess;
    const std::string pci = known ? pci_address(remote) : "";
    if (is_gpu(devices, pci)) {
      ends.gpus.push_back(pci);
    } else {
      ++ends.switched;
    }
  }
  return ends;
}

std::optional<std::string> status_word(unsigned status) {
  constexpr std::array kWords{"ok",
                              "chipset_not_supported",
                              "gpu_not_supported",
                              "topology_not_supported",
                              "disabled_by_regkey",
                              "not_supported",
                              "unknown"};
  return status < kWords.size() ? kWords[status] : "unknown";
}

std::optional<std::string> p2p(const nvml::Functions& f,
                               const NvmlDevice& a,
                               const NvmlDevice& b,
                               unsigned capability,
                               NvmlErrors& errors) {
  unsigned status = 0;
  const unsigned code = f.p2p_status(a.device, b.device, capability, &status);
  if (code != nvml::kSuccess) {
    errors.note_pair(f.p2p_status.name, code, a.index, b.index);
    return std::nullopt;
  }
  return status_word(status);
}

// The way over PCIe, in nvidia-smi's words.
std::optional<std::string> pcie_way(const nvml::Functions& f,
                                    const NvmlDevice& a,
                                    const NvmlDevice& b,
                                    NvmlErrors& errors) {
  unsigned level = 0;
  const unsigned code = f.common_ancestor(a.device, b.device, &level);
  if (code != nvml::kSuccess) {
    errors.note_pair(f.common_ancestor.name, code, a.index, b.index);
    return std::nullopt;
  }
  return level <= 10   ? "PIX"   // one switch, or one board (level 0)
         : level <= 20 ? "PXB"   // several switches
         : level <= 30 ? "PHB"   // a host bridge
         : level <= 40 ? "NODE"  // several in one NUMA node
                       : "SYS";
}

}  // namespace

std::vector<GpuLink> read_links(const nvml::Functions& f,
                                const std::vector<NvmlDevice>& devices,
                                NvmlErrors& errors) {
  std::vector<LinkEnds> ends;
  if (devices.size() > 1) {
    for (const NvmlDevice& gpu : devices) {
      ends.push_back(nvlinks_of(f, gpu, devices, errors));
    }
  }
  std::vector<GpuLink> links;
  for (size_t i = 0; i < devices.size(); ++i) {
    for (size_t j = i + 1; j < devices.size(); ++j) {
      const NvmlDevice& a = devices[i];
      const NvmlDevice& b = devices[j];
      int64_t count =
          b.pci ? std::count(ends[i].gpus.begin(), ends[i].gpus.end(), *b.pci) : int64_t{0};
      if (count == 0 && ends[i].switched > 0 && ends[j].switched > 0 &&
          p2p(f, a, b, nvml::kP2pNvLink, errors) == "ok") {
        count = std::min(ends[i].switched, ends[j].switched);
      }
      links.push_back({.a = a.index,
                       .b = b.index,
                       .kind = count > 0 ? fmt::format("NV{}", count) : pcie_way(f, a, b, errors),
                       .p2p = {.read = p2p(f, a, b, nvml::kP2pRead, errors),
                               .write = p2p(f, a, b, nvml::kP2pWrite, errors),
                               .atomics = p2p(f, a, b, nvml::kP2pAtomics, errors)},
                       .data_test = "not_run"});
    }
  }
  return links;
}

}  // namespace tutti
