#include "plan/gpu_models.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

#include <fmt/ranges.h>

namespace tutti {

namespace {

constexpr double kTera = 1e12;

// Data sheets of NVIDIA; memory as nvidia-smi shows it.
constexpr std::array kModels{
    GpuModel{"B200", "B200", 183359, 8.0 * kTera, 2250 * kTera, 4500 * kTera, 100, 148, true},
    GpuModel{"H200", "H200", 143771, 4.8 * kTera, 989 * kTera, 1979 * kTera, 90, 132, true},
    GpuModel{"H200-NVL", "H200 NVL", 143771, 4.8 * kTera, 836 * kTera, 1671 * kTera, 90, 132, true},
    GpuModel{"H100-80GB",
             "H100 80GB HBM3",
             81559,
             3.35 * kTera,
             989 * kTera,
             1979 * kTera,
             90,
             132,
             true},
    GpuModel{
        "H100-PCIe", "H100 PCIe", 81559, 2.0 * kTera, 756 * kTera, 1513 * kTera, 90, 114, false},
    GpuModel{"H100-NVL", "H100 NVL", 95830, 3.9 * kTera, 836 * kTera, 1671 * kTera, 90, 132, false},
    GpuModel{
        "GH200-96GB", "GH200 480GB", 97871, 4.0 * kTera, 989 * kTera, 1979 * kTera, 90, 132, true},
    GpuModel{"H800", "H800", 81559, 3.35 * kTera, 989 * kTera, 1979 * kTera, 90, 132, true},
    GpuModel{"H20", "H20", 97871, 4.0 * kTera, 148 * kTera, 296 * kTera, 90, 78, true},
    GpuModel{"A100-80GB", "A100-SXM4-80GB", 81920, 2.039 * kTera, 312 * kTera, 0, 80, 108, true},
    GpuModel{"A100-40GB", "A100-SXM4-40GB", 40960, 1.555 * kTera, 312 * kTera, 0, 80, 108, true},
    GpuModel{
        "A100-80GB-PCIe", "A100 80GB PCIe", 81920, 1.935 * kTera, 312 * kTera, 0, 80, 108, false},
    GpuModel{
        "A100-40GB-PCIe", "A100-PCIE-40GB", 40960, 1.555 * kTera, 312 * kTera, 0, 80, 108, false},
    GpuModel{"A800-80GB", "A800-SXM4-80GB", 81920, 2.039 * kTera, 312 * kTera, 0, 80, 108, true},
    GpuModel{"L40S", "L40S", 46068, 0.864 * kTera, 362 * kTera, 733 * kTera, 89, 142, false},
    GpuModel{"L40", "L40", 46068, 0.864 * kTera, 181 * kTera, 362 * kTera, 89, 142, false},
    GpuModel{"L20", "L20", 46068, 0.864 * kTera, 119.5 * kTera, 239 * kTera, 89, 92, false},
    GpuModel{"L4", "L4", 23034, 0.3 * kTera, 121 * kTera, 242 * kTera, 89, 58, false},
    GpuModel{"A40", "A40", 46068, 0.696 * kTera, 149.7 * kTera, 0, 86, 84, false},
    GpuModel{"A30", "A30", 24576, 0.933 * kTera, 165 * kTera, 0, 80, 56, false},
    GpuModel{"A10", "A10", 23028, 0.6 * kTera, 125 * kTera, 0, 86, 72, false},
    GpuModel{"A6000", "RTX A6000", 49140, 0.768 * kTera, 154.8 * kTera, 0, 86, 84, false},
    GpuModel{"6000-Ada",
             "RTX 6000 Ada Generation",
             49140,
             0.96 * kTera,
             364 * kTera,
             728 * kTera,
             89,
             142,
             false},
    GpuModel{"5090",
             "GeForce RTX 5090",
             32607,
             1.792 * kTera,
             209.5 * kTera,
             419 * kTera,
             120,
             170,
             false},
    GpuModel{"4090",
             "GeForce RTX 4090",
             24564,
             1.008 * kTera,
             165.2 * kTera,
             330.3 * kTera,
             89,
             128,
             false},
    GpuModel{"3090", "GeForce RTX 3090", 24576, 0.936 * kTera, 71 * kTera, 0, 86, 82, false},
    GpuModel{
        "GB10", "GB10", 122504, 0.273 * kTera, 62.5 * kTera, 125 * kTera, 121, 48, false, true},
    GpuModel{"V100-32GB", "V100-SXM2-32GB", 32768, 0.9 * kTera, 0, 0, 70, 80, true},
    GpuModel{"T4", "T4", 15360, 0.32 * kTera, 0, 0, 75, 40, false},
};

// Shorter ways to type the usual form.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kAliases{{
    {"h100", "H100-80GB"},
    {"h100-sxm", "H100-80GB"},
    {"a100", "A100-80GB"},
    {"a800", "A800-80GB"},
    {"rtx4090", "4090"},
    {"rtx3090", "3090"},
    {"rtx5090", "5090"},
    {"v100", "V100-32GB"},
}};

// Measured on one H200 with this build: bench/results/2026-11-30-two-gpus.md.
constexpr GpuRates kH200{
    .read = 4.256e12, .bf16_flops = 786e12, .fp8_flops = 1270e12, .measured = true};

bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

// "8" -> 8; 0: no number.
int number(std::string_view text) {
  int value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  return end.ec == std::errc() && end.ptr == text.data() + text.size() && value > 0 ? value : 0;
}

void add_gpus(const GpuModel& model, int count, Inventory& inventory) {
  for (int i = 0; i < count; ++i) {
    const auto index = static_cast<int64_t>(inventory.gpus.size());
    Gpu& gpu = inventory.gpus.emplace_back();
    gpu.index = index;
    gpu.nvml_index = index;
    gpu.name = "NVIDIA " + std::string(model.product);
    gpu.compute_capability =
        fmt::format("{}.{}", model.compute_capability / 10, model.compute_capability % 10);
    gpu.sms = model.sms;
    if (model.unified) {
      inventory.host.memory_bytes = model.memory_mib << 20;
    } else {
      gpu.memory_total_bytes = model.memory_mib << 20;
    }
  }
}

}  // namespace

std::span<const GpuModel> gpu_models() {
  return kModels;
}

const GpuModel* find_gpu_model(std::string_view name) {
  for (const auto& [alias, full] : kAliases) {
    if (equal(alias, name)) {
      name = full;
    }
  }
  for (const GpuModel& model : kModels) {
    if (equal(model.name, name)) {
      return &model;
    }
  }
  return nullptr;
}

const GpuModel* match_gpu_model(std::string_view product, Bytes memory_bytes) {
  for (const std::string_view maker : {"NVIDIA ", "Tesla "}) {
    if (product.starts_with(maker)) {
      product.remove_prefix(maker.size());
    }
  }
  const GpuModel* best = nullptr;
  for (const GpuModel& model : kModels) {
    if (equal(product, model.product)) {
      return &model;
    }
    // "A100-SXM4-80GB" of other spellings: the longest name that it begins with.
    const bool begins = product.starts_with(model.product) &&
                        (best == nullptr || model.product.size() > best->product.size());
    const bool fits = !memory_bytes || model.unified ||
                      std::abs(*memory_bytes - (model.memory_mib << 20)) < (int64_t{4} << 30);
    best = begins && fits ? &model : best;
  }
  return best;
}

GpuRates rates_of(const GpuModel* model) {
  if (model == nullptr) {
    model = find_gpu_model("A10");
  }
  if (model->name == "H200") {
    return kH200;
  }
  // The share of its data sheet that the H200 delivers.
  const GpuModel& h200 = *find_gpu_model("H200");
  const double fp8 = model->sheet_fp8_flops > 0
                         ? model->sheet_fp8_flops * kH200.fp8_flops / h200.sheet_fp8_flops
                         : model->sheet_bf16_flops * kH200.bf16_flops / h200.sheet_bf16_flops;
  return {.read = model->sheet_bytes_per_second * kH200.read / h200.sheet_bytes_per_second,
          .bf16_flops = model->sheet_bf16_flops * kH200.bf16_flops / h200.sheet_bf16_flops,
          .fp8_flops = fp8};
}

Result<NamedHardware> parse_hardware(const std::string& text) {
  NamedHardware out;
  const auto wrong = [&text](std::string_view what) {
    return invalid(
        "‹hardware› {}: {}; wanted for example H200, 8xH200, 2x8xH100-80GB (hosts x GPUs) or "
        "2xH100-80GB+2xL4",
        text,
        what);
  };
  constexpr int kMaxGpus = 64;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('+', begin), text.size());
    std::string_view part = std::string_view(text).substr(begin, end - begin);
    std::vector<int> counts;
    for (size_t x = part.find('x'); x != std::string_view::npos; x = part.find('x')) {
      const int count = number(part.substr(0, x));
      if (count == 0) {
        break;
      }
      counts.push_back(count);
      part.remove_prefix(x + 1);
    }
    const GpuModel* model = find_gpu_model(part);
    if (model == nullptr) {
      std::vector<std::string_view> names;
      names.reserve(kModels.size());
      for (const GpuModel& known : kModels) {
        names.push_back(known.name);
      }
      return wrong(fmt::format("no GPU \"{}\" (known are {})", part, fmt::join(names, ", ")));
    }
    if (counts.size() > 2 || (counts.size() == 2 && text.find('+') != std::string::npos)) {
      return wrong("too many counts");
    }
    if (counts.size() == 2) {
      out.nodes = counts.front();
    }
    const int gpus = counts.empty() ? 1 : counts.back();
    if (gpus + static_cast<int>(out.inventory.gpus.size()) > kMaxGpus || out.nodes > kMaxGpus) {
      return wrong(fmt::format("more than {}", kMaxGpus));
    }
    add_gpus(*model, gpus, out.inventory);
    begin = end + 1;
  }
  return out;
}

}  // namespace tutti
