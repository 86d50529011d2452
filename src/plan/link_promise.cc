#include "plan/link_promise.h"

#include <algorithm>
#include <charconv>

namespace tutti {

namespace {

// One NVLink of this generation, one way.
double nvlink_rate(const std::optional<std::string>& capability) {
  const std::string text = capability.value_or("");
  return text.starts_with("10.")  ? 53.125e9   // NVLink 5
         : text.starts_with("9.") ? 26.5625e9  // NVLink 4
                                  : 25e9;      // NVLink 3
}

// One lane of PCIe, what its encoding leaves.
double lane_rate(int64_t generation) {
  constexpr double kRates[] = {0.25e9, 0.5e9, 0.985e9, 1.969e9, 3.938e9, 7.563e9};
  return kRates[static_cast<size_t>(std::clamp<int64_t>(generation, 1, 6) - 1)];
}

std::optional<double> pcie_rate(const Gpu& gpu) {
  // At most, not now: an idle GPU lowers its link.
  return gpu.pcie.gen_max && gpu.pcie.width
             ? std::optional(lane_rate(*gpu.pcie.gen_max) * static_cast<double>(*gpu.pcie.width))
             : std::nullopt;
}

std::optional<double> rate_of(const GpuLink& link, const Gpu& a, const Gpu& b) {
  const std::string kind = link.kind.value_or("");
  if (kind.starts_with("NV")) {
    int count = 0;
    std::from_chars(kind.data() + 2, kind.data() + kind.size(), count);
    return count > 0 ? std::optional(count * nvlink_rate(a.compute_capability)) : std::nullopt;
  }
  const std::optional<double> of_a = pcie_rate(a);
  const std::optional<double> of_b = pcie_rate(b);
  return of_a && of_b ? std::optional(std::min(*of_a, *of_b)) : std::nullopt;
}

}  // namespace

std::optional<double> promised_rate(const Inventory& inventory, const std::vector<int64_t>& gpus) {
  const auto chosen = [&](int64_t nvml_index) -> const Gpu* {
    for (const Gpu& gpu : inventory.gpus) {
      if (gpu.nvml_index == nvml_index && gpu.index &&
          std::find(gpus.begin(), gpus.end(), *gpu.index) != gpus.end()) {
        return &gpu;
      }
    }
    return nullptr;
  };
  std::optional<double> least;
  for (const GpuLink& link : inventory.links) {
    const Gpu* a = chosen(link.a);
    const Gpu* b = chosen(link.b);
    if (a == nullptr || b == nullptr) {
      continue;
    }
    const std::optional<double> rate = rate_of(link, *a, *b);
    if (!rate) {
      return std::nullopt;
    }
    least = least ? std::min(*least, *rate) : *rate;
  }
  return least;
}

}  // namespace tutti
