// The entry of libtutti_cuda.so. The plugin has its own copy of the small core libraries it links;
// the only state among them, what to do when a check fails, is handed over here (ADR 10).
#include <cstdlib>
#include <cstring>

#include "backend/cuda_plugin.h"
#include "base/check.h"
#include "cuda/cuda_backend.h"

namespace tutti {

namespace {

constexpr const char* kBuildId = TUTTI_BUILD_ID;

Result<std::unique_ptr<Backend>> open_backend(const CudaPluginRequest& request) {
  if (std::strcmp(request.build_id, kBuildId) != 0) {
    return error(StatusCode::kUnavailable,
                 "built for tutti {}, the program is {}; install both from one build",
                 kBuildId,
                 request.build_id);
  }
  set_check_handler(request.on_check_failed);
  // Before the first call of CUDA. Streams beyond this number (8 unless told otherwise) share
  // queues of the hardware: a rank's work could lie behind a kernel that waits for it. 32 is the
  // most.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);  // NOLINT(concurrency-mt-unsafe): at the start
  return cuda::make_cuda_backend({.gpu_count = request.gpu_count, .gpus = request.gpus});
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void tutti_cuda_open(
    const CudaPluginRequest& request, Status* status, std::unique_ptr<Backend>* backend) {
  Result<std::unique_ptr<Backend>> result = open_backend(request);
  if (result.ok()) {
    *backend = std::move(result).value();
    *status = {};
  } else {
    backend->reset();
    *status = std::move(result).status();
  }
}

}  // namespace tutti
