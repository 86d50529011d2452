#include "cuda/kernels/tensor_map.h"

#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

namespace tutti::cuda {

namespace {

constexpr int kBoxBytes = 128;  // the width of the swizzle

// In a struct: g++ 12 reports a Result of a function pointer as shadowing.
struct Encoder {
  PFN_cuTensorMapEncodeTiled_v12000 call;
};

Result<Encoder> encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  constexpr unsigned kVersion = 12000;
  const cudaError_t code = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, kVersion, cudaEnableDefault, &found);
  if (code != cudaSuccess || found != cudaDriverEntryPointSuccess) {
    return error(
        StatusCode::kUnavailable,
        "the driver has no cuTensorMapEncodeTiled ({}); it needs to be of CUDA 12.0 or later",
        cudaGetErrorString(code));
  }
  return Encoder{reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function)};
}

struct Elements {
  CUtensorMapDataType type;
  int bytes;
  const char* name;
};

Result<CUtensorMap> make_tensor_map(const Elements& of,
                                    const void* data,
                                    int64_t rows,
                                    int64_t cols,
                                    int64_t row_stride,
                                    int box_rows) {
  TUTTI_TRY(const Encoder encode, encoder());
  CUtensorMap map{};
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(cols), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(row_stride * of.bytes)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(kBoxBytes / of.bytes),
                             static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  const CUresult code = encode.call(&map,
                                    of.type,
                                    2,
                                    const_cast<void*>(data),
                                    sizes,
                                    strides,
                                    box,
                                    steps,
                                    CU_TENSOR_MAP_INTERLEAVE_NONE,
                                    CU_TENSOR_MAP_SWIZZLE_128B,
                                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                    CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code != CUDA_SUCCESS) {
    return error(StatusCode::kInvalidArgument,
                 "no tensor map for a {} matrix [{}, {}] with row stride {} and boxes of {} rows "
                 "(driver error {})",
                 of.name,
                 rows,
                 cols,
                 row_stride,
                 box_rows,
                 static_cast<int>(code));
  }
  return map;
}

}  // namespace

Result<CUtensorMap> make_bf16_tensor_map(
    const void* data, int64_t rows, int64_t cols, int64_t row_stride, int box_rows) {
  constexpr Elements kBf16{CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, "bf16"};
  return make_tensor_map(kBf16, data, rows, cols, row_stride, box_rows);
}

Result<CUtensorMap> make_byte_tensor_map(
    const void* data, int64_t rows, int64_t cols, int64_t row_stride, int box_rows) {
  constexpr Elements kBytes{CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, "one-byte"};
  return make_tensor_map(kBytes, data, rows, cols, row_stride, box_rows);
}

}  // namespace tutti::cuda
