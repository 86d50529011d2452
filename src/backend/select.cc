#include "backend/select.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "backend/cuda_library.h"
#include "base/file.h"
#include "base/log.h"

namespace tutti {

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
  return invalid("‹device› {}: wanted auto, cpu or cuda", text);
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
  return {bin.string(), (bin.parent_path() / "lib/tutti").string()};
}

Result<std::unique_ptr<Backend>> select_backend(const BackendQuery& query) {
  if (query.device == DeviceChoice::kCpu) {
    return make_cpu_backend(query.cpu);
  }
  if (!nvidia_device_present(query.root)) {
    if (query.device == DeviceChoice::kCuda) {
      return error(StatusCode::kUnavailable,
                   "‹device› cuda: this machine shows no NVIDIA GPU (no /dev/nvidia0 and no loaded "
                   "driver); in a container "
                   "start it with docker run --gpus all, or use ‹device› cpu");
    }
    log_info("no NVIDIA GPU on this machine: running on the CPU");
    return make_cpu_backend(query.cpu);
  }
  Result<std::unique_ptr<Backend>> cuda = open_cuda_backend(query);
  if (cuda.ok() || cuda.status().code() == StatusCode::kInvalidArgument) {
    return cuda;
  }
  if (cuda.status().code() == StatusCode::kNotFound) {  // the GPUs are sound, their names are not
    return error(StatusCode::kUnavailable, "{}", cuda.status().message());
  }
  return error(StatusCode::kUnavailable,
               "an NVIDIA GPU is present but cannot be used: {}. To run on the CPU instead, "
               "add ‹device› cpu",
               cuda.status().message());
}

}  // namespace tutti
