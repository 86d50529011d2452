// CUDA's error codes as ours.
#pragma once
#include <string>

#include <cuda_runtime_api.h>

#include "base/status.h"

namespace tutti::cuda {

/// "an illegal memory access was encountered (cudaErrorIllegalAddress)"
std::string describe(cudaError_t code);

/// kDevice: "<what>: <describe(code)>"; ok for cudaSuccess.
Status check(cudaError_t code, const char* what);

/// Throws DeviceError naming `op` unless `code` is cudaSuccess. On rank threads only.
void throw_if_failed(cudaError_t code, const char* op);

}  // namespace tutti::cuda
