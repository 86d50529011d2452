// What requests do to logits before a token is drawn; contract in ops/ops.h.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// AdjustParams of ops/ops.h, as it lies in memory.
struct AdjustRow {
  int32_t row;
  int32_t state;
  int32_t flags;
  int32_t edits;
  float repetition;
  float frequency;
  float presence;
};

struct AdjustRows {
  const AdjustRow* data = nullptr;
  int count = 0;
};

/// AdjustTables of ops/ops.h.
struct AdjustMemory {
  TypedRows<int32_t> seen;
  TypedRows<const int32_t> allowed;
  TypedRows<const int32_t> edits;
};

cudaError_t adjust_logits(const TypedRows<float>& y,
                          const ConstRows& logits,
                          int64_t limit,
                          const AdjustMemory& tables,
                          const AdjustRows& rows,
                          cudaStream_t s);

/// `chosen`: [r]; `tokens`: [rows.count].
cudaError_t take_adjusted(int32_t* chosen,
                          const AdjustMemory& tables,
                          const int32_t* tokens,
                          const AdjustRows& rows,
                          cudaStream_t s);

}  // namespace tutti::cuda
