// tutti doctor: so far, the inventory of the machine (docs/inventory.md), for people or as a file.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include <sys/prctl.h>

#include "apps/common.h"
#include "apps/doctor_report.h"
#include "apps/machine_inventory.h"
#include "apps/options.h"
#include "backend/cuda_library.h"
#include "inventory/nvml_source.h"

namespace tutti {

namespace {

// The child's part: GPUs by CUDA, as an inventory of nothing else.
Inventory inventory_by_cuda() {
  Inventory inventory;
  const Result<std::vector<CudaGpuInfo>> gpus =
      list_cuda_gpus(default_plugin_paths(), read_environment().visible_devices);
  if (!gpus.ok()) {
    inventory.add_error("cuda", gpus.status().message());
    return inventory;
  }
  inventory.counts.cuda = static_cast<int64_t>(gpus->size());
  for (const CudaGpuInfo& info : *gpus) {
    Gpu& gpu = inventory.gpus.emplace_back();
    gpu.index = info.index;
    gpu.uuid = info.uuid;
    gpu.pci = info.pci;
    gpu.name = info.name;
    gpu.compute_capability =
        fmt::format("{}.{}", info.compute_capability / 10, info.compute_capability % 10);
    gpu.sms = info.multiprocessors;
    gpu.memory_total_bytes = info.memory_bytes;
  }
  return inventory;
}

Inventory inventory_by_nvml() {
  Inventory inventory;
  add_nvml_facts(nvml_names(), inventory);
  return inventory;
}

[[noreturn]] void answer(const std::string& what) {
  // Not to outlive the program that waits for it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Inventory inventory = what == "cuda" ? inventory_by_cuda() : inventory_by_nvml();
  std::printf("%s\n", to_json(inventory).c_str());
  std::fflush(stdout);
  // Without the driver's clean-up, which may hang.
  std::_Exit(0);
}

Status write_text(const std::string& path, const std::string& text) {
  const auto failed = [&] {
    return invalid("--dump {}: cannot write: {}", path, std::generic_category().message(errno));
  };
  if (path == "-") {
    return std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? failed()
                                                                            : ok_status();
  }
  FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) {
    return failed();
  }
  const bool written = std::fputs(text.c_str(), file) >= 0;
  return std::fclose(file) != 0 || !written ? failed() : ok_status();
}

}  // namespace

int doctor_command(const DoctorOptions& options) {
  if (!options.ask.empty()) {
    answer(options.ask);
  }
  if (options.dump.empty()) {
    std::fputs(doctor_report(this_inventory()).c_str(), stdout);
    return 0;
  }
  const Status status = write_text(options.dump, to_json(this_inventory()) + "\n");
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
