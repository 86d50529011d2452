#include "cuda/device_probe.h"

#include <cuda_runtime_api.h>

namespace tutti {

namespace {

Status cuda_error(const char* call, cudaError_t code) {
  const char* hint = "";
  if (code == cudaErrorInsufficientDriver) {
    hint = "; the driver is older than CUDA 13.0 or not loaded: nvidia-smi shows its version";
  } else if (code == cudaErrorNoDevice) {
    hint = "; the driver sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES";
  }
  return error(StatusCode::kUnavailable,
               "{}: {} ({}){}",
               call,
               cudaGetErrorString(code),
               cudaGetErrorName(code),
               hint);
}

}  // namespace

Result<std::vector<CudaDeviceInfo>> probe_cuda_devices() {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count); code != cudaSuccess) {
    return cuda_error("cudaGetDeviceCount", code);
  }
  std::vector<CudaDeviceInfo> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (const cudaError_t code = cudaGetDeviceProperties(&properties, i); code != cudaSuccess) {
      return cuda_error("cudaGetDeviceProperties", code);
    }
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    cudaError_t code = cudaSetDevice(i);
    code = code == cudaSuccess ? cudaMemGetInfo(&free_bytes, &total_bytes) : code;
    if (code != cudaSuccess) {
      return cuda_error("cudaMemGetInfo", code);
    }
    devices.push_back({.name = properties.name,
                       .compute_major = properties.major,
                       .compute_minor = properties.minor,
                       .total_bytes = static_cast<int64_t>(total_bytes),
                       .free_bytes = static_cast<int64_t>(free_bytes)});
  }
  return devices;
}

}  // namespace tutti
