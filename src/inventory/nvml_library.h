// libnvidia-ml, opened at run time: it comes with the driver, so it may be missing or of any age.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "inventory/nvml_api.h"

namespace tutti {

class NvmlLibrary {
 public:
  /// The first of `names` that loads, initialised. kUnavailable says why there is none.
  static Result<std::unique_ptr<NvmlLibrary>> open(const std::vector<std::string>& names);
  ~NvmlLibrary();
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;

  const nvml::Functions& functions() const { return functions_; }

 private:
  explicit NvmlLibrary(void* library);

  void* library_;
  nvml::Functions functions_;
  bool initialised_ = false;
};

/// "no permission", "GPU has fallen off the bus"; "error 77" for codes without words.
std::string nvml_text(unsigned code);

}  // namespace tutti
