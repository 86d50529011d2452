// Are all GPUs of the machine there?
#include <algorithm>
#include <array>

#include "base/ascii.h"
#include "doctor/check_words.h"

namespace tutti {

namespace {

JsonObject counts_of(const Inventory& m) {
  return facts({{"pci", json_of(m.counts.pci)},
                {"nvml", json_of(m.counts.nvml)},
                {"cuda", json_of(m.counts.cuda)},
                {"last_good", json_of(m.counts.last_good)}});
}

// A container shows the PCI bus whole and of NVML what it was given, so fewer there is no fault.
Outcome count(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuCounts& counts = m.counts;
  if (m.gpus.empty() && counts.pci.value_or(0) == 0) {
    return fine("no NVIDIA GPU on the PCI bus; models run on the CPU", counts_of(m));
  }
  if (!counts.nvml) {
    return found(Severity::kError,
                 fmt::format("{} GPUs on the PCI bus, and the driver shows none",
                             counts.pci ? std::to_string(*counts.pci) : std::string("some")),
                 "look at driver.nvml and driver.nodes below",
                 counts_of(m));
  }
  if (counts.pci && *counts.pci > *counts.nvml && !in_container(m)) {
    return found(
        Severity::kError,
        fmt::format("{} GPUs on the PCI bus, {} shown by the driver", *counts.pci, *counts.nvml),
        "look for \"Xid\" in dmesg; power the machine off and on; reseat the GPU, and exchange it "
        "if it happens again",
        counts_of(m));
  }
  if (counts.cuda && *counts.cuda == 0) {
    return found(Severity::kError,
                 fmt::format("the driver shows {} GPUs, CUDA none", *counts.nvml),
                 "look at gpu.mask and driver.cuda below",
                 counts_of(m));
  }
  return fine(fmt::format("{} by the driver, {} by CUDA",
                          *counts.nvml,
                          counts.cuda ? std::to_string(*counts.cuda) : std::string("not asked")),
              counts_of(m));
}

Outcome last_good(const Examined& machine) {
  const GpuCounts& counts = machine.inventory.counts;
  if (!counts.last_good) {
    return not_known("no model has been loaded on GPUs of this machine yet");
  }
  const int64_t now = counts.nvml.value_or(0);
  if (now < *counts.last_good) {
    return found(
        Severity::kError,
        fmt::format("{} GPUs at the last good start, {} now", *counts.last_good, now),
        remedy_for(
            machine.inventory,
            {.bare = "look for \"Xid\" in dmesg; power the machine off and on, and reseat "
                     "the GPU if that does not bring it back",
             .docker = "compare with nvidia-smi on the host: start the container with docker "
                       "run --gpus all (compose: gpus: all), or the GPU is off the bus",
             .kubernetes = "compare nvidia.com/gpu of the pod's limits with the node's: kubectl "
                           "describe node",
             .vm = "compare with the GPUs that the virtual machine was given; look for "
                   "\"Xid\" in dmesg"}),
        counts_of(machine.inventory));
  }
  return fine(fmt::format("as many as at the last good start, or more: {}", now),
              counts_of(machine.inventory));
}

Outcome hidden(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet of_container = gpus_with(m, [](const Gpu& gpu) { return !gpu.nvml_index; });
  const GpuSet of_mask = gpus_with(
      m, [](const Gpu& gpu) { return gpu.nvml_index && !gpu.index && !gpu.mig.value_or(false); });
  const JsonObject evidence =
      facts({{"not_given", of_container.json()},
             {"hidden", of_mask.json()},
             {"cuda_visible_devices",
              json_of(m.env.contains("CUDA_VISIBLE_DEVICES")
                          ? std::optional(variable(m, "CUDA_VISIBLE_DEVICES"))
                          : std::nullopt)},
             {"nvidia_visible_devices", variable(m, "NVIDIA_VISIBLE_DEVICES")}});
  if (in_container(m) && m.counts.nvml && !of_container.empty()) {
    // Whoever starts a container with some of the GPUs names them there.
    const std::string given = variable(m, "NVIDIA_VISIBLE_DEVICES");
    const bool chosen = !given.empty() && given != "all";
    return found(
        chosen ? Severity::kInfo : Severity::kWarning,
        fmt::format(
            "{} of {} GPUs are not given to this container", of_container.size(), m.gpus.size()),
        remedy_for(m,
                   {.bare = "",
                    .docker = "docker run --gpus all (compose: gpus: all) gives it all of them",
                    .kubernetes = "raise nvidia.com/gpu in the limits of the pod"}),
        evidence);
  }
  if (m.env.contains("CUDA_VISIBLE_DEVICES") && !of_mask.empty()) {
    return found(Severity::kInfo,
                 fmt::format("CUDA_VISIBLE_DEVICES={} hides {}",
                             variable(m, "CUDA_VISIBLE_DEVICES"),
                             of_mask.text()),
                 "unset CUDA_VISIBLE_DEVICES to use them all",
                 evidence);
  }
  return fine("none of them is hidden", evidence);
}

Outcome mask(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const std::string wrong = errors_from(m, "env");
  const JsonObject evidence = facts({{"cuda_visible_devices", variable(m, "CUDA_VISIBLE_DEVICES")},
                                     {"cuda_device_order", variable(m, "CUDA_DEVICE_ORDER")}});
  if (!wrong.empty()) {
    return found(Severity::kWarning,
                 wrong,
                 "CUDA reads CUDA_VISIBLE_DEVICES up to the first entry that names no GPU: correct "
                 "that one, or unset the variable",
                 evidence);
  }
  const bool alike = std::all_of(m.gpus.begin(), m.gpus.end(), [&](const Gpu& gpu) {
    return gpu.name == m.gpus.front().name;
  });
  if (!alike && m.gpus.size() > 1 && variable(m, "CUDA_DEVICE_ORDER") != "PCI_BUS_ID") {
    return found(Severity::kInfo,
                 "GPUs differ, and CUDA counts them from the fastest on, nvidia-smi along the bus",
                 "name GPUs by UUID, or set CUDA_DEVICE_ORDER=PCI_BUS_ID",
                 evidence);
  }
  return fine("every entry names a GPU", evidence);
}

// Containers of NVIDIA's toolkit get the parts of the driver that this variable lists.
Outcome capabilities(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const std::string text = variable(m, "NVIDIA_DRIVER_CAPABILITIES");
  if (!in_container(m) || text.empty() || text == "all") {
    return fine("nothing of the driver is held back from a container");
  }
  std::string missing;
  for (const char* part : {"compute", "utility"}) {
    if (("," + text + ",").find(fmt::format(",{},", part)) == std::string::npos) {
      missing += (missing.empty() ? "" : " and ") + std::string(part);
    }
  }
  const JsonObject evidence = facts({{"nvidia_driver_capabilities", text}});
  if (missing.empty()) {
    return fine("the container has the driver's compute and utility parts", evidence);
  }
  return found(
      Severity::kError,
      fmt::format("NVIDIA_DRIVER_CAPABILITIES={} keeps {} from this container", text, missing),
      remedy_for(m,
                 {.bare = "",
                  .docker = "docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility (compose: "
                            "environment:)",
                  .kubernetes = "set NVIDIA_DRIVER_CAPABILITIES=compute,utility in the env of "
                                "the pod"}),
      evidence);
}

// NVML counts it and cannot speak with it.
Outcome lost(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet mute = gpus_with(
      m, [](const Gpu& gpu) { return gpu.nvml_index && !gpu.uuid && !gpu.memory_total_bytes; });
  std::string why;
  for (const InventoryError& error : m.errors) {
    for (const char* text : {"fallen off the bus", "needs a reset", "power cable"}) {
      if (error.source == "nvml" && error.text.find(text) != std::string::npos) {
        why = error.text;
      }
    }
  }
  if (mute.empty() && why.empty()) {
    return fine("every one that the driver counts answers");
  }
  return found(
      Severity::kError,
      why.empty() ? fmt::format("{} does not answer the driver", mute.text()) : why,
      "restart the machine; reseat the GPU and its power cables; exchange it if it happens "
      "again",
      facts({{"gpus", mute.json()}, {"nvml", errors_from(m, "nvml")}}));
}

constexpr auto kChecks = std::to_array<Check>({
    // clang-format off
    {"gpu.count", Needs::kNothing, "PCI bus, driver and CUDA count the same GPUs", "/sys/bus/pci/devices, nvmlDeviceGetCount, CUDA", count},
    {"gpu.last_good", Needs::kNothing, "as many as at the last good start", "counts.last_good", last_good},
    {"gpu.hidden", Needs::kGpus, "none is hidden from this process", "sysfs beside NVML, CUDA_VISIBLE_DEVICES", hidden},
    {"gpu.mask", Needs::kGpus, "CUDA_VISIBLE_DEVICES names GPUs that exist", "the variable, CUDA_DEVICE_ORDER", mask},
    {"gpu.lost", Needs::kGpus, "every GPU answers the driver", "nvmlDeviceGetUUID and others", lost},
    {"container.capabilities", Needs::kGpus, "the container has all of the driver that is needed", "NVIDIA_DRIVER_CAPABILITIES", capabilities},
    // clang-format on
});

}  // namespace

std::span<const Check> presence_checks() {
  return kChecks;
}

}  // namespace tutti
