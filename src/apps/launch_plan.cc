#include "apps/launch_plan.h"

#include <fmt/ranges.h>

#include "apps/machine_inventory.h"
#include "backend/select.h"
#include "base/log.h"
#include "plan/launch.h"

namespace tutti {

namespace {

// "0,2," or "0,1": a list, also of one.
std::string index_list(const std::vector<int64_t>& gpus) {
  return fmt::format("{}{}", fmt::join(gpus, ","), gpus.size() == 1 ? "," : "");
}

void warn_of(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    log_warn("{}", line);
  }
}

}  // namespace

Result<PlannedFlags> plan_before_loading(const ModelFlags& flags, const ModelLoadOptions& options) {
  PlannedFlags planned{.flags = flags};
  TUTTI_TRY(const DeviceChoice device, parse_device_choice(flags.device));
  if (device == DeviceChoice::kCpu) {
    return planned;
  }
  if (!nvidia_device_present("/")) {
    // A run on the CPU that nobody asked for is never silent where there are GPUs.
    warn_of(gpus_without_driver() ? doctor_lines(this_inventory()) : std::vector<std::string>());
    return planned;
  }
  TUTTI_TRY(const GpuChoice gpus, parse_gpu_choice(flags.gpus));
  TUTTI_TRY(const Catalogue catalogue, Catalogue::load());
  TUTTI_TRY(const ModelFacts model,
            facts_of_directory(
                options.directory,
                catalogue,
                options.format == LoadFormat::kDummy ? Headers::kImplied : Headers::kRead));
  const Inventory inventory = this_inventory();
  warn_of(doctor_lines(inventory));
  planned.gpus_shown = inventory.counts.nvml.value_or(0);
  for (const Gpu& gpu : inventory.gpus) {
    if (gpu.index && gpu.uuid) {
      planned.uuids[*gpu.index] = *gpu.uuid;
    }
  }
  TUTTI_TRY(const std::optional<Launch> launch,
            plan_launch(model,
                        calibrated_machine(inventory),
                        {.gpus = gpus,
                         .tp = flags.tp,
                         .ranks_per_gpu = flags.ranks_per_gpu,
                         .request = {.context = options.context,
                                     .max_batch_tokens = options.max_batch_tokens,
                                     .max_batch_sequences = options.max_batch_sequences,
                                     .compute = options.compute.value_or(DType::kBF16),
                                     .kv_memory = options.kv_memory}}));
  if (!launch) {
    return planned;
  }
  planned.left_out = launch->left_out;
  log_info("{}", launch->paragraph);
  if (!launch->gpus.empty()) {
    planned.flags.gpus = index_list(launch->gpus);
    planned.flags.tp = launch->tp;
  }
  return planned;
}

}  // namespace tutti
