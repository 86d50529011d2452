#include "backend/select.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include <dlfcn.h>

#include "backend/cuda_plugin.h"
#include "base/file.h"
#include "base/log.h"

namespace tutti {

namespace {

constexpr int kMaxGpus = 64;

// Checks that fail in the plugin are reported with this program's trace of what it was doing.
[[noreturn]] void plugin_check_failed(const std::string& message) {
  check_failed(kCudaPluginLibrary, 0, message);
}

// Opens the plugin and asks it for a backend. `status` names the first thing that is wrong.
Result<std::unique_ptr<Backend>> open_cuda(const BackendQuery& query) {
  std::string tried;
  for (const std::string& directory : query.plugin_paths) {
    const std::string path = join_path(directory, kCudaPluginLibrary);
    tried += (tried.empty() ? "" : ", ") + path;
    if (!file_exists(path)) {
      continue;
    }
    // Never unloaded: objects made by the plugin live as long as the process.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      return error(StatusCode::kUnavailable, "{} does not load: {}", path, dlerror());
    }
    auto* entry = reinterpret_cast<CudaPluginEntry>(dlsym(library, kCudaPluginSymbol));
    if (entry == nullptr) {
      return error(StatusCode::kUnavailable,
                   "{} has no entry {}; it does not belong to this program",
                   path,
                   kCudaPluginSymbol);
    }
    Status status;
    std::unique_ptr<Backend> backend;
    entry({.build_id = build_id(),
           .on_check_failed = &plugin_check_failed,
           .gpu_count = query.gpus.count,
           .gpus = query.gpus.ids},
          &status,
          &backend);
    if (!status.ok()) {
      return std::move(status).with_context(path);
    }
    return backend;
  }
  return error(StatusCode::kUnavailable,
               "{} was not found (looked for {})",
               kCudaPluginLibrary,
               tried.empty() ? "nothing" : tried);
}

}  // namespace

const char* build_id() {
  return TUTTI_BUILD_ID;
}

Result<DeviceChoice> parse_device_choice(const std::string& text) {
  if (text == "auto") {
    return DeviceChoice::kAuto;
  }
  if (text == "cpu") {
    return DeviceChoice::kCpu;
  }
  if (text == "cuda") {
    return DeviceChoice::kCuda;
  }
  return invalid("--device {}: wanted auto, cpu or cuda", text);
}

Result<GpuChoice> parse_gpu_choice(const std::string& text) {
  GpuChoice choice;
  if (text == "auto" || text == "all") {
    return choice;
  }
  const auto wanted = [&text] {
    return invalid("--gpus {}: wanted auto, all, a number of GPUs (2), or ids (0,2,3)", text);
  };
  bool digits = false;  // since the last comma
  int value = 0;
  for (const char c : text + ",") {
    if (c >= '0' && c <= '9') {
      digits = true;
      value = std::min(value * 10 + (c - '0'), kMaxGpus);
    } else if (c != ',' || (!digits && choice.ids.empty())) {
      return wanted();
    } else if (digits) {
      choice.ids.push_back(std::exchange(value, 0));
      digits = false;
    }
  }
  if (text.find(',') != std::string::npos) {
    return choice;
  }
  choice.count = choice.ids.front();
  choice.ids.clear();
  return choice.count > 0 ? Result<GpuChoice>(choice) : Result<GpuChoice>(wanted());
}

bool nvidia_device_present(const std::string& root) {
  for (const char* path :
       {"dev/nvidia0", "dev/nvidiactl", "dev/dxg", "proc/driver/nvidia/version"}) {
    if (file_exists(join_path(root, path))) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> default_plugin_paths() {
  std::error_code ec;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ec);
  const std::filesystem::path bin = program.parent_path();
  return {bin.string(), (bin.parent_path() / "lib").string()};
}

Result<std::unique_ptr<Backend>> select_backend(const BackendQuery& query) {
  if (query.device == DeviceChoice::kCpu) {
    return make_cpu_backend(query.cpu);
  }
  if (!nvidia_device_present(query.root)) {
    if (query.device == DeviceChoice::kCuda) {
      return error(StatusCode::kUnavailable,
                   "--device cuda: this machine shows no NVIDIA GPU (no /dev/nvidia0 and no loaded "
                   "driver); in a "
                   "container start it with --gpus all, or use --device cpu");
    }
    log_info("no NVIDIA GPU on this machine: running on the CPU");
    return make_cpu_backend(query.cpu);
  }
  Result<std::unique_ptr<Backend>> cuda = open_cuda(query);
  if (!cuda.ok()) {
    return error(StatusCode::kUnavailable,
                 "an NVIDIA GPU is present but cannot be used: {}. To run on the CPU instead, "
                 "add --device cpu",
                 cuda.status().message());
  }
  return cuda;
}

}  // namespace tutti
