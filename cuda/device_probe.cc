#include "cuda/device_probe.h"

#include <cuda_runtime_api.h>

#include "cuda/cuda_error.h"
#include "cuda/ops/rows.h"

namespace tutti::cuda {

namespace {

Status unavailable(const char* call, cudaError_t code) {
  const char* hint = "";
  if (code == cudaErrorInsufficientDriver) {
    hint = "; the driver is older than CUDA 13.0 or not loaded: nvidia-smi shows its version";
  } else if (code == cudaErrorNoDevice) {
    hint = "; the driver sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES";
  }
  return error(StatusCode::kUnavailable, "{}: {}{}", call, describe(code), hint);
}

}  // namespace

Result<std::vector<CudaDeviceInfo>> probe_cuda_devices() {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count); code != cudaSuccess) {
    return unavailable("cudaGetDeviceCount", code);
  }
  if (count == 0) {
    return unavailable("cudaGetDeviceCount", cudaErrorNoDevice);
  }
  std::vector<CudaDeviceInfo> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (const cudaError_t code = cudaGetDeviceProperties(&properties, i); code != cudaSuccess) {
      return unavailable("cudaGetDeviceProperties", code);
    }
    devices.push_back({.index = i,
                       .name = properties.name,
                       .compute_capability = 10 * properties.major + properties.minor,
                       .multiprocessors = properties.multiProcessorCount});
  }
  return devices;
}

Status check_kernels_run(const CudaDeviceInfo& gpu) {
  cudaError_t code = cudaSetDevice(gpu.index);
  if (code == cudaSuccess) {
    code = cuda::find_kernel();
  }
  if (code == cudaSuccess) {
    return ok_status();
  }
  if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();
    return error(StatusCode::kUnavailable,
                 "{} has compute capability {}.{}, for which this build has no kernels; build with "
                 "-DCMAKE_CUDA_ARCHITECTURES={}",
                 gpu.name,
                 gpu.compute_capability / 10,
                 gpu.compute_capability % 10,
                 gpu.compute_capability);
  }
  return unavailable(gpu.name.c_str(), code);
}

}  // namespace tutti::cuda
