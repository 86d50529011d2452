#include "plan/machine.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/checked.h"

namespace tutti {

namespace {

constexpr int kOldestCapability = 80;  // as src/../cuda/gpu_group.cc

// "9.0" -> 90; nullopt: not known.
std::optional<int> capability(const Gpu& gpu) {
  if (!gpu.compute_capability) {
    return std::nullopt;
  }
  const std::string& text = *gpu.compute_capability;
  const size_t dot = text.find('.');
  int major = 0;
  int minor = 0;
  std::from_chars(text.data(), text.data() + std::min(dot, text.size()), major);
  if (dot != std::string::npos) {
    std::from_chars(text.data() + dot + 1, text.data() + text.size(), minor);
  }
  return major * 10 + minor;
}

void bar(PlanGpu& gpu, const char* code, std::string why) {
  if (gpu.barred.empty()) {
    gpu.barred = code;
    gpu.why = std::move(why);
  }
}

void bar_sick(const Gpu& source, PlanGpu& gpu) {
  if (!source.nvml_index && !source.index) {
    bar(gpu, "missing", "only the PCI bus shows it: it has lost its driver, or is off the bus");
  }
  if (source.recovery_action && *source.recovery_action != "none") {
    bar(gpu, "sick", fmt::format("its driver asks for {}", *source.recovery_action));
  }
  if (source.remapped.failed.value_or(false)) {
    bar(gpu, "sick", "rows of its memory are bad and no spare ones are left");
  }
  if (source.compute_mode == "prohibited") {
    bar(gpu, "prohibited", "its compute mode is prohibited; nvidia-smi -c 0 allows programs");
  }
  const std::optional<int> cc = capability(source);
  if (cc && *cc < kOldestCapability) {
    bar(gpu,
        "too_old",
        fmt::format("compute capability {}, tutti needs 8.0 (Ampere) or later",
                    *source.compute_capability));
  }
}

void bar_hidden(const Inventory& inventory, const Gpu& source, PlanGpu& gpu) {
  if (source.index || !gpu.barred.empty()) {
    return;
  }
  const auto mask = inventory.env.find("CUDA_VISIBLE_DEVICES");
  bar(gpu,
      "hidden",
      mask != inventory.env.end() ? fmt::format("CUDA_VISIBLE_DEVICES={} hides it", mask->second)
                                  : "CUDA does not show it to this process");
}

// The programs that hold most, at most two.
std::string holders_of(const Gpu& source) {
  std::vector<GpuProcess> known;
  for (const GpuProcess& process : source.processes.value_or(std::vector<GpuProcess>{})) {
    if (process.bytes) {
      known.push_back(process);
    }
  }
  std::sort(known.begin(), known.end(), [](const GpuProcess& a, const GpuProcess& b) {
    return *a.bytes > *b.bytes;
  });
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(known.size(), 2); ++i) {
    text += (i > 0 ? ", " : "") + fmt::format("{} {:.1f} GB",
                                              known[i].name.value_or("a program out of sight"),
                                              static_cast<double>(*known[i].bytes) / 1e9);
  }
  return text;
}

PlanGpu common(const Gpu& source) {
  PlanGpu gpu;
  gpu.holders = holders_of(source);
  gpu.index = source.index;
  gpu.nvml_index = source.nvml_index;
  gpu.uuid = source.uuid.value_or("");
  gpu.name = source.name.value_or("unknown GPU");
  gpu.model = match_gpu_model(gpu.name, source.memory_total_bytes);
  gpu.rates = rates_of(gpu.model);
  return gpu;
}

class Reader {
 public:
  Reader(const Inventory& inventory, Machine& machine) : inventory_(inventory), machine_(machine) {}

  void read(const Gpu& source) {
    PlanGpu gpu = common(source);
    bar_sick(source, gpu);
    if (source.mig.value_or(false)) {
      bar(gpu, "mig", "it is divided into parts (MIG); a program sees its parts only");
    }
    bar_hidden(inventory_, source, gpu);
    read_memory(source, gpu);
    if (gpu.model == nullptr && gpu.barred.empty()) {
      assume(fmt::format("{} is in no table: its speed is taken as an A10's", gpu.name));
    }
    machine_.gpus.push_back(std::move(gpu));
    for (const MigDevice& part : source.mig_devices) {
      read_part(source, part);
    }
  }

 private:
  void assume(std::string sentence) {
    if (std::find(machine_.assumptions.begin(), machine_.assumptions.end(), sentence) ==
        machine_.assumptions.end()) {
      machine_.assumptions.push_back(std::move(sentence));
    }
  }

  void read_memory(const Gpu& source, PlanGpu& gpu) {
    if (!source.memory_total_bytes) {
      const bool unified = gpu.model != nullptr && gpu.model->unified;
      if (unified && machine_.host_bytes) {
        machine_.unified = true;
        gpu.total_bytes = *machine_.host_bytes;
        gpu.free_bytes = gpu.total_bytes;
        assume(fmt::format("{} shares the host's memory: of it everything is taken as free",
                           gpu.name));
      } else if (gpu.model != nullptr && !unified) {
        gpu.total_bytes = gpu.model->memory_mib << 20;
        gpu.free_bytes = gpu.total_bytes;
        assume(fmt::format("the memory of {} is not known: taken from its data sheet, and as free",
                           gpu.name));
      } else {
        bar(gpu, "unknown", "how much memory it has is not known");
      }
      return;
    }
    gpu.total_bytes = *source.memory_total_bytes;
    if (!source.memory_used_bytes) {
      assume("what other programs have taken of the GPUs is not known: taken as nothing");
    }
    gpu.free_bytes = std::max<int64_t>(0, gpu.total_bytes - source.memory_used_bytes.value_or(0));
  }

  void read_part(const Gpu& whole, const MigDevice& part) {
    PlanGpu gpu = common(whole);
    gpu.index = part.index;
    gpu.uuid = part.uuid.value_or("");
    gpu.name = part.name.value_or(gpu.name + " (a part of it)");
    gpu.total_bytes = part.memory_total_bytes.value_or(0);
    gpu.free_bytes = std::max<int64_t>(0, gpu.total_bytes - part.memory_used_bytes.value_or(0));
    // A part has its share of the memory's lanes and of the multiprocessors.
    const double share =
        whole.memory_total_bytes && *whole.memory_total_bytes > 0
            ? static_cast<double>(gpu.total_bytes) / static_cast<double>(*whole.memory_total_bytes)
            : 1.0;
    gpu.rates.read *= share;
    gpu.rates.bf16_flops *= share;
    gpu.rates.fp8_flops *= share;
    gpu.rates.measured = false;
    bar_sick(whole, gpu);
    if (gpu.total_bytes == 0) {
      bar(gpu, "unknown", "how much memory the part has is not known");
    }
    if (!part.index) {
      bar(gpu, "hidden", "CUDA does not show this part to this process");
    } else if (mig_seen_) {
      bar(gpu, "mig", "a process can use one part of divided GPUs (MIG), not several");
    }
    mig_seen_ = mig_seen_ || gpu.barred.empty();
    machine_.gpus.push_back(std::move(gpu));
  }

  const Inventory& inventory_;
  Machine& machine_;
  bool mig_seen_ = false;
};

// "8 x NVIDIA H200", "2 x NVIDIA H100 80GB HBM3 + NVIDIA L4"
std::string describe(const Inventory& inventory) {
  std::vector<std::pair<std::string, int>> kinds;
  for (const Gpu& gpu : inventory.gpus) {
    const std::string name = gpu.name.value_or("unknown GPU");
    const auto known =
        std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == name; });
    if (known == kinds.end()) {
      kinds.emplace_back(name, 1);
    } else {
      ++known->second;
    }
  }
  std::string text;
  for (const auto& [name, count] : kinds) {
    text += (text.empty() ? "" : " + ") + (count > 1 ? fmt::format("{} x ", count) : "") + name;
  }
  return text.empty() ? "no GPU" : text;
}

}  // namespace

std::vector<size_t> Machine::usable() const {
  std::vector<size_t> out;
  for (size_t i = 0; i < gpus.size(); ++i) {
    if (gpus[i].barred.empty()) {
      out.push_back(i);
    }
  }
  return out;
}

std::vector<size_t> Machine::emptiest_first(std::vector<size_t> of) const {
  std::stable_sort(of.begin(), of.end(), [&](size_t a, size_t b) {
    return gpus[a].free_bytes > gpus[b].free_bytes;
  });
  return of;
}

// Two ranks measured (all_reduce_bench); more ranks by the growth seen with ranks on one GPU. PCIe
// with peer access is an estimate.
LinkRates rates_of(LinkKind link) {
  switch (link) {
    case LinkKind::kNvlink:
      return {.first = 2.1e-6, .per_rank = 0.36e-6, .bytes_per_second = 303e9};
    case LinkKind::kPcie:
      return {.first = 3.5e-6, .per_rank = 0.6e-6, .bytes_per_second = 25e9};
    case LinkKind::kHost:
      return {.first = 5.9e-6, .per_rank = 0.6e-6, .bytes_per_second = 35.5e9};
  }
  return {};
}

LinkRates Machine::link_rates(const std::vector<size_t>& set) const {
  LinkRates rates = rates_of(link(set));
  if (measured_sum.ranks > 1) {
    rates.first = std::max(0.0, measured_sum.seconds - rates.per_rank * measured_sum.ranks);
  }
  return rates;
}

LinkKind Machine::link(const std::vector<size_t>& set) const {
  LinkKind worst = LinkKind::kNvlink;
  for (const size_t a : set) {
    for (const size_t b : set) {
      if (a >= b) {
        continue;
      }
      const auto known = std::find_if(links.begin(), links.end(), [&](const GpuLink& link) {
        return gpus[a].nvml_index && gpus[b].nvml_index &&
               std::minmax(link.a, link.b) == std::minmax(*gpus[a].nvml_index, *gpus[b].nvml_index);
      });
      LinkKind kind = LinkKind::kPcie;
      if (known == links.end() || !known->kind) {
        const bool both = gpus[a].model != nullptr && gpus[b].model != nullptr &&
                          gpus[a].model->nvlink && gpus[a].model == gpus[b].model;
        kind = both ? LinkKind::kNvlink : LinkKind::kPcie;
      } else if (known->kind->starts_with("NV")) {
        kind = LinkKind::kNvlink;
      }
      const bool denied =
          known != links.end() &&
          ((known->p2p.write && *known->p2p.write != "ok") ||
           (known->data_test && (*known->data_test == "fail" || *known->data_test == "hang")));
      worst = std::max(worst, denied ? LinkKind::kHost : kind);
    }
  }
  return worst;
}

Machine machine_of(const Inventory& inventory, int nodes, const std::string& name) {
  Machine machine;
  machine.nodes = nodes;
  machine.name = name.empty() ? describe(inventory) : name;
  machine.links = inventory.links;
  machine.host_bytes = inventory.host.usable_memory_bytes();
  machine.cpus = inventory.host.cpus.value_or(1);
  Reader reader(inventory, machine);
  for (const Gpu& gpu : inventory.gpus) {
    reader.read(gpu);
  }
  const GpuCounts& counts = inventory.counts;
  const int64_t shown = counts.nvml.value_or(ssize(inventory.gpus.size()));
  const int64_t known = std::max(counts.pci.value_or(shown), counts.last_good.value_or(shown));
  if (known > shown) {
    machine.missing = known - shown;
  }
  if (inventory.links.empty() && machine.usable().size() > 1) {
    machine.assumptions.emplace_back(
        "how the GPUs are linked is not known: as they are in the servers that they are sold in");
  }
  return machine;
}

}  // namespace tutti
