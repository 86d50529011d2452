#include "inventory/nvml_source.h"

#include <array>

#include "inventory/nvml_gpu.h"
#include "inventory/nvml_links.h"

namespace tutti {

namespace {

constexpr unsigned kMostGpus = 1024;  // a sane answer

void add_versions(const nvml::Functions& f, Inventory& inventory) {
  std::array<char, 128> text{};
  unsigned code = f.driver_version(text.data(), static_cast<unsigned>(text.size() - 1));
  if (code == nvml::kSuccess) {
    inventory.driver.version = text.data();
  } else {
    inventory.add_error("nvml", fmt::format("{}: {}", f.driver_version.name, nvml_text(code)));
  }
  int cuda = 0;  // 13000 for 13.0
  code = f.cuda_version(&cuda);
  if (code == nvml::kSuccess) {
    inventory.driver.cuda = fmt::format("{}.{}", cuda / 1000, cuda % 1000 / 10);
  } else {
    inventory.add_error("nvml", fmt::format("{}: {}", f.cuda_version.name, nvml_text(code)));
  }
  nvml::ConfidentialState confidential{};
  if (f.confidential(&confidential) == nvml::kSuccess) {
    inventory.driver.confidential = confidential.feature == 1;
  }
}

}  // namespace

std::vector<std::string> nvml_names() {
  return {"libnvidia-ml.so.1",
          "/usr/lib/wsl/lib/libnvidia-ml.so.1",
          "/usr/local/nvidia/lib64/libnvidia-ml.so.1"};
}

void add_nvml_facts(const std::vector<std::string>& names, Inventory& inventory) {
  const Result<std::unique_ptr<NvmlLibrary>> library = NvmlLibrary::open(names);
  if (!library.ok()) {
    inventory.driver.nvml_error = library.status().message();
    inventory.add_error("nvml", library.status().message());
    return;
  }
  const nvml::Functions& f = (*library)->functions();
  add_versions(f, inventory);
  unsigned count = 0;
  const unsigned code = f.count(&count);
  if (code != nvml::kSuccess || count > kMostGpus) {
    inventory.driver.nvml_error =
        fmt::format("{}: {}",
                    f.count.name,
                    code != nvml::kSuccess ? nvml_text(code) : fmt::format("got {} GPUs", count));
    inventory.add_error("nvml", *inventory.driver.nvml_error);
    return;
  }
  inventory.counts.nvml = count;
  NvmlErrors errors;
  std::vector<NvmlDevice> devices;
  for (unsigned i = 0; i < count; ++i) {
    nvml::Device device = nullptr;
    const unsigned found = f.handle(i, &device);
    if (found == nvml::kSuccess) {
      inventory.gpus.push_back(read_gpu(f, device, i, errors));
      devices.push_back({.device = device, .index = i, .pci = inventory.gpus.back().pci});
    } else {
      errors.note(f.handle.name, found, i);
      inventory.gpus.emplace_back().nvml_index = i;
    }
  }
  inventory.links = read_links(f, devices, errors);
  errors.move_to(inventory);
}

}  // namespace tutti
