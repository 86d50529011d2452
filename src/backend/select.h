// Which backend to use. The rules, so that nobody's GPUs idle unnoticed:
//   auto: no NVIDIA device on the machine -> CPU, with one info line
//         a device is there               -> CUDA, or a refusal that names what is broken
//   cpu:  CPU, whatever is there
//   cuda: CUDA, or a refusal that says what is missing
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu_backend.h"
#include "backend/gpu_choice.h"

namespace tutti {

enum class DeviceChoice { kAuto, kCpu, kCuda };

Result<DeviceChoice> parse_device_choice(const std::string& text);

struct BackendQuery {
  DeviceChoice device = DeviceChoice::kAuto;
  GpuChoice gpus;
  int ranks_per_gpu = 1;
  bool peer_access =
      true;  ///< GPUs may use each other's memory where moved data proves that it works
  std::optional<std::string> visible_devices;  ///< CUDA_VISIBLE_DEVICES, for messages
  std::string program;  ///< path of this program, which tests peer access as its child; empty: here
  CpuBackendOptions cpu;
  std::string root = "/";  ///< where /dev and /proc are looked for; tests use another place
  std::vector<std::string> plugin_paths;  ///< where libtutti_cuda.so is looked for, in order
};

/// True if the machine shows an NVIDIA GPU: a device file or a loaded driver.
bool nvidia_device_present(const std::string& root);

/// Directories that may hold libtutti_cuda.so: beside the program, where it is built, and in its
/// ../lib/tutti, where it is installed.
std::vector<std::string> default_plugin_paths();

Result<std::unique_ptr<Backend>> select_backend(const BackendQuery& query);

}  // namespace tutti
