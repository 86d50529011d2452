#include "inventory/collect.h"

#include <algorithm>
#include <ctime>
#include <iterator>

#include "inventory/driver_facts.h"
#include "inventory/host_facts.h"
#include "inventory/nvml_source.h"
#include "inventory/pci_gpus.h"
#include "inventory/privacy.h"
#include "inventory/visible_gpus.h"

namespace tutti {

namespace {

std::string utc(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, length};
}

template <class T>
void fill(std::optional<T>& fact, const std::optional<T>& other) {
  fact = fact ? fact : other;
}

void fill_from_pci(Gpu& gpu, const PciGpu& pci) {
  gpu.pci = pci.address;
  fill(gpu.pcie.gen, pci.link.gen);
  fill(gpu.pcie.gen_max, pci.link.gen_max);
  fill(gpu.pcie.width, pci.link.width);
  fill(gpu.pcie.width_max, pci.link.width_max);
  fill(gpu.numa_node, pci.numa_node);
}

void take_nvml_facts(const Inventory& nvml, Inventory& inventory) {
  inventory.driver.version = nvml.driver.version ? nvml.driver.version : inventory.driver.version;
  inventory.driver.cuda = nvml.driver.cuda;
  inventory.driver.nvml_error = nvml.driver.nvml_error;
  inventory.driver.confidential = nvml.driver.confidential;
  inventory.counts.nvml = nvml.counts.nvml;
  inventory.gpus = nvml.gpus;
  inventory.links = nvml.links;
  inventory.errors.insert(inventory.errors.end(), nvml.errors.begin(), nvml.errors.end());
}

// Facts of sysfs to the GPUs of NVML; those that NVML does not know become GPUs of their own.
void add_pci_facts(const System& system, Inventory& inventory) {
  const std::optional<std::vector<PciGpu>> found = pci_gpus(system);
  if (!found) {
    inventory.add_error("pci", "/sys/bus/pci/devices is not there");
    return;
  }
  inventory.counts.pci = static_cast<int64_t>(found->size());
  std::vector<PciGpu> unknown;
  for (const PciGpu& pci : *found) {
    const auto gpu = std::find_if(inventory.gpus.begin(), inventory.gpus.end(), [&](const Gpu& g) {
      return g.pci == pci.address;
    });
    if (gpu != inventory.gpus.end()) {
      fill_from_pci(*gpu, pci);
    } else {
      unknown.push_back(pci);
    }
  }
  // GPUs that NVML counts but does not reach. Both orders are that of the bus: if there are as many
  // of each, they are the same.
  std::vector<Gpu*> unreached;
  for (Gpu& gpu : inventory.gpus) {
    if (!gpu.pci) {
      unreached.push_back(&gpu);
    }
  }
  if (unreached.size() == unknown.size()) {
    for (size_t i = 0; i < unknown.size(); ++i) {
      fill_from_pci(*unreached[i], unknown[i]);
    }
    return;
  }
  for (const PciGpu& pci : unknown) {
    fill_from_pci(inventory.gpus.emplace_back(), pci);
  }
}

// The GPU, or the part of one, that CUDA's `seen` is.
std::optional<int64_t>* index_of(const Gpu& seen, Inventory& inventory) {
  for (Gpu& gpu : inventory.gpus) {
    for (MigDevice& part : gpu.mig_devices) {
      if (part.uuid && part.uuid == seen.uuid) {
        return &part.index;
      }
    }
    // NVML may be missing; then the address tells, of a whole GPU.
    const bool whole = !seen.uuid || !seen.uuid->starts_with("MIG-");
    if (whole && (gpu.uuid ? gpu.uuid == seen.uuid : gpu.pci && gpu.pci == seen.pci)) {
      gpu.compute_capability = seen.compute_capability;
      gpu.sms = seen.sms;
      fill(gpu.uuid, seen.uuid);
      fill(gpu.name, seen.name);
      fill(gpu.memory_total_bytes, seen.memory_total_bytes);
      return &gpu.index;
    }
  }
  return nullptr;
}

// CUDA's own word on indices, and what NVML tells less surely.
void add_cuda_facts(const CollectOptions& options, Inventory& inventory) {
  Inventory by_mask = inventory;
  by_mask.errors.clear();
  add_visible_indices(options.system.environment, by_mask);
  const std::vector<InventoryError> problems = std::move(by_mask.errors);
  if (!options.cuda) {
    inventory.add_error("cuda",
                        options.cuda_error.empty() ? "CUDA was not asked" : options.cuda_error);
    inventory.gpus = std::move(by_mask.gpus);
    inventory.errors.insert(inventory.errors.end(), problems.begin(), problems.end());
    return;
  }
  inventory.counts.cuda = static_cast<int64_t>(options.cuda->size());
  for (const Gpu& seen : *options.cuda) {
    if (std::optional<int64_t>* index = index_of(seen, inventory)) {
      *index = seen.index;
    } else {
      inventory.gpus.push_back(seen);
    }
  }
  // A list that CUDA has cut short is worth a word all the same.
  std::copy_if(problems.begin(),
               problems.end(),
               std::back_inserter(inventory.errors),
               [](const InventoryError& error) { return error.source == "env"; });
}

}  // namespace

Inventory collect_inventory(const CollectOptions& options) {
  Inventory inventory;
  inventory.taken_at = utc(options.now);
  inventory.tutti_version = options.version;
  inventory.counts.last_good = options.last_good;
  inventory.env = public_environment(options.system);
  add_host_facts(options.system, inventory);
  add_kernel_driver(options.system, inventory);
  add_driver_surroundings(options.system, inventory);
  if (options.nvml) {
    take_nvml_facts(*options.nvml, inventory);
  } else {
    add_nvml_facts(options.libraries.nvml, inventory);
  }
  add_pci_facts(options.system, inventory);
  add_cuda_facts(options, inventory);
  add_library_versions(options.libraries, inventory);
  Scrubber(options.system).scrub(inventory);
  return inventory;
}

}  // namespace tutti
