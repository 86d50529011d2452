// Calls of NVML about one GPU that note what did not work.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "inventory/inventory.h"
#include "inventory/nvml_library.h"

namespace tutti {

/// What did not work, each once: "nvmlDeviceGetPowerUsage: no permission (GPUs 0-7)".
class NvmlErrors {
 public:
  /// `gpu`: nvml_index.
  void note(const char* function, unsigned code, int64_t gpu);
  void note_pair(const char* function, unsigned code, int64_t a, int64_t b);
  void move_to(Inventory& inventory);

 private:
  std::map<std::string, std::set<int64_t>> gpus_;  // by text
};

/// "0-3,6"
std::string ranges(const std::set<int64_t>& numbers);

class NvmlQuery {
 public:
  NvmlQuery(nvml::Device device, int64_t gpu, NvmlErrors& errors)
      : device_(device), gpu_(gpu), errors_(&errors) {}

  /// The code of function(device, args...). Nothing more is asked of a GPU that is lost: each
  /// question could take the driver seconds.
  template <class... Parameters, class... Args>
  unsigned code(const nvml::Function<nvml::Device, Parameters...>& function, Args... args) {
    if (lost_) {
      return nvml::kGpuIsLost;
    }
    const unsigned code = function(device_, args...);
    if (code == nvml::kGpuIsLost) {
      lost_ = true;
      errors_->note(function.name, code, gpu_);
    }
    return code;
  }

  /// True if it worked; else the reason is noted.
  template <class Function, class... Args>
  bool ok(const Function& function, Args... args) {
    return ok_code(function, code(function, args...));
  }

  template <class Function>
  bool ok_code(const Function& function, unsigned code) {
    if (code != nvml::kSuccess && !lost_) {
      errors_->note(function.name, code, gpu_);
    }
    return code == nvml::kSuccess;
  }

  /// All ones, which a GPU that no longer answers reads as, are no number.
  std::optional<int64_t> number(const nvml::Number& function) {
    unsigned value = 0;
    return ok(function, &value) && value != UINT32_MAX ? std::optional<int64_t>(value)
                                                       : std::nullopt;
  }

  std::optional<std::string> text(const nvml::Text& function);

 private:
  nvml::Device device_;
  int64_t gpu_;
  NvmlErrors* errors_;
  bool lost_ = false;
};

}  // namespace tutti
