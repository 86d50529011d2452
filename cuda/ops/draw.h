// Drawing tokens from logits; contract in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// DrawParams of ops/ops.h, as it lies in memory.
struct DrawRow {
  float temperature;
  int32_t top_k;
  float top_p;
  float min_p;
  uint32_t low;
  uint32_t high;
};

/// `tokens`: [r]; `rows`: [r] on the device.
cudaError_t draw(
    int32_t* tokens, const ConstRows& logits, int64_t limit, const DrawRow* rows, cudaStream_t s);

}  // namespace tutti::cuda
