// tutti doctor: so far, the inventory of the machine (docs/inventory.md).
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <system_error>

#include <sys/prctl.h>

#include "apps/common.h"
#include "apps/options.h"
#include "backend/child_process.h"
#include "backend/cuda_library.h"
#include "base/file.h"
#include "inventory/collect.h"

namespace tutti {

namespace {

constexpr const char* kThisProgram = "/proc/self/exe";
// Starting CUDA takes a moment per GPU, seconds where the driver sleeps between programs.
constexpr std::chrono::seconds kCudaLimit{20};

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

int cuda_gpus_command() {
  // Not to outlive the program that waits for it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::printf("%s\n", to_json(inventory_by_cuda()).c_str());
  std::fflush(stdout);
  // Without the driver's clean-up, which may hang.
  std::_Exit(0);
}

std::string describe(const ChildEnd& end) {
  switch (end.how) {
    case ChildEnd::How::kTimeout:
      return fmt::format("CUDA did not answer within {} s", kCudaLimit.count());
    case ChildEnd::How::kSignal:
      return fmt::format("asking CUDA ended the process that did, by signal {}", end.code);
    case ChildEnd::How::kNotStarted:
      return fmt::format("the process to ask CUDA does not start: {}",
                         std::generic_category().message(end.code));
    case ChildEnd::How::kExited:
    case ChildEnd::How::kStopped:
      break;
  }
  return "the process to ask CUDA told nothing";
}

// In a child, since a sick driver may hang or end the process that starts CUDA.
void ask_cuda(CollectOptions& options) {
  Result<Inventory> answer = invalid("nothing");
  const ChildEnd end =
      run_child({kThisProgram, "doctor", "--cuda-gpus"}, kCudaLimit, [&](std::string_view line) {
        answer = parse_inventory(line, "CUDA");
        return false;
      });
  if (!answer.ok()) {
    options.cuda_error = describe(end);
  } else if (!answer->counts.cuda) {
    options.cuda_error = answer->errors.empty() ? "CUDA shows no GPU" : answer->errors[0].text;
  } else {
    options.cuda = std::move(answer->gpus);
  }
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
  if (options.cuda_gpus) {
    return cuda_gpus_command();
  }
  if (options.dump.empty()) {
    return fail(error(StatusCode::kUnsupported,
                      "doctor: this build has no checks yet; tutti doctor --dump FILE writes what "
                      "the machine has (GPUs, links, memory, limits) as JSON, to standard output "
                      "with --dump -"));
  }
  CollectOptions collect{.system = this_system(),
                         .libraries = usual_libraries(),
                         .version = TUTTI_VERSION,
                         .now = std::chrono::system_clock::now()};
  collect.system.environment = all_variables();
  ask_cuda(collect);
  const Status status = write_text(options.dump, to_json(collect_inventory(collect)) + "\n");
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
