// Is each GPU well, and is it ours?
#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "base/units.h"
#include "doctor/check_words.h"
#include "doctor/xid_table.h"

namespace tutti {

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

Outcome recovery(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::string wanted;
  const GpuSet gpus = gpus_with(m, [&](const Gpu& gpu) {
    const bool wants = gpu.recovery_action.value_or("none") != "none";
    wanted = wants ? *gpu.recovery_action : wanted;
    return wants;
  });
  if (gpus.empty()) {
    return fine("the driver asks for no recovery");
  }
  const char* remedy = wanted == "gpu_reset"     ? "nvidia-smi -r -i GPU, with no program on it"
                       : wanted == "node_reboot" ? "restart the machine"
                       : wanted == "drain_p2p"
                           ? "end programs that use its links, then nvidia-smi -r"
                           : "end all programs on it, then nvidia-smi -r";
  return found(
      Severity::kError,
      fmt::format("{}: the driver asks for {} after a fault", gpus.text(), wanted),
      remedy_for(m,
                 {.bare = remedy,
                  .docker = "on the host: end programs on it and nvidia-smi -r, or restart "
                            "the machine",
                  .kubernetes = "drain the node and restart it"}),
      facts({{"gpus", gpus.json()}, {"recovery_action", wanted}}));
}

Outcome xid(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.driver.xids) {
    return not_known("the kernel's log may not be read here; on the host: dmesg | grep Xid");
  }
  JsonArray events;
  const XidMeaning* worst = nullptr;
  std::string of_worst;
  for (const XidEvent& event : *m.driver.xids) {
    const XidMeaning& meaning = meaning_of_xid(event.code);
    events.push_back(
        Json::object({{"pci", event.pci}, {"code", event.code}, {"text", meaning.what}}));
    if (worst == nullptr || meaning.severity > worst->severity) {
      worst = &meaning;
      of_worst = fmt::format("Xid {} of the GPU at {}: {}", event.code, event.pci, meaning.what);
    }
  }
  if (worst == nullptr) {
    return fine("the driver has logged no error since the machine started");
  }
  return found(
      worst->severity, of_worst, worst->remedy, facts({{"xids", Json(std::move(events))}}));
}

Outcome ecc(const Examined& machine) {
  const GpuSet gpus = gpus_with(machine.inventory,
                                [](const Gpu& gpu) { return gpu.ecc.uncorrected.value_or(0) > 0; });
  if (gpus.empty()) {
    return fine("no uncorrectable memory errors since the driver was loaded");
  }
  return found(
      Severity::kWarning,
      fmt::format("{}: uncorrectable memory errors since the driver was loaded", gpus.text()),
      "nvidia-smi -r -i GPU or a restart puts spare rows in their place; exchange the GPU if "
      "it happens again",
      facts({{"gpus", gpus.json()}}));
}

Outcome remap(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet failed =
      gpus_with(m, [](const Gpu& gpu) { return gpu.remapped.failed.value_or(false); });
  const GpuSet pending = gpus_with(m, [](const Gpu& gpu) {
    return gpu.remapped.pending.value_or(false) || gpu.ecc.retired_pending.value_or(false);
  });
  const JsonObject evidence = facts({{"failed", failed.json()}, {"pending", pending.json()}});
  if (!failed.empty()) {
    return found(Severity::kError,
                 fmt::format("{}: bad rows of memory, and no spare ones are left", failed.text()),
                 "exchange the GPU; leave it out meanwhile",
                 evidence);
  }
  if (!pending.empty()) {
    return found(Severity::kWarning,
                 fmt::format("{}: bad rows of memory wait for a reset", pending.text()),
                 "nvidia-smi -r -i GPU with no program on it, or restart the machine",
                 evidence);
  }
  return fine("no row of memory waits to be replaced");
}

// What programs hold, with their names.
Outcome memory(const Examined& machine) {
  constexpr double kShare = 0.05;  // what the driver itself may hold
  const Inventory& m = machine.inventory;
  std::string who;
  JsonArray programs;
  const GpuSet gpus = gpus_with(m, [&](const Gpu& gpu) {
    if (!gpu.memory_total_bytes || !gpu.memory_used_bytes ||
        static_cast<double>(*gpu.memory_used_bytes) <
            kShare * static_cast<double>(*gpu.memory_total_bytes)) {
      return false;
    }
    for (const GpuProcess& process : gpu.processes.value_or(std::vector<GpuProcess>{})) {
      programs.push_back(Json::object({{"gpu", json_of(gpu.nvml_index)},
                                       {"name", json_of(process.name)},
                                       {"bytes", json_of(process.bytes)}}));
      if (who.empty() && process.bytes) {
        who = fmt::format(" ({}: {})",
                          process.name.value_or("a program of another container"),
                          format_bytes(*process.bytes));
      }
    }
    return true;
  });
  if (gpus.empty()) {
    return fine("nobody else has memory of them");
  }
  return found(Severity::kWarning,
               fmt::format("{}: more than 5 % of the memory is taken{}", gpus.text(), who),
               "end those programs, or let the plan work with what is left",
               facts({{"gpus", gpus.json()}, {"programs", Json(std::move(programs))}}));
}

Outcome orphans(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet gpus = gpus_with(m, [](const Gpu& gpu) {
    if (!gpu.processes || !gpu.memory_used_bytes) {
      return false;
    }
    int64_t known = 0;
    for (const GpuProcess& process : *gpu.processes) {
      if (!process.bytes) {
        return false;
      }
      known += *process.bytes;
    }
    return *gpu.memory_used_bytes - known > kGiB;
  });
  if (gpus.empty()) {
    return fine("all memory in use belongs to programs that are seen");
  }
  return found(
      Severity::kWarning,
      fmt::format("{}: more than 1 GiB is in use that no program seen here holds", gpus.text()),
      remedy_for(
          m,
          {.bare = "nvidia-smi and fuser -v /dev/nvidia* as root show whose it is; nvidia-smi -r "
                   "if it is nobody's",
           .docker = "another container or the host holds it: nvidia-smi on the host shows whose "
                     "it is",
           .kubernetes = "another pod of the node holds it: nvidia-smi on the node shows whose it "
                         "is"}),
      facts({{"gpus", gpus.json()}}));
}

Outcome mig(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet on = gpus_with(m, [](const Gpu& gpu) { return gpu.mig.value_or(false); });
  const GpuSet pending =
      gpus_with(m, [](const Gpu& gpu) { return gpu.mig_pending.value_or(false); });
  const JsonObject evidence = facts({{"divided", on.json()}, {"pending", pending.json()}});
  if (!pending.empty()) {
    return found(Severity::kWarning,
                 fmt::format("{}: MIG mode changes at the next reset", pending.text()),
                 "nvidia-smi -r -i GPU with no program on it",
                 evidence);
  }
  if (!on.empty()) {
    return found(
        Severity::kInfo,
        fmt::format("{} is divided into parts (MIG): a program uses one of them, and parts "
                    "have no peer access",
                    on.text()),
        "nvidia-smi -mig 0 makes it whole; or one server on each part",
        evidence);
  }
  return fine("none is divided (MIG)");
}

Outcome compute_mode(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const auto in_mode = [&](std::string_view mode) {
    return gpus_with(m, [mode](const Gpu& gpu) { return gpu.compute_mode == mode; });
  };
  const GpuSet prohibited = in_mode("prohibited");
  const GpuSet exclusive = in_mode("exclusive_process");
  const JsonObject evidence =
      facts({{"prohibited", prohibited.json()}, {"exclusive", exclusive.json()}});
  if (!prohibited.empty()) {
    return found(Severity::kError,
                 fmt::format("{}: compute mode prohibited", prohibited.text()),
                 "nvidia-smi -c 0 -i GPU",
                 evidence);
  }
  const GpuSet taken = gpus_with(m, [](const Gpu& gpu) {
    return gpu.compute_mode == "exclusive_process" && gpu.processes && !gpu.processes->empty();
  });
  if (!taken.empty()) {
    return found(Severity::kError,
                 fmt::format("{}: compute mode exclusive, and a program is on it", taken.text()),
                 "end that program, or nvidia-smi -c 0 -i GPU",
                 evidence);
  }
  return fine("programs may compute on them", evidence);
}

Outcome throttle(const Examined& machine) {
  constexpr std::array kSlow{"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"};
  const Inventory& m = machine.inventory;
  std::string reason;
  const GpuSet gpus = gpus_with(m, [&](const Gpu& gpu) {
    for (const std::string& word : gpu.clock_reasons.value_or(std::vector<std::string>{})) {
      if (std::find(kSlow.begin(), kSlow.end(), word) != kSlow.end()) {
        reason = word;
        return true;
      }
    }
    return false;
  });
  if (gpus.empty()) {
    return fine("none is slowed down");
  }
  return found(
      Severity::kWarning,
      fmt::format("{} is slowed down: {}. All ranks wait for the slowest", gpus.text(), reason),
      reason.find("thermal") != std::string::npos
          ? "look at fans, filters and air flow; nvidia-smi -q -d TEMPERATURE"
          : "look at power supplies and cables; nvidia-smi -q -d POWER",
      facts({{"gpus", gpus.json()}, {"reason", reason}}));
}

Outcome power_limit(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet gpus = gpus_with(m, [](const Gpu& gpu) {
    return gpu.power_limit_watts && gpu.power_limit_default_watts &&
           *gpu.power_limit_watts < 0.95 * *gpu.power_limit_default_watts;
  });
  if (gpus.empty()) {
    return fine("power limits are the models' own");
  }
  const bool all = gpus.size() == m.gpus.size();
  return found(all ? Severity::kInfo : Severity::kWarning,
               fmt::format("{}: the power limit is below the model's{}",
                           gpus.text(),
                           all ? "" : "; all ranks wait for the slowest"),
               "nvidia-smi -i GPU -pl WATTS, as root, sets it; nvidia-smi -q -d POWER shows both",
               facts({{"gpus", gpus.json()}}));
}

// What is measured of the GPUs of one kind; the middle one of them is the measure.
double median_of(std::vector<double> values) {
  std::nth_element(values.begin(),
                   values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Positions of the GPUs that are more than 5 % below the median of their kind.
std::vector<size_t> slow_ones(const Inventory& m, std::optional<double> Gpu::*rate) {
  std::map<std::string, std::vector<double>> kinds;
  for (const Gpu& gpu : m.gpus) {
    if (gpu.*rate) {
      kinds[gpu.name.value_or("")].push_back(*(gpu.*rate));
    }
  }
  std::vector<size_t> slow;
  for (size_t i = 0; i < m.gpus.size(); ++i) {
    const Gpu& gpu = m.gpus[i];
    if (gpu.*rate && *(gpu.*rate) < 0.95 * median_of(kinds[gpu.name.value_or("")])) {
      slow.push_back(i);
    }
  }
  return slow;
}

Outcome speed(const Examined& machine) {
  const Inventory& m = machine.inventory;
  JsonArray measured;
  for (const Gpu& gpu : m.gpus) {
    if (gpu.read_bytes_per_second || gpu.matmul_flops_per_second) {
      measured.push_back(
          Json::object({{"gpu", json_of(gpu.nvml_index)},
                        {"read_bytes_per_second", json_of(gpu.read_bytes_per_second)},
                        {"matmul_flops_per_second", json_of(gpu.matmul_flops_per_second)}}));
    }
  }
  if (measured.empty()) {
    return not_known("not measured: ‹speed› does");
  }
  const size_t count = measured.size();
  const JsonObject evidence = facts({{"measured", Json(std::move(measured))}});
  GpuSet slow;
  for (const auto rate : {&Gpu::read_bytes_per_second, &Gpu::matmul_flops_per_second}) {
    for (const size_t i : slow_ones(m, rate)) {
      slow.add(m, i);
    }
  }
  if (slow.empty()) {
    return fine(fmt::format("{} GPUs are as fast as others of their kind", count), evidence);
  }
  return found(
      Severity::kWarning,
      fmt::format("{}: more than 5 % slower than others of its kind; all ranks wait for the "
                  "slowest",
                  slow.text()),
      "look at gpu.throttle, gpu.power_limit and gpu.ecc, and for other programs on it; leave "
      "it out if it stays slow",
      evidence);
}

Outcome persistence(const Examined& machine) {
  const GpuSet gpus =
      gpus_with(machine.inventory, [](const Gpu& gpu) { return !gpu.persistence.value_or(true); });
  if (gpus.empty()) {
    return fine("the driver stays awake between programs");
  }
  return found(
      Severity::kInfo,
      fmt::format("{}: the driver sleeps between programs; a start then takes seconds longer",
                  gpus.text()),
      remedy_for(machine.inventory,
                 {.bare = "nvidia-smi -pm 1, or the service nvidia-persistenced",
                  .docker = "on the host: nvidia-smi -pm 1, or nvidia-persistenced",
                  .kubernetes = "on the node: nvidia-smi -pm 1, or nvidia-persistenced"}),
      facts({{"gpus", gpus.json()}}));
}

Outcome mixed(const Examined& machine) {
  const Inventory& m = machine.inventory;
  std::map<std::string, int64_t> kinds;
  for (const Gpu& gpu : m.gpus) {
    ++kinds[fmt::format("{}, {}",
                        gpu.name.value_or("unknown GPU"),
                        gpu.memory_total_bytes ? format_bytes(*gpu.memory_total_bytes)
                                               : std::string("memory unknown"))];
  }
  JsonObject evidence;
  std::string text;
  for (const auto& [kind, count] : kinds) {
    evidence.set(kind, count);
    text += fmt::format("{}{} x {}", text.empty() ? "" : " + ", count, kind);
  }
  if (kinds.size() < 2) {
    return fine("they are alike", evidence);
  }
  return found(
      Severity::kInfo,
      fmt::format("unlike GPUs: {}. Ranks split work evenly, so the smallest and the "
                  "slowest decides",
                  text),
      "tutti plan MODEL shows which of them a model takes, and what one kind alone would do",
      evidence);
}

// "90a": 9.0 alone; "80": 8.0 and what is later of 8.x; "80-virtual" and plain numbers have PTX
// for what comes after.
bool has_code_for(const std::string& list, std::pair<int, int> gpu) {
  size_t at = 0;
  while (at < list.size()) {
    const size_t end = std::min(list.find_first_of(",;", at), list.size());
    const std::string entry = list.substr(at, end - at);
    at = end + 1;
    const int number = std::atoi(entry.c_str());
    const std::pair<int, int> has{number / 10, number % 10};
    const bool exact = entry.find('a') != std::string::npos &&
                       entry.find("real") == std::string::npos &&
                       entry.find("virtual") == std::string::npos;
    const bool real = entry.find("-real") != std::string::npos;
    if (exact ? has == gpu : real ? has.first == gpu.first && has <= gpu : has <= gpu) {
      return true;
    }
  }
  return false;
}

Outcome architecture(const Examined& machine) {
  const Inventory& m = machine.inventory;
  const GpuSet old = gpus_with(m, [](const Gpu& gpu) {
    const auto capability = version_of(gpu.compute_capability);
    return capability && capability->first < 8;
  });
  const JsonObject evidence =
      facts({{"architectures", json_of(m.libraries.architectures)}, {"too_old", old.json()}});
  if (old.size() == m.gpus.size()) {
    return found(Severity::kError,
                 fmt::format("{}: older than compute capability 8.0", old.text()),
                 "tutti needs Ampere or later; the CPU is used with ‹device› cpu",
                 evidence);
  }
  if (m.libraries.architectures) {
    const GpuSet lacking = gpus_with(m, [&](const Gpu& gpu) {
      const auto capability = version_of(gpu.compute_capability);
      return capability && capability->first >= 8 &&
             !has_code_for(*m.libraries.architectures, *capability);
    });
    if (!lacking.empty()) {
      return found(
          Severity::kError,
          fmt::format(
              "{}: this build has code for {} only", lacking.text(), *m.libraries.architectures),
          "build with -DCMAKE_CUDA_ARCHITECTURES of this GPU (9.0: 90a), or take a package "
          "that has it",
          evidence);
    }
  }
  if (!old.empty()) {
    return found(Severity::kInfo,
                 fmt::format("{}: older than compute capability 8.0; left out", old.text()),
                 "",
                 evidence);
  }
  return fine("the program has code for them", evidence);
}

Outcome confidential(const Examined& machine) {
  const Inventory& m = machine.inventory;
  if (!m.driver.confidential.value_or(false)) {
    return fine("confidential computing is off");
  }
  return found(Severity::kInfo,
               "confidential computing is on: copies to and between GPUs are slow",
               "the firmware and the virtual machine decide it; leave it if it is wanted",
               facts({{"confidential", true}}));
}

constexpr auto kChecks = std::to_array<Check>({
    // clang-format off
    {"gpu.recovery", Needs::kGpus, "the driver asks for no reset", "NVML field 230", recovery},
    {"gpu.xid", Needs::kGpus, "the driver has logged no error", "\"NVRM: Xid\" in /dev/kmsg", xid},
    {"gpu.ecc", Needs::kGpus, "memory has no uncorrectable errors", "nvmlDeviceGetTotalEccErrors", ecc},
    {"gpu.remap", Needs::kGpus, "no bad rows of memory wait", "nvmlDeviceGetRemappedRows, retired pages", remap},
    {"gpu.memory", Needs::kGpus, "their memory is free", "nvmlDeviceGetMemoryInfo, running processes", memory},
    {"gpu.orphans", Needs::kGpus, "memory in use has an owner", "used less the sum of processes", orphans},
    {"gpu.mig", Needs::kGpus, "they are whole", "nvmlDeviceGetMigMode", mig},
    {"gpu.compute_mode", Needs::kGpus, "programs may use them", "nvmlDeviceGetComputeMode", compute_mode},
    {"gpu.throttle", Needs::kGpus, "none is slowed down", "nvmlDeviceGetCurrentClocksEventReasons", throttle},
    {"gpu.power_limit", Needs::kGpus, "power limits are the models' own", "nvmlDeviceGetEnforcedPowerLimit", power_limit},
    {"gpu.speed", Needs::kGpus, "they are as fast as others of their kind", "memory reads and bf16 products, measured in a child (`--speed`)", speed},
    {"gpu.persistence", Needs::kGpus, "the driver stays awake", "nvmlDeviceGetPersistenceMode", persistence},
    {"gpu.mixed", Needs::kSeveralGpus, "they are alike", "name and memory of each", mixed},
    {"gpu.architecture", Needs::kGpus, "this build has code for them", "compute capability, list of the build", architecture},
    {"gpu.confidential", Needs::kGpus, "copies are not encrypted", "nvmlSystemGetConfComputeState", confidential},
    // clang-format on
});

}  // namespace

std::span<const Check> gpu_checks() {
  return kChecks;
}

}  // namespace tutti
