#include "apps/machine_inventory.h"

#include <charconv>
#include <chrono>
#include <system_error>

#include "apps/common.h"
#include "apps/version.h"
#include "backend/child_process.h"
#include "backend/peer_check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/tuning_cache.h"
#include "doctor/check.h"
#include "doctor/peer_links.h"
#include "doctor/report.h"
#include "inventory/collect.h"
#include "inventory/pci_gpus.h"
#include "plan/calibration.h"

namespace tutti {

namespace {

// Both take a moment per GPU, seconds where the driver sleeps between programs.
constexpr std::chrono::seconds kAnswerLimit{20};
constexpr std::chrono::seconds kSpeedLimit{60};

std::string describe(const ChildEnd& end, std::chrono::seconds limit) {
  switch (end.how) {
    case ChildEnd::How::kTimeout:
      return fmt::format("no answer within {} s: a GPU or its driver hangs", limit.count());
    case ChildEnd::How::kSignal:
      return fmt::format("the process that asked was ended by signal {}", end.code);
    case ChildEnd::How::kNotStarted:
      return fmt::format("the process to ask does not start: {}",
                         std::generic_category().message(end.code));
    case ChildEnd::How::kExited:
    case ChildEnd::How::kStopped:
      break;
  }
  return "the process that asked told nothing";
}

// In a child, since a sick driver may hang or end whoever asks it.
Result<Inventory> ask(const char* what, std::chrono::seconds limit = kAnswerLimit) {
  Result<Inventory> told = error(StatusCode::kUnavailable, "nothing");
  bool spoke = false;
  const ChildEnd end =
      run_child({kThisProgram, "doctor", "--ask", what}, limit, [&](std::string_view line) {
        told = parse_inventory(line, what);
        spoke = true;
        return false;
      });
  return spoke ? std::move(told)
               : error(StatusCode::kUnavailable, "{}: {}", what, describe(end, limit));
}

void ask_cuda(CollectOptions& options) {
  Result<Inventory> told = ask("cuda");
  if (!told.ok()) {
    options.cuda_error = told.status().message();
  } else if (!told->counts.cuda) {
    options.cuda_error = told->errors.empty() ? "CUDA shows no GPU" : told->errors[0].text;
  } else {
    options.cuda = std::move(told->gpus);
  }
}

void ask_nvml(CollectOptions& options) {
  Result<Inventory> told = ask("nvml");
  if (told.ok()) {
    options.nvml = std::move(told).value();
    return;
  }
  options.nvml.emplace().driver.nvml_error = told.status().message();
  options.nvml->add_error("nvml", told.status().message());
}

// Of this machine, whatever the build.
TuningCache machine_cache() {
  return {join_path(read_environment().home, "cache"), "machine"};
}

constexpr const char* kLastGood = "gpus at the last good start";

std::optional<int64_t> last_good() {
  const TuningCache cache = machine_cache();
  const std::optional<std::string> kept = cache.find(kLastGood);
  int64_t gpus = 0;
  const bool good =
      kept && std::from_chars(kept->data(), kept->data() + kept->size(), gpus).ec == std::errc();
  return good && gpus > 0 && gpus <= 1024 ? std::optional(gpus) : std::nullopt;
}

}  // namespace

void remember_good_start(int64_t gpus) {
  TuningCache cache = machine_cache();
  cache.put(kLastGood, std::to_string(gpus));
  if (const Status status = cache.save(); !status.ok()) {
    log_warn("{}", status.message());
  }
}

Inventory this_inventory() {
  CollectOptions collect{.system = this_system(),
                         .libraries = usual_libraries(),
                         .version = program_version(),
                         .now = std::chrono::system_clock::now()};
  collect.system.environment = all_variables();
  collect.last_good = last_good();
  ask_cuda(collect);
  ask_nvml(collect);
  Inventory inventory = collect_inventory(collect);
#ifdef TUTTI_CUDA_ARCHITECTURES
  inventory.libraries.architectures = TUTTI_CUDA_ARCHITECTURES;
#endif
  return inventory;
}

double test_peers_of(Inventory& inventory) {
  const std::vector<int> gpus = gpus_to_test(inventory);
  if (gpus.size() < 2) {
    return 0;
  }
  const PeerReport report = check_peers(gpus, {.command = {kThisProgram, "check-peers"}});
  add_peer_results(report, inventory);
  return report.seconds;
}

void measure_speed_of(Inventory& inventory) {
  const Result<Inventory> told = ask("speed", kSpeedLimit);
  if (!told.ok()) {
    inventory.add_error("speed", told.status().message());
    return;
  }
  for (const Gpu& measured : told->gpus) {
    for (Gpu& gpu : inventory.gpus) {
      if (gpu.index && gpu.index == measured.index) {
        gpu.read_bytes_per_second = measured.read_bytes_per_second;
        gpu.matmul_flops_per_second = measured.matmul_flops_per_second;
      }
    }
  }
  inventory.errors.insert(inventory.errors.end(), told->errors.begin(), told->errors.end());
}

std::vector<std::string> doctor_lines(const Inventory& inventory) {
  return launch_lines(examine({.inventory = inventory}));
}

bool gpus_without_driver() {
  const std::optional<std::vector<PciGpu>> gpus = pci_gpus(this_system());
  return gpus && !gpus->empty();
}

Machine this_machine() {
  return calibrated_machine(this_inventory());
}

Machine calibrated_machine(const Inventory& inventory) {
  Machine machine = machine_of(inventory, 1, "");
  apply_calibrations(
      inventory, join_path(read_environment().home, "cache"), program_version(), machine);
  return machine;
}

}  // namespace tutti
