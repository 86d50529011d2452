#include "inventory/nvml_gpu.h"

#include <array>
#include <bit>
#include <utility>
#include <vector>

namespace tutti {

namespace {

constexpr unsigned kUncorrected = 1;
constexpr unsigned kSinceLoaded = 0;  // "volatile"
constexpr int64_t kMostProcesses = 4096;

template <size_t n>
std::string word(const std::array<const char*, n>& words, unsigned value) {
  return value < n ? words[value] : fmt::format("unknown_{}", value);
}

// All ones stand for "not known".
Bytes bytes(unsigned long long value) {
  constexpr unsigned long long kMost = 1ULL << 56U;  // what an inventory file may hold
  return value <= kMost ? Bytes(static_cast<int64_t>(value)) : std::nullopt;
}

// One GPU, or a part of one.
class GpuReader {
 public:
  GpuReader(const nvml::Functions& functions,
            nvml::Device device,
            int64_t index,
            NvmlErrors& errors)
      : f_(functions), index_(index), errors_(errors), q_(device, index, errors) {}

  void identity(Gpu& gpu) {
    gpu.uuid = q_.text(f_.uuid);
    gpu.name = q_.text(f_.name);
    nvml::PciInfo pci{};
    if (q_.ok(f_.pci, &pci)) {
      gpu.pci = pci_address(pci);
    }
    int major = 0;
    int minor = 0;
    if (q_.ok(f_.capability, &major, &minor)) {
      gpu.compute_capability = fmt::format("{}.{}", major, minor);
      const int64_t per_sm = cores_per_sm(major, minor);
      const std::optional<int64_t> cores = q_.number(f_.cores);
      gpu.sms = cores && per_sm > 0 ? std::optional(*cores / per_sm) : std::nullopt;
    }
  }

  void memory(Bytes& total, Bytes& used) {
    nvml::MemoryV2 v2{.version = nvml::versioned<nvml::MemoryV2>(2)};
    nvml::MemoryV1 v1{};
    if (q_.code(f_.memory_v2, &v2) == nvml::kSuccess) {
      total = bytes(v2.total);
      used = bytes(v2.total - std::min(v2.free, v2.total));
    } else if (q_.ok(f_.memory_v1, &v1)) {
      total = bytes(v1.total);
      used = bytes(v1.total - std::min(v1.free, v1.total));
    }
  }

  std::optional<std::vector<GpuProcess>> processes() {
    return f_.processes_v3.call != nullptr ? processes_by<nvml::ProcessV3>(f_.processes_v3)
                                           : processes_by<nvml::ProcessV1>(f_.processes_v1);
  }

  void mig(Gpu& gpu) {
    unsigned now = 0;
    unsigned next = 0;
    const unsigned code = q_.code(f_.mig_mode, &now, &next);
    if (code == nvml::kNotSupported) {
      gpu.mig = false;  // it cannot be divided
    } else if (q_.ok_code(f_.mig_mode, code)) {
      gpu.mig = now == 1;
      gpu.mig_pending = now != next;
    }
    if (!gpu.mig.value_or(false)) {
      return;
    }
    const int64_t most = q_.number(f_.mig_count).value_or(0);
    for (int64_t i = 0; i < most; ++i) {
      nvml::Device part = nullptr;
      const unsigned found = q_.code(f_.mig_handle, static_cast<unsigned>(i), &part);
      if (found == nvml::kNotFound) {
        continue;  // no part in this place
      }
      if (!q_.ok_code(f_.mig_handle, found)) {
        return;
      }
      GpuReader reader(f_, part, index_, errors_);
      MigDevice mig;
      mig.uuid = reader.q_.text(f_.uuid);
      mig.name = reader.q_.text(f_.name);
      mig.gpu_instance = reader.q_.number(f_.gpu_instance);
      mig.compute_instance = reader.q_.number(f_.compute_instance);
      reader.memory(mig.memory_total_bytes, mig.memory_used_bytes);
      gpu.mig_devices.push_back(std::move(mig));
    }
  }

  void health(Gpu& gpu) {
    constexpr std::array kModes{"default", "exclusive_thread", "prohibited", "exclusive_process"};
    unsigned mode = 0;
    if (q_.ok(f_.compute_mode, &mode)) {
      gpu.compute_mode = word(kModes, mode);
    }
    unsigned long long errors = 0;
    if (q_.ok(f_.ecc_errors, kUncorrected, kSinceLoaded, &errors)) {
      gpu.ecc.uncorrected = bytes(errors);
    }
    unsigned corrected = 0;
    unsigned uncorrected = 0;
    unsigned pending = 0;
    unsigned failed = 0;
    if (q_.ok(f_.remapped_rows, &corrected, &uncorrected, &pending, &failed)) {
      gpu.remapped = {.pending = pending != 0, .failed = failed != 0};
    }
    if (const std::optional<int64_t> pages = quiet(f_.retired_pending)) {
      gpu.ecc.retired_pending = *pages != 0;
    }
    if (const std::optional<int64_t> awake = quiet(f_.persistence)) {
      gpu.persistence = *awake != 0;
    }
    gpu.temperature_celsius = quiet(f_.temperature, 0U);
    constexpr std::array kActions{
        "none", "gpu_reset", "node_reboot", "drain_p2p", "drain_and_reset"};
    nvml::FieldValue action{.field = nvml::kFieldRecoveryAction};
    if (q_.ok(f_.field_values, 1, &action)) {
      if (q_.ok_code(nvml::Number{.name = "nvmlDeviceGetFieldValues of the recovery action"},
                     action.result)) {
        gpu.recovery_action = word(kActions, action.value.as_unsigned);
      }
    }
  }

  void clocks_and_power(Gpu& gpu) {
    unsigned long long bits = 0;
    if (q_.ok(f_.clock_reasons, &bits)) {
      constexpr std::array kReasons{"idle",
                                    "applications_clocks",
                                    "sw_power_cap",
                                    "hw_slowdown",
                                    "sync_boost",
                                    "sw_thermal",
                                    "hw_thermal",
                                    "hw_power_brake",
                                    "display_clocks"};
      gpu.clock_reasons.emplace();
      for (unsigned i = 0; i < 64; ++i) {
        if ((bits >> i & 1U) != 0) {
          gpu.clock_reasons->push_back(word(kReasons, i));
        }
      }
    }
    gpu.power_watts = watts(f_.power);
    gpu.power_limit_watts = watts(f_.power_limit);
    gpu.power_limit_default_watts = watts(f_.power_default);
  }

  void bus(Gpu& gpu) {
    gpu.pcie = {.gen = q_.number(f_.pcie_gen),
                .gen_max = q_.number(f_.pcie_gen_max),
                .width = q_.number(f_.pcie_width),
                .width_max = q_.number(f_.pcie_width_max),
                .replays = quiet(f_.pcie_replays)};
    nvml::Bar1Memory bar1{};
    if (q_.ok(f_.bar1, &bar1)) {
      gpu.bar1_bytes = bytes(bar1.total);
    }
    // The node nearest to the GPU. sysfs, which virtual machines often leave at "unknown", is asked
    // besides, so that a refusal here is no loss by itself.
    std::array<unsigned long, 16> nodes{};
    if (q_.code(f_.memory_affinity, static_cast<unsigned>(nodes.size()), nodes.data(), 0U) ==
        nvml::kSuccess) {
      gpu.numa_node = only_bit(nodes);
    }
  }

  void fabric(Gpu& gpu) {
    constexpr std::array kStates{"not_supported", "not_started", "in_progress", "completed"};
    nvml::FabricV2 v2{.version = nvml::versioned<nvml::FabricV2>(2)};
    nvml::FabricV1 v1{};
    unsigned state = 0;
    unsigned status = 0;
    unsigned health = 0;
    const unsigned char* cluster = nullptr;
    unsigned clique = 0;
    if (const unsigned code = q_.code(f_.fabric_v2, &v2); code == nvml::kSuccess) {
      state = v2.state;
      status = v2.status;
      health = v2.health;
      cluster = v2.cluster;
      clique = v2.clique;
    } else if (f_.fabric_v1.call == nullptr) {
      q_.ok_code(f_.fabric_v2, code);
      return;
    } else if (q_.ok(f_.fabric_v1, &v1)) {
      state = v1.state;
      status = v1.status;
      cluster = v1.cluster;
      clique = v1.clique;
    } else {
      return;
    }
    if (state < kStates.size()) {
      gpu.fabric.state = kStates[state];
    }
    if (state == 3) {
      gpu.fabric.health = status != nvml::kSuccess ? std::optional("failed: " + nvml_text(status))
                                                   : health_words(health);
      gpu.fabric.cluster.emplace();
      for (unsigned i = 0; i < 16; ++i) {
        *gpu.fabric.cluster += fmt::format("{:02x}", cluster[i]);
      }
      gpu.fabric.clique = clique;
    }
  }

  void nvlink(Gpu& gpu) {
    constexpr unsigned kReplays = 0;
    constexpr unsigned kRecoveries = 1;
    NvlinkFacts links;
    for (unsigned link = 0; link < nvml::kMaxNvLinks; ++link) {
      unsigned active = 0;
      if (q_.code(f_.nvlink_state, link, &active) != nvml::kSuccess) {
        break;  // it has no more
      }
      std::optional<int64_t>& count = active != 0 ? links.active : links.inactive;
      count = count.value_or(0) + 1;
      for (const unsigned counter : {kReplays, kRecoveries}) {
        unsigned long long errors = 0;
        if (active != 0 && q_.code(f_.nvlink_errors, link, counter, &errors) == nvml::kSuccess) {
          links.errors = links.errors.value_or(0) + bytes(errors).value_or(0);
        }
      }
    }
    if (links.active || links.inactive) {
      links.active = links.active.value_or(0);
      links.inactive = links.inactive.value_or(0);
    }
    gpu.nvlink = links;
  }

 private:
  // What many GPUs and older drivers do not tell, without a note of it.
  template <class Function, class... Args>
  std::optional<int64_t> quiet(const Function& function, Args... args) {
    unsigned value = 0;
    return q_.code(function, args..., &value) == nvml::kSuccess && value != UINT32_MAX
               ? std::optional<int64_t>(value)
               : std::nullopt;
  }

  // Of each compute capability; 0 for those to come.
  static int64_t cores_per_sm(int major, int minor) {
    switch (major) {
      case 7:
        return 64;
      case 8:
        return minor == 0 ? 64 : 128;
      case 9:
      case 10:
      case 11:
      case 12:
        return 128;
      default:
        return 0;
    }
  }

  template <class Process, class Function>
  std::optional<std::vector<GpuProcess>> processes_by(const Function& function) {
    std::vector<Process> list(64);
    unsigned count = 0;
    unsigned code = 0;
    do {  // there may be more of them each time
      count = static_cast<unsigned>(list.size());
      code = q_.code(function, &count, list.data());
      if (code == nvml::kInsufficientSize) {
        list.resize(2 * std::max<size_t>(list.size(), count));
      }
    } while (code == nvml::kInsufficientSize && std::cmp_less(list.size(), kMostProcesses));
    if (!q_.ok_code(function, code)) {
      return std::nullopt;
    }
    std::vector<GpuProcess> out;
    for (size_t i = 0; i < std::min<size_t>(count, list.size()); ++i) {
      out.push_back({.name = program_of(list[i].pid), .bytes = bytes(list[i].bytes)});
    }
    return out;
  }

  // The program's file name: directories name users, arguments may hold secrets. Empty for a
  // process of another container.
  std::optional<std::string> program_of(unsigned pid) {
    std::array<char, 1024> buffer{};
    const unsigned code =
        f_.process_name(pid, buffer.data(), static_cast<unsigned>(buffer.size() - 1));
    if (code != nvml::kSuccess) {
      errors_.note(f_.process_name.name, code, index_);
      return std::nullopt;
    }
    std::string name(buffer.data());
    name.resize(std::min(name.size(), name.find(' ')));
    return name.substr(name.rfind('/') + 1);
  }

  std::optional<double> watts(const nvml::Number& function) {
    const std::optional<int64_t> milliwatts = q_.number(function);
    return milliwatts ? std::optional(static_cast<double>(*milliwatts) / 1000) : std::nullopt;
  }

  template <size_t n>
  static std::optional<int64_t> only_bit(const std::array<unsigned long, n>& words) {
    std::optional<int64_t> bit;
    for (size_t i = 0; i < n; ++i) {
      if (words[i] != 0) {
        if (bit || !std::has_single_bit(words[i])) {
          return std::nullopt;
        }
        bit = static_cast<int64_t>(64 * i) + std::countr_zero(words[i]);
      }
    }
    return bit;
  }

  // Two bits a condition: 0 not known, 1 it holds, 2 it does not; last four bits of a
  // configuration: 0 not known, 1 right, more: which mistake.
  static std::optional<std::string> health_words(unsigned mask) {
    constexpr std::array kConditions{
        "degraded_bandwidth", "route_recovery", "route_unhealthy", "access_timeout_recovery"};
    std::vector<std::string> wrong;
    for (unsigned i = 0; i < kConditions.size(); ++i) {
      if ((mask >> (2 * i) & 3U) == 1) {
        wrong.emplace_back(kConditions[i]);
      }
    }
    if ((mask >> 8U & 15U) > 1) {
      wrong.emplace_back("incorrect_configuration");
    }
    if (wrong.empty()) {
      return mask == 0 ? std::nullopt : std::optional<std::string>("healthy");
    }
    return fmt::format("{}", fmt::join(wrong, ","));
  }

  const nvml::Functions& f_;
  int64_t index_;
  NvmlErrors& errors_;
  NvmlQuery q_;
};

}  // namespace

Gpu read_gpu(const nvml::Functions& functions,
             nvml::Device device,
             int64_t index,
             NvmlErrors& errors) {
  Gpu gpu;
  gpu.nvml_index = index;
  GpuReader reader(functions, device, index, errors);
  reader.identity(gpu);
  reader.memory(gpu.memory_total_bytes, gpu.memory_used_bytes);
  gpu.processes = reader.processes();
  reader.mig(gpu);
  reader.health(gpu);
  reader.clocks_and_power(gpu);
  reader.bus(gpu);
  reader.fabric(gpu);
  reader.nvlink(gpu);
  return gpu;
}

std::string pci_address(const nvml::PciInfo& pci) {
  // The function is in the text alone, which has a domain of eight digits.
  const std::string_view text(pci.bus_id, strnlen(pci.bus_id, sizeof pci.bus_id));
  const size_t dot = text.rfind('.');
  return fmt::format(
      "{:04x}:{:02x}:{:02x}.{}",
      pci.domain,
      pci.bus,
      pci.device,
      dot != std::string_view::npos && dot + 2 == text.size() ? text.substr(dot + 1) : "0");
}

}  // namespace tutti
