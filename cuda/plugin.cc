// The entry of libtutti_cuda.so. So far it checks the build, the driver and the GPUs, and then says
// that the CUDA operations are not part of this version: nobody is served slowly on the CPU without
// knowing.
#include <cstring>

#include "backend/cuda_plugin.h"
#include "base/units.h"
#include "cuda/device_probe.h"

namespace tutti {

namespace {

Status open_backend(const CudaPluginRequest& request) {
  const char* mine = TUTTI_VERSION;
  // The program's build id begins with its version; the compiler part may differ between nvcc's
  // host and ours.
  if (std::strncmp(request.build_id, mine, std::strlen(mine)) != 0) {
    return error(StatusCode::kUnavailable,
                 "built for tutti {}, the program is {}; install both from one build",
                 mine,
                 request.build_id);
  }
  Result<std::vector<CudaDeviceInfo>> devices = probe_cuda_devices();
  if (!devices.ok()) {
    return std::move(devices).status();
  }
  std::string list;
  for (const CudaDeviceInfo& d : *devices) {
    list += fmt::format("{}{} (sm_{}{}, {} free)",
                        list.empty() ? "" : ", ",
                        d.name,
                        d.compute_major,
                        d.compute_minor,
                        format_bytes(d.free_bytes));
  }
  return error(StatusCode::kUnavailable,
               "found {}, but this version of tutti has no CUDA operations yet",
               list);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void tutti_cuda_open(
    const CudaPluginRequest& request, Status* status, std::unique_ptr<Backend>* backend) {
  *status = open_backend(request);
  backend->reset();
}

}  // namespace tutti
