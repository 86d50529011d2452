#include "cuda/cuda_error.h"

#include "comm/communicator.h"

namespace tutti::cuda {

std::string describe(cudaError_t code) {
  return fmt::format("{} ({})", cudaGetErrorString(code), cudaGetErrorName(code));
}

Status check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) {
    return ok_status();
  }
  return error(StatusCode::kDevice, "{}: {}", what, describe(code));
}

void throw_if_failed(cudaError_t code, const char* op) {
  if (code != cudaSuccess) {
    cudaGetLastError();  // told now; the next launch must not report it again
    throw DeviceError(fmt::format("{}: {}", op, describe(code)));
  }
}

}  // namespace tutti::cuda
