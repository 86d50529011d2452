// Activations as e4m3 with one factor per row and block of 128 columns (DeepSeek-V3,
// arXiv:2412.19437, section 3.3).
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// scale = largest |x| of the block / 448, value = x / scale rounded to the nearest e4m3; a block
/// of zeros keeps the factor 0.
struct QuantizeRows {
  const void* x = nullptr;  ///< [rows, k] bf16
  void* values = nullptr;   ///< [rows, k] e4m3
  float* scales = nullptr;  ///< [rows, ceil(k / 128)]
  int64_t x_stride = 0;     ///< elements between rows
  int64_t value_stride = 0;
  int64_t scale_stride = 0;
  int64_t rows = 0;
  int k = 0;  ///< a multiple of 4, as x_stride
};

cudaError_t quantize_rows(const QuantizeRows& problem, cudaStream_t s);

}  // namespace tutti::cuda
