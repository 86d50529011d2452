// Everything a computation may touch that is not a step of a language model: no KV cache, no
// tokens. No globals, no thread-locals: what is not here does not exist.
#pragma once
#include "comm/communicator.h"
#include "device/arena.h"
#include "ops/ops.h"

namespace tutti {

struct ComputeContext {
  Ops& ops;
  ParallelGroups& parallel;
  Arena& arena;
  DType act = DType::kF32;  ///< compute type: of activations, and of a KV cache

  /// An activation of the compute type.
  TensorView alloc(const Shape& shape) const { return arena.alloc(act, shape); }

  /// Room for `rows` activations in the form that a weight's format asks for; undefined if it takes
  /// them as they are.
  TensorView alloc_scratch(int64_t rows, const WeightView& weight) const {
    const int64_t bytes = weight.format().activation_row_bytes(weight.cols());
    return bytes > 0 ? arena.alloc(DType::kF8E4M3, {rows, bytes}) : TensorView();
  }

  /// For what is f32 whatever the compute type: residual stream, rotary table, router, logits.
  TensorView alloc_f32(const Shape& shape) const { return arena.alloc(DType::kF32, shape); }
};

/// [t, heads * d] with strided rows as [t, heads, d].
inline TensorView split_heads(TensorView x, int64_t heads) {
  const int64_t d = x.dim(1) / heads;
  return {x.raw(), x.dtype(), {x.dim(0), heads, d}, {x.stride(0), d, 1}};
}

}  // namespace tutti
