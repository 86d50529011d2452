// Descriptors of the tensor memory accelerator. The driver makes them; it is asked for the function
// at run time, so that nothing links against libcuda.
#pragma once
#include <cstdint>

#include <cuda.h>

#include "base/status.h"

namespace tutti::cuda {

/// A bf16 matrix [rows, cols], rows `row_stride` elements apart, read in boxes of [box_rows, 64]
/// with the 128-byte swizzle. kUnavailable if the driver cannot; kInvalidArgument if it refuses the
/// shape (the address and the row stride in bytes must be multiples of 16, box_rows at most 256).
Result<CUtensorMap> make_bf16_tensor_map(
    const void* data, int64_t rows, int64_t cols, int64_t row_stride, int box_rows);

/// As above for values of one byte, in boxes of [box_rows, 128].
Result<CUtensorMap> make_byte_tensor_map(
    const void* data, int64_t rows, int64_t cols, int64_t row_stride, int box_rows);

}  // namespace tutti::cuda
