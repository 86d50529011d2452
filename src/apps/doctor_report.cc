#include "apps/doctor_report.h"

#include <map>

#include <fmt/format.h>

#include "base/units.h"

namespace tutti {

namespace {

std::string line(const char* name, const std::string& text) {
  return text.empty() ? "" : fmt::format("{:<12}{}\n", name, text);
}

// "18.0 GiB of 139.8 GiB used"
std::string memory_of(const Gpu& gpu) {
  if (!gpu.memory_total_bytes) {
    return "memory unknown";
  }
  return gpu.memory_used_bytes ? fmt::format("{} of {} used",
                                             format_bytes(*gpu.memory_used_bytes),
                                             format_bytes(*gpu.memory_total_bytes))
                               : format_bytes(*gpu.memory_total_bytes);
}

// What is out of order with a GPU, as far as the driver says.
std::string trouble_of(const Gpu& gpu) {
  std::string out;
  const auto add = [&out](const std::string& what) { out += "; " + what; };
  if (!gpu.nvml_index) {
    add("the driver does not show it");
  } else if (!gpu.index) {
    add("hidden from this process");
  }
  if (gpu.ecc.uncorrected.value_or(0) > 0) {
    add(fmt::format("{} uncorrected memory errors", *gpu.ecc.uncorrected));
  }
  if (gpu.remapped.failed.value_or(false)) {
    add("row remapping failed");
  } else if (gpu.remapped.pending.value_or(false)) {
    add("row remapping waits for a reset");
  }
  if (gpu.recovery_action.value_or("none") != "none") {
    add("the driver asks for: " + *gpu.recovery_action);
  }
  if (gpu.compute_mode.value_or("default") == "prohibited") {
    add("compute mode prohibited");
  }
  if (gpu.pcie.width && gpu.pcie.width_max && *gpu.pcie.width < *gpu.pcie.width_max) {
    add(fmt::format("PCIe x{} of x{}", *gpu.pcie.width, *gpu.pcie.width_max));
  }
  return out;
}

std::string gpu_line(const Gpu& gpu) {
  const std::string number = gpu.index ? fmt::format("cuda:{}", *gpu.index) : "-";
  return line(number.c_str(),
              fmt::format("{}, {}{}",
                          gpu.name.value_or(gpu.pci.value_or("unknown GPU")),
                          memory_of(gpu),
                          trouble_of(gpu)));
}

// "28 x NV18": each kind of link with how many pairs have it.
std::string links_of(const Inventory& inventory) {
  std::map<std::string, int> kinds;
  for (const GpuLink& link : inventory.links) {
    ++kinds[link.kind.value_or("unknown")];
  }
  std::string out;
  for (const auto& [kind, pairs] : kinds) {
    out += fmt::format("{}{} x {}", out.empty() ? "" : ", ", pairs, kind);
  }
  return out;
}

std::string host_of(const HostFacts& host) {
  std::string out = host.kind.value_or("");
  const auto add = [&out](const std::string& what) { out += (out.empty() ? "" : ", ") + what; };
  if (host.cpus) {
    add(fmt::format("{} CPUs", *host.cpus));
  }
  if (const Bytes memory = host.usable_memory_bytes()) {
    add(format_bytes(*memory) + " of memory");
  }
  if (host.kernel) {
    add("Linux " + *host.kernel);
  }
  return out;
}

std::string driver_of(const DriverFacts& driver) {
  if (!driver.version) {
    return "none of NVIDIA's";
  }
  return *driver.version + (driver.cuda ? fmt::format(", for CUDA {}", *driver.cuda) : "");
}

std::string libraries_of(const LibraryFacts& libraries) {
  return fmt::format("cuBLASLt {}, NCCL {} (not needed)",
                     libraries.cublaslt.value_or("not found"),
                     libraries.nccl.value_or("not found"));
}

}  // namespace

std::string doctor_report(const Inventory& inventory) {
  std::string out = line("tutti", inventory.tutti_version.value_or(""));
  out += line("machine", host_of(inventory.host));
  out += line("driver", driver_of(inventory.driver));
  out += line("GPUs",
              inventory.gpus.empty()
                  ? "none; models run on the CPU"
                  : fmt::format("{}, of which CUDA shows {}",
                                inventory.gpus.size(),
                                inventory.counts.cuda ? std::to_string(*inventory.counts.cuda)
                                                      : std::string("an unknown number")));
  for (const Gpu& gpu : inventory.gpus) {
    out += gpu_line(gpu);
  }
  out += line("links", links_of(inventory));
  out += inventory.gpus.empty() ? "" : line("libraries", libraries_of(inventory.libraries));
  if (inventory.shm.size_bytes) {
    out += line(
        "/dev/shm",
        fmt::format("{}{}",
                    format_bytes(*inventory.shm.size_bytes),
                    inventory.shm.stale.empty()
                        ? ""
                        : fmt::format("; {} left-over files of NCCL", inventory.shm.stale.size())));
  }
  // Where the bus shows no GPU and no driver is installed, that neither tells anything is no news.
  const bool none = inventory.counts.pci == 0 && !inventory.driver.version &&
                    inventory.driver.nvml_error.value_or("").find("cannot open shared object") !=
                        std::string::npos;
  for (const InventoryError& error : inventory.errors) {
    if (none && (error.source == "nvml" || error.source == "cuda")) {
      continue;
    }
    out += line("not known", fmt::format("{}: {}", error.source, error.text));
  }
  return out;
}

}  // namespace tutti
