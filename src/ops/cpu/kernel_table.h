// Fills a CpuKernels table from the templates, for the `Simd` of the file being compiled.
#pragma once
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/linear_kernels.h"

namespace tutti::cpu {
namespace {

void to_f32_row(float* y, const void* x, WeightType type, int64_t n) {
  const auto convert = [&](auto weights) {
    using Weights = decltype(weights);
    const auto* from = static_cast<const typename Weights::T*>(x);
    for_each_vector(n, [&](int64_t i, int64_t lanes) {
      store_lanes(y + i, load_first_weights<Weights>(from + i, lanes), lanes);
    });
  };
  if (type == WeightType::kF32) {
    convert(F32Weights{});
  } else if (type == WeightType::kF16) {
    convert(F16Weights{});
  } else {
    convert(BF16Weights{});
  }
}

constexpr CpuKernels make_kernels() {
  return {.linear = linear,
          .attend_begin = attend_begin,
          .attend_block = attend_block,
          .attend_end = attend_end,
          .to_f32 = to_f32_row,
          .add = add_row,
          .rms_norm = rms_norm_row,
          .sum_squares = sum_squares_row,
          .scale = scale_row,
          .layer_norm = layer_norm_row,
          .silu_mul = silu_mul_row,
          .exp = exp_row,
          .combine = combine_rows,
          .rope_half_split = rope_half_split_row,
          .rope_interleaved = rope_interleaved_row,
          .sum = sum_row};
}

}  // namespace
}  // namespace tutti::cpu
