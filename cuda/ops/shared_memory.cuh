// Dynamic shared memory beyond what every kernel may have.
#pragma once
#include <cuda_runtime_api.h>

namespace tutti::cuda {

/// Lets a kernel have so many bytes per block; cudaErrorInvalidValue if no block can.
template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, size_t bytes) {
  constexpr size_t kWithoutAsking = 40 << 10;
  if (bytes <= kWithoutAsking) {
    return cudaSuccess;
  }
  int device = 0;
  int most = 0;
  cudaError_t code = cudaGetDevice(&device);
  if (code == cudaSuccess) {
    code = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (code == cudaSuccess && bytes > static_cast<size_t>(most)) {
    code = cudaErrorInvalidValue;
  }
  return code == cudaSuccess
             ? cudaFuncSetAttribute(
                   kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes))
             : code;
}

}  // namespace tutti::cuda
