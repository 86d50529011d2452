#include "inventory/visible_gpus.h"

#include <algorithm>

#include "base/ascii.h"
#include "inventory/system.h"

namespace tutti {

namespace {

bool begins(const std::optional<std::string>& uuid, std::string_view name) {
  return uuid && to_lower(*uuid).starts_with(to_lower(name));
}

// GPUs that CUDA could show: not those that NVML does not reach.
std::vector<size_t> usable(const std::vector<Gpu>& gpus) {
  std::vector<size_t> out;
  for (size_t i = 0; i < gpus.size(); ++i) {
    if (gpus[i].nvml_index && gpus[i].uuid) {
      out.push_back(i);
    }
  }
  return out;
}

// Indices of whole GPUs before the mask; none if CUDA's order cannot be known.
std::optional<std::vector<GpuRef>> natural_order(const std::vector<Gpu>& gpus, bool by_bus) {
  std::vector<GpuRef> order;
  const std::vector<size_t> all = usable(gpus);
  for (const size_t i : all) {
    // With parts, which of them CUDA shows first depends on more than NVML tells.
    if (gpus[i].mig.value_or(false) || (!by_bus && gpus[i].name != gpus[all.front()].name)) {
      return std::nullopt;
    }
    order.push_back({.gpu = i});
  }
  std::stable_sort(order.begin(), order.end(), [&](const GpuRef& a, const GpuRef& b) {
    return gpus[a.gpu].pci.value_or("") < gpus[b.gpu].pci.value_or("");
  });
  return order;
}

// Those that a UUID, perhaps cut short, or a name of a part means.
std::vector<GpuRef> named(std::string_view name, const std::vector<Gpu>& gpus) {
  std::vector<GpuRef> hits;
  const std::string wanted = to_lower(name);
  const std::vector<std::string_view> parts = split(wanted, '/');
  for (const size_t i : usable(gpus)) {
    if (wanted.starts_with("gpu-") && begins(gpus[i].uuid, wanted)) {
      hits.push_back({.gpu = i});
    }
    for (size_t m = 0; m < gpus[i].mig_devices.size(); ++m) {
      const MigDevice& mig = gpus[i].mig_devices[m];
      const bool older_name = parts.size() == 3 && parts[0].starts_with("mig-gpu-") &&
                              to_lower(*gpus[i].uuid) == parts[0].substr(4) && mig.gpu_instance &&
                              mig.gpu_instance == to_int(parts[1]) &&
                              mig.compute_instance == to_int(parts[2]);
      if (wanted.starts_with("mig-") && (older_name || begins(mig.uuid, wanted))) {
        hits.push_back({.gpu = i, .mig = m});
      }
    }
  }
  return hits;
}

}  // namespace

VisibleGpus resolve_visible(const std::optional<std::string>& mask,
                            bool by_bus,
                            const std::vector<Gpu>& gpus) {
  const std::optional<std::vector<GpuRef>> natural = natural_order(gpus, by_bus);
  if (!mask) {
    return {.order = natural};
  }
  VisibleGpus out{.order = std::vector<GpuRef>()};
  const auto stop = [&](std::string_view entry, const std::string& what) {
    out.problem = fmt::format(
        "CUDA_VISIBLE_DEVICES=\"{}\": \"{}\" {}; CUDA shows only what stands "
        "before it ({} GPUs)",
        *mask,
        entry,
        what,
        out.order ? std::to_string(out.order->size()) : "unknown");
  };
  if (trim(*mask).empty()) {
    out.problem = "CUDA_VISIBLE_DEVICES=\"\" hides every GPU; unset it to use them";
    return out;
  }
  for (std::string_view entry : split(*mask, ',')) {
    entry = trim(entry);
    std::vector<GpuRef> hits;
    if (const std::optional<int64_t> index = to_int(entry)) {
      if (!natural && *index >= 0) {
        out.order.reset();
        return out;  // no problem of the variable
      }
      if (*index >= 0 && std::cmp_less(*index, natural->size())) {
        hits.push_back((*natural)[static_cast<size_t>(*index)]);
      }
    } else {
      hits = named(entry, gpus);
    }
    if (hits.size() != 1) {
      stop(entry, hits.empty() ? "names no GPU here" : "is the beginning of several UUIDs");
      return out;
    }
    if (std::find(out.order->begin(), out.order->end(), hits.front()) != out.order->end()) {
      stop(entry, "names a GPU a second time");
      return out;
    }
    out.order->push_back(hits.front());
  }
  return out;
}

void add_visible_indices(const std::map<std::string, std::string>& environment,
                         Inventory& inventory) {
  const auto variable = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  if (usable(inventory.gpus).empty()) {
    return;
  }
  const VisibleGpus visible = resolve_visible(variable("CUDA_VISIBLE_DEVICES"),
                                              variable("CUDA_DEVICE_ORDER") == "PCI_BUS_ID",
                                              inventory.gpus);
  if (!visible.problem.empty()) {
    inventory.add_error("env", visible.problem);
  }
  if (!visible.order) {
    inventory.add_error("cuda",
                        "which index CUDA gives to which GPU is not known without CUDA: GPUs are "
                        "unlike or divided (MIG); CUDA_DEVICE_ORDER=PCI_BUS_ID orders unlike ones");
    return;
  }
  for (size_t i = 0; i < visible.order->size(); ++i) {
    const GpuRef& ref = (*visible.order)[i];
    Gpu& gpu = inventory.gpus[ref.gpu];
    (ref.mig ? gpu.mig_devices[*ref.mig].index : gpu.index) = static_cast<int64_t>(i);
  }
}

}  // namespace tutti
