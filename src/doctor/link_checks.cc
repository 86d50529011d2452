// Do GPUs reach each other, and as fast as they should?
#include <algorithm>
#include <array>
#include <map>

#include "doctor/check_words.h"

namespace tutti {

namespace {

bool is_nvlink(const GpuLink& link) {
  return link.kind && link.kind->starts_with("NV");
}

// Whether any pair goes over PCIe, where switches and IOMMUs stand in between.
bool any_over_pcie(const Inventory& m) {
  return std::any_of(
      m.links.begin(), m.links.end(), [](const GpuLink& l) { return !is_nvlink(l); });
}

std::string pair_text(const GpuLink& link) {
  return fmt::format("GPUs {} and {}", link.a, link.b);
}

Outcome pcie(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::string example;
  const auto degraded = [&](const Gpu& gpu) {
    const PcieLink& link = gpu.pcie;
    const bool narrow = link.width && link.width_max && *link.width < *link.width_max;
    // An idle GPU lowers the rate of its link, not the width.
    const bool idle = gpu.clock_reasons &&
                      std::find(gpu.clock_reasons->begin(), gpu.clock_reasons->end(), "idle") !=
                          gpu.clock_reasons->end();
    const bool slow = !idle && link.gen && link.gen_max && *link.gen < *link.gen_max;
    if ((narrow || slow) && example.empty()) {
      example = narrow ? fmt::format("x{} of x{}", *link.width, *link.width_max)
                       : fmt::format("generation {} of {}", *link.gen, *link.gen_max);
    }
    return narrow || slow;
  };
  const GpuSet gpus = gpus_with(m, degraded);
  const GpuSet replays =
      gpus_with(m, [](const Gpu& gpu) { return gpu.pcie.replays.value_or(0) > 1000; });
  const JsonObject evidence = facts({{"degraded", gpus.json()}, {"replays", replays.json()}});
  if (!gpus.empty()) {
    return found(
        Severity::kWarning,
        fmt::format(
            "{}: PCIe {}; loading and sums through the host are slower", gpus.text(), example),
        remedy_for(m,
                   {.bare = "reseat the GPU or its riser; look at the slot's setting in the "
                            "firmware",
                    .vm = "the virtual machine may show a link that is not the real one: look "
                          "at it on the host"}),
        evidence);
  }
  if (!replays.empty()) {
    return found(
        Severity::kInfo,
        fmt::format("{}: more than 1000 packets were sent again over PCIe", replays.text()),
        "reseat the GPU or its riser if the number grows: nvidia-smi -q | grep Replay",
        evidence);
  }
  return fine("PCIe links have their full width");
}

Outcome bar1(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet small = gpus_with(m, [](const Gpu& gpu) {
    return gpu.bar1_bytes && gpu.memory_total_bytes && *gpu.bar1_bytes < *gpu.memory_total_bytes;
  });
  if (small.empty() || !any_over_pcie(m)) {
    return fine(small.empty() ? "others can reach all of their memory"
                              : "NVLink does not need the window of PCIe",
                facts({{"small", small.json()}}));
  }
  return found(
      Severity::kWarning,
      fmt::format("{}: the window onto its memory (BAR1) is smaller than the memory; peer "
                  "access over PCIe is refused or slow",
                  small.text()),
      remedy_for(m,
                 {.bare = "switch on Above 4G Decoding and Resizable BAR in the firmware",
                  .vm = "give the virtual machine a large enough address space for devices "
                        "(64-bit MMIO)"}),
      facts({{"small", small.json()}}));
}

Outcome nvlink(const Examined& machine) {
  const Inventory& m = machine.inventory;
  int64_t most = 0;
  for (const Gpu& gpu : m.gpus) {
    most = std::max(most, gpu.nvlink.active.value_or(0));
  }
  if (most == 0) {
    return fine(any_over_pcie(m) ? "there is no NVLink" : "NVLinks are not counted here");
  }
  const GpuSet fewer = gpus_with(m, [&](const Gpu& gpu) {
    return gpu.nvml_index && gpu.uuid && gpu.nvlink.active.value_or(0) < most;
  });
  const GpuSet errors =
      gpus_with(m, [](const Gpu& gpu) { return gpu.nvlink.errors.value_or(0) > 0; });
  const JsonObject evidence =
      facts({{"links", most}, {"fewer", fewer.json()}, {"errors", errors.json()}});
  if (!fewer.empty()) {
    return found(
        Severity::kWarning,
        fmt::format("{}: fewer than the {} NVLinks that others have up", fewer.text(), most),
        "nvidia-smi nvlink -s shows which are down; restart, then have the board looked at",
        evidence);
  }
  if (!errors.empty()) {
    return found(Severity::kInfo,
                 fmt::format("{}: NVLink had to send data again", errors.text()),
                 "watch it: nvidia-smi nvlink -e",
                 evidence);
  }
  return fine(fmt::format("{} NVLinks of each are up", most), evidence);
}

Outcome p2p(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::map<std::string, int64_t> refusals;
  std::string example;
  for (const GpuLink& link : m.links) {
    for (const auto& status : {link.p2p.read, link.p2p.write}) {
      if (status && *status != "ok") {
        if (refusals[*status]++ == 0 && example.empty()) {
          example = pair_text(link);
        }
        break;
      }
    }
  }
  if (refusals.empty()) {
    return fine("the driver offers peer access between all pairs");
  }
  JsonObject evidence;
  for (const auto& [status, pairs] : refusals) {
    evidence.set(status, pairs);
  }
  // The first gate only: those behind it do not matter while it is shut.
  const std::string& gate = refusals.begin()->first;
  const char* remedy =
      gate == "chipset_not_supported"
          ? "the chipset forbids it and nothing changes that; sums go through host memory"
      : gate == "gpu_not_supported"
          ? "the driver offers none on this model (as on GeForce); sums go through host memory"
      : gate == "topology_not_supported" ? "GPUs under different root ports have none here; put "
                                           "them under one switch if there is one"
      : gate == "disabled_by_regkey"
          ? "a setting of the driver forbids it: look for RMDisableP2P or NVreg_ in /etc/modprobe.d"
          : "nothing is known that would open it; sums go through host memory";
  return found(Severity::kInfo,
               fmt::format("no peer access between some GPUs, such as {}: {}", example, gate),
               remedy,
               std::move(evidence));
}

Outcome p2p_data(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuLink* bad = nullptr;
  int64_t failed = 0;
  int64_t passed = 0;
  for (const GpuLink& link : m.links) {
    const std::string result = link.data_test.value_or("not_run");
    passed += result == "pass" ? 1 : 0;
    if (result == "fail" || result == "hang") {
      bad = bad == nullptr || result == "hang" ? &link : bad;
      ++failed;
    }
  }
  JsonObject evidence = facts({{"passed", passed}, {"failed", failed}});
  if (machine.live != nullptr) {
    evidence.set("seconds", machine.live->peer_seconds);
  }
  if (bad == nullptr && passed == 0) {
    return not_known(machine.live == nullptr
                         ? "the file has no test of data between GPUs; it takes the machine itself"
                         : "no data was moved: see driver.cuda and link.p2p");
  }
  if (bad == nullptr) {
    return fine(fmt::format("data arrived between {} pairs", passed), evidence);
  }
  evidence.set("pair", Json::array({bad->a, bad->b}));
  const bool hang = bad->data_test == "hang";
  const std::string remedy = remedy_for(
      m,
      {.bare = "boot with iommu=pt (or the IOMMU off), and switch ACS off in the firmware or by "
               "setpci; tutti goes through host memory meanwhile",
       .docker =
           "on the host: boot with iommu=pt and switch ACS off; tutti goes through host memory "
           "meanwhile",
       .kubernetes = "on the node: boot with iommu=pt and switch ACS off; tutti goes through host "
                     "memory meanwhile",
       .vm = "the host must allow it (ATS, or the devices in one group); tutti goes through host "
             "memory meanwhile"});
  return found(Severity::kWarning,
               fmt::format("{}: the driver says that they reach each other, but {}{}",
                           pair_text(*bad),
                           hang ? "moving data hangs" : "data does not arrive",
                           failed > 1 ? fmt::format("; so do {} pairs", failed) : ""),
               remedy,
               std::move(evidence));
}

// Only where peers talk over PCIe does it matter.
Outcome iommu(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.host.iommu) {
    return not_known("sysfs does not tell the IOMMU's mode");
  }
  const JsonObject evidence = facts({{"iommu", *m.host.iommu}});
  if (*m.host.iommu != "translated") {
    return fine(fmt::format("IOMMU: {}", *m.host.iommu), evidence);
  }
  const bool matters = any_over_pcie(m) && m.gpus.size() > 1;
  const bool proven = std::any_of(
      m.links.begin(), m.links.end(), [](const GpuLink& l) { return l.data_test == "pass"; });
  if (!matters || proven || m.host.virtual_machine.value_or(false)) {
    return fine(!matters ? "the IOMMU translates addresses; NVLink does not pass it"
                         : "the IOMMU translates addresses, and data arrives",
                evidence);
  }
  return found(Severity::kWarning,
               "the IOMMU translates addresses of GPUs: writes between them over PCIe may be lost "
               "while every call succeeds",
               remedy_for(m,
                          {.bare = "boot with iommu=pt (intel_iommu=on iommu=pt, or amd_iommu=on "
                                   "iommu=pt)",
                           .docker = "on the host: boot with iommu=pt",
                           .kubernetes = "on the node: boot with iommu=pt"}),
               evidence);
}

Outcome acs(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.host.acs_redirect) {
    return not_known(
        "the configuration of PCI bridges is shown to root only, and not in virtual "
        "machines");
  }
  const JsonObject evidence = facts({{"acs_redirect", *m.host.acs_redirect}});
  if (!*m.host.acs_redirect) {
    return fine("no bridge above a GPU redirects peer traffic", evidence);
  }
  if (!any_over_pcie(m)) {
    return fine("bridges redirect peer traffic; NVLink does not pass them", evidence);
  }
  return found(
      Severity::kWarning,
      "a bridge above a GPU redirects peer traffic to the processor (ACS): slower, or lost "
      "behind an IOMMU",
      remedy_for(m,
                 {.bare = "switch ACS off in the firmware, or for each bridge: setpci -s BDF "
                          "ECAP_ACS+6.w=0",
                  .docker = "on the host: setpci -s BDF ECAP_ACS+6.w=0 for each bridge",
                  .kubernetes = "on the node: setpci -s BDF ECAP_ACS+6.w=0 for each bridge"}),
      evidence);
}

Outcome fabric_state(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet waiting = gpus_with(m, [](const Gpu& gpu) {
    return gpu.fabric.state == "not_started" || gpu.fabric.state == "in_progress";
  });
  if (waiting.empty()) {
    const bool any = std::any_of(m.gpus.begin(), m.gpus.end(), [](const Gpu& gpu) {
      return gpu.fabric.state == "completed";
    });
    return fine(any ? "the NVSwitch fabric is ready" : "there is no NVSwitch fabric");
  }
  return found(
      Severity::kError,
      fmt::format("{}: the NVSwitch fabric is not ready; CUDA says error 802", waiting.text()),
      remedy_for(
          m,
          {.bare = "systemctl start nvidia-fabricmanager, of the driver's version; it takes "
                   "up to a minute",
           .docker = "on the host: systemctl start nvidia-fabricmanager, of the driver's "
                     "version",
           .kubernetes = "on the node: systemctl start nvidia-fabricmanager, of the driver's "
                         "version",
           .vm = "the Fabric Manager runs on the host or in a service machine: look there"}),
      facts({{"gpus", waiting.json()}}));
}

Outcome fabric_manager(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (m.driver.nvswitches.value_or(0) == 0) {
    return fine("no NVSwitch is seen here");
  }
  const JsonObject evidence = facts({{"nvswitches", json_of(m.driver.nvswitches)},
                                     {"fabric_manager", json_of(m.driver.fabric_manager)}});
  if (m.driver.fabric_manager.value_or(false) || in_container(m)) {
    return fine(in_container(m) ? "the Fabric Manager runs on the host, out of sight"
                                : "the Fabric Manager runs",
                evidence);
  }
  return found(Severity::kError,
               fmt::format("{} NVSwitches, and no Fabric Manager runs", *m.driver.nvswitches),
               fmt::format("install nvidia-fabricmanager {} and start it: systemctl start "
                           "nvidia-fabricmanager",
                           m.driver.version.value_or("of the driver's version")),
               evidence);
}

Outcome fabric_health(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::string what;
  const GpuSet sick = gpus_with(m, [&](const Gpu& gpu) {
    const bool bad = gpu.fabric.health.value_or("healthy") != "healthy";
    what = bad ? *gpu.fabric.health : what;
    return bad;
  });
  if (!sick.empty()) {
    return found(Severity::kWarning,
                 fmt::format("{}: NVSwitch fabric: {}", sick.text(), what),
                 "leave it out, restart, and have the switch tray looked at if it stays",
                 facts({{"gpus", sick.json()}, {"health", what}}));
  }
  std::map<std::string, int64_t> cliques;
  for (const Gpu& gpu : m.gpus) {
    if (gpu.fabric.cluster && gpu.fabric.clique) {
      ++cliques[fmt::format("{}/{}", *gpu.fabric.cluster, *gpu.fabric.clique)];
    }
  }
  if (cliques.size() > 1) {
    JsonObject evidence;
    for (const auto& [clique, gpus] : cliques) {
      evidence.set(clique, gpus);
    }
    return found(
        Severity::kWarning,
        fmt::format("GPUs are in {} NVLink cliques: not all reach each other", cliques.size()),
        "use GPUs of one clique, or correct the Fabric Manager's partition",
        std::move(evidence));
  }
  return fine("nothing is reported against the fabric");
}

// One host does not need it: it is for memory that several hosts share.
Outcome imex(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const int64_t channels = m.driver.imex_channels.value_or(0);
  const bool rack = std::any_of(m.gpus.begin(), m.gpus.end(), [](const Gpu& gpu) {
    return gpu.name && (gpu.name->find("GB200") != std::string::npos ||
                        gpu.name->find("GB300") != std::string::npos);
  });
  const JsonObject evidence = facts({{"imex_channels", channels}});
  if (!rack || channels > 0) {
    return fine(rack ? "IMEX channels are there" : "one host needs no IMEX", evidence);
  }
  return found(Severity::kInfo,
               "no IMEX channel: hosts of this rack cannot share memory",
               "tutti uses one host and does not need it; for others: nvidia-imex, and modprobe "
               "nvidia-caps-imex-channels",
               evidence);
}

Outcome topology(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::map<std::string, int64_t> kinds;
  for (const GpuLink& link : m.links) {
    ++kinds[link.kind.value_or("unknown")];
  }
  JsonObject evidence;
  std::string text;
  for (const auto& [kind, pairs] : kinds) {
    evidence.set(kind, pairs);
    text += fmt::format("{}{} pairs {}", text.empty() ? "" : ", ", pairs, kind);
  }
  const bool mixed = kinds.size() > 1;
  if (m.host.virtual_machine.value_or(false) && any_over_pcie(m)) {
    return found(
        Severity::kInfo,
        fmt::format("{}; a virtual machine may show other ways over PCIe than there are", text),
        "tutti bench scaling MODEL measures them",
        std::move(evidence));
  }
  if (mixed) {
    return found(Severity::kInfo,
                 fmt::format("{}: sums go at the rate of the slowest", text),
                 "tutti plan MODEL shows what groups with the better links alone would do",
                 std::move(evidence));
  }
  return fine(text.empty() ? "no links are known" : text, std::move(evidence));
}

constexpr auto kChecks = std::to_array<Check>({
    // clang-format off
    {"link.pcie", Needs::kGpus, "PCIe links have their width and rate", "nvmlDeviceGetCurrPcieLinkWidth, replay counter", pcie},
    {"link.bar1", Needs::kSeveralGpus, "the PCI window covers their memory", "nvmlDeviceGetBAR1MemoryInfo", bar1},
    {"link.nvlink", Needs::kSeveralGpus, "NVLinks are up", "nvmlDeviceGetNvLinkState, error counters", nvlink},
    {"link.p2p", Needs::kSeveralGpus, "the driver offers peer access", "nvmlDeviceGetP2PStatus", p2p},
    {"link.p2p_data", Needs::kSeveralGpus, "data moved between GPUs arrive", "a child moves and compares data between all pairs", p2p_data},
    {"link.iommu", Needs::kSeveralGpus, "the IOMMU lets peers pass", "/sys/bus/pci/devices/*/iommu_group/type", iommu},
    {"link.acs", Needs::kSeveralGpus, "bridges do not redirect peers", "ACS control of PCI bridges (root)", acs},
    {"link.topology", Needs::kSeveralGpus, "all pairs are linked alike", "nvmlDeviceGetTopologyCommonAncestor", topology},
    {"fabric.state", Needs::kGpus, "the NVSwitch fabric is ready", "nvmlDeviceGetGpuFabricInfoV", fabric_state},
    {"fabric.manager", Needs::kGpus, "the Fabric Manager runs where there are NVSwitches", "/dev/nvidia-nvswitch*, /proc/*/comm", fabric_manager},
    {"fabric.health", Needs::kGpus, "the fabric is whole, in one clique", "fabric health mask, cluster, clique", fabric_health},
    {"fabric.imex", Needs::kGpus, "IMEX channels, on racks", "/dev/nvidia-caps-imex-channels", imex},
    // clang-format on
});

}  // namespace

std::span<const Check> link_checks() {
  return kChecks;
}

}  // namespace tutti
