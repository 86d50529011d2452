#include "cuda/device_probe.h"

#include <cuda_runtime_api.h>

#include "backend/gpu_choice.h"
#include "cuda/cuda_error.h"
#include "cuda/ops/rows.h"

namespace tutti::cuda {

namespace {

Status unavailable(const char* call, cudaError_t code) {
  const char* hint = "";
  if (code == cudaErrorInsufficientDriver) {
    hint = "; the driver is older than CUDA 13.0 or not loaded: nvidia-smi shows its version";
  } else if (code == cudaErrorNoDevice) {
    hint = "; the driver sees no GPU: check nvidia-smi";
  }
  return error(StatusCode::kUnavailable, "{}: {}{}", call, describe(code), hint);
}

// As nvidia-smi -L prints it. CUDA tells a part of a GPU (MIG) by its name alone.
std::string uuid_text(const cudaDeviceProp& properties) {
  std::string text =
      std::string(properties.name).find(" MIG ") == std::string::npos ? "GPU-" : "MIG-";
  for (size_t i = 0; i < sizeof(properties.uuid.bytes); ++i) {
    const bool dash = i == 4 || i == 6 || i == 8 || i == 10;
    text += fmt::format(
        "{}{:02x}", dash ? "-" : "", static_cast<unsigned char>(properties.uuid.bytes[i]));
  }
  return text;
}

}  // namespace

Result<std::vector<CudaDeviceInfo>> probe_cuda_devices(const std::optional<std::string>& mask) {
  int count = 0;
  cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count == 0) {
    code = cudaErrorNoDevice;
  }
  if (mask && (code == cudaErrorNoDevice || code == cudaErrorInvalidDevice)) {
    return error(StatusCode::kUnavailable, "{}", mask_names_none(*mask));
  }
  if (code != cudaSuccess) {
    return unavailable("cudaGetDeviceCount", code);
  }
  std::vector<CudaDeviceInfo> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    code = cudaGetDeviceProperties(&properties, i);
    if (code != cudaSuccess) {
      return unavailable("cudaGetDeviceProperties", code);
    }
    devices.push_back({.index = i,
                       .name = properties.name,
                       .compute_capability = 10 * properties.major + properties.minor,
                       .multiprocessors = properties.multiProcessorCount,
                       .uuid = uuid_text(properties),
                       .pci = fmt::format("{:04x}:{:02x}:{:02x}.0",
                                          properties.pciDomainID,
                                          properties.pciBusID,
                                          properties.pciDeviceID),
                       .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem)});
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
