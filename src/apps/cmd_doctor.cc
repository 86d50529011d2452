// tutti doctor: what the machine has, what is wrong with it, and what to do (docs/doctor.md).
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <system_error>

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/common.h"
#include "apps/doctor_report.h"
#include "apps/machine_inventory.h"
#include "apps/options.h"
#include "apps/plan_facts.h"
#include "backend/cuda_library.h"
#include "base/option_names.h"
#include "doctor/check.h"
#include "doctor/report.h"
#include "inventory/nvml_source.h"
#include "plan/planner.h"

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

// One GPU after the other, so that none disturbs another.
Inventory inventory_of_speeds() {
  Inventory inventory;
  const Inventory shown = inventory_by_cuda();
  for (const Gpu& gpu : shown.gpus) {
    ModelFlags flags;
    flags.device = "cuda";
    flags.gpus = fmt::format("{},", gpu.index.value_or(0));
    const Result<std::unique_ptr<Backend>> backend = choose_backend(flags);
    const Result<Ceilings> measured =
        backend.ok() ? (*backend)->measure_ceilings(RankChoice(), DType::kBF16) : backend.status();
    if (!measured.ok()) {
      inventory.add_error(
          "speed", fmt::format("cuda:{}: {}", gpu.index.value_or(0), measured.status().message()));
      continue;
    }
    Gpu& out = inventory.gpus.emplace_back();
    out.index = gpu.index;
    out.read_bytes_per_second = measured->read;
    out.matmul_flops_per_second = measured->flops;
  }
  return inventory;
}

[[noreturn]] void answer(const std::string& what) {
  // Not to outlive the program that waits for it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Inventory inventory = what == "cuda"    ? inventory_by_cuda()
                              : what == "speed" ? inventory_of_speeds()
                                                : inventory_by_nvml();
  std::printf("%s\n", to_json(inventory).c_str());
  std::fflush(stdout);
  // Without the driver's clean-up, which may hang.
  std::_Exit(0);
}

Status write_text(const std::string& path, const std::string& text) {
  const auto failed = [&] {
    return invalid("--dump {}: cannot write: {}; --dump - writes to standard output",
                   path,
                   std::generic_category().message(errno));
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

// Why a server cannot listen at its usual address; empty: it can.
std::string usual_port_error() {
  const int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(ServeOptions().port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free =
      file >= 0 && bind(file, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  const std::string error = free ? "" : std::generic_category().message(errno);
  if (file >= 0) {
    close(file);
  }
  return error;
}

ModelQuestion ask_of_model(const std::string& name, const Inventory& inventory) {
  ModelQuestion question{.name = name};
  const Result<ModelFacts> facts = find_model_facts(name);
  question.found = facts.status();
  if (facts.ok()) {
    Result<Plan> plan = make_plan(*facts, calibrated_machine(inventory), PlanRequest());
    if (plan.ok()) {
      question.plan = std::move(plan).value();
    } else {
      question.found = plan.status();
    }
  }
  return question;
}

struct Consultation {
  Inventory inventory;
  DoctorReport report;
};

Result<Consultation> consult(const DoctorOptions& options) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const bool here = options.inventory.empty();
  Consultation out;
  Live live;
  if (here) {
    out.inventory = this_inventory();
    live.peer_seconds = options.quick ? 0 : test_peers_of(out.inventory);
    if (options.speed) {
      measure_speed_of(out.inventory);
    }
    live.port_error = usual_port_error();
  } else {
    TUTTI_TRY(out.inventory, read_inventory(options.inventory));
  }
  std::optional<ModelQuestion> model;
  if (!options.model.empty()) {
    model = ask_of_model(options.model, out.inventory);
  }
  out.report.findings = examine({.inventory = out.inventory,
                                 .live = here ? &live : nullptr,
                                 .model = model ? &*model : nullptr});
  out.report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return out;
}

std::string text_of(const Consultation& c, bool here) {
  return doctor_report(c.inventory) + "\n" + report_text(c.report) +
         (here ? "For a bug report: tutti doctor --dump FILE. What fits here: tutti models\n" : "");
}

}  // namespace

int doctor_command(const DoctorOptions& options) {
  if (!options.ask.empty()) {
    answer(options.ask);
  }
  const Result<Consultation> c = consult(options);
  if (!c.ok()) {
    return fail(c.status());
  }
  if (!options.dump.empty()) {
    const Status status = write_text(options.dump, to_json(c->inventory) + "\n");
    if (!status.ok() || !options.json) {
      return status.ok() ? 0 : fail(status);
    }
  }
  const std::string text = options.json ? to_string(report_json(c->report, c->inventory)) + "\n"
                                        : text_of(*c, options.inventory.empty());
  std::fputs(spell_options(text, &as_flag).c_str(), stdout);
  return exit_code_of(worst(c->report.findings));
}

}  // namespace tutti
