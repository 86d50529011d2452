// The entry of libtutti_cuda.so. The plugin has its own copy of the small core libraries it links;
// the only state among them, what to do when a check fails, is handed over here (ADR 10).
#include <cstdlib>
#include <cstring>

#include <cuda_runtime_api.h>

#include "backend/cuda_plugin.h"
#include "base/check.h"
#include "cuda/cuda_backend.h"
#include "cuda/device_probe.h"
#include "cuda/peer_test.h"

namespace tutti {

namespace {

constexpr const char* kBuildId = TUTTI_BUILD_ID;

// Before anything else of a request is read.
Status check_build(const CudaPluginRequest& request) {
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
  if (request.ranks_per_gpu > 1) {
    // A kernel's code, loaded when it is first launched, may wait for all that runs on the GPU:
    // also for a rank that waits there for the one that loads. Ranks on GPUs of their own need not
    // care, since they launch in the same order. Costs 2 s and 40 MB on an H200, most of it
    // cuBLASLt's.
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);  // NOLINT(concurrency-mt-unsafe): at the start
  }
  return ok_status();
}

Result<std::unique_ptr<Backend>> open_backend(const CudaPluginRequest& request) {
  TUTTI_RETURN_IF_ERROR(check_build(request));
  return cuda::make_cuda_backend({.gpus = request.gpus,
                                  .ranks_per_gpu = request.ranks_per_gpu,
                                  .visible_devices = request.visible_devices,
                                  .peers_usable = request.peers_usable});
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

extern "C" __attribute__((visibility("default"))) void tutti_cuda_check_peers(
    const CudaPluginRequest& request,
    const std::vector<PeerResult>& pairs,
    const PeerSay& say,
    Status* status) {
  *status = check_build(request);
  if (status->ok()) {
    cuda::test_peers(pairs, say);
  }
}

extern "C" __attribute__((visibility("default"))) void tutti_cuda_list_gpus(
    const CudaPluginRequest& request, std::vector<CudaGpuInfo>* gpus, Status* status) {
  *status = check_build(request);
  if (!status->ok()) {
    return;
  }
  const Result<std::vector<cuda::CudaDeviceInfo>> devices =
      cuda::probe_cuda_devices(request.visible_devices);
  if (!devices.ok()) {
    *status = devices.status();
    return;
  }
  for (const cuda::CudaDeviceInfo& device : *devices) {
    gpus->push_back({.index = device.index,
                     .name = device.name,
                     .uuid = device.uuid,
                     .pci = device.pci,
                     .compute_capability = device.compute_capability,
                     .multiprocessors = device.multiprocessors,
                     .memory_bytes = device.memory_bytes});
  }
}

extern "C" __attribute__((visibility("default"))) void tutti_cuda_toolkit(
    const CudaPluginRequest& request, int* version, Status* status) {
  *status = check_build(request);
  *version = CUDART_VERSION;
}

}  // namespace tutti
