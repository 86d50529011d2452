// Everything a forward pass may touch. No globals, no thread-locals: what is not here does not
// exist.
#pragma once
#include <cstdint>

#include "comm/communicator.h"
#include "device/arena.h"
#include "kv/kv_cache.h"
#include "ops/ops.h"

namespace tutti {

/// One step's inputs in device memory, flat over all sequences: T tokens, S sequences, R wanted
/// logit rows.
struct StepInputs {
  ConstTensorView tokens;     ///< [T] i32
  ConstTensorView positions;  ///< [T] i32
  ConstTensorView slots;      ///< [T] i32: where each token's KV goes
  ConstTensorView rope_rows;  ///< [T] i32, only for models with CausalLmInfo::long_rope_from: the
                              ///< token's own number, plus T where it takes the long frequencies
  AttentionBatch attention;
  ConstTensorView key_begin;   ///< [S + 1] i32: offsets of the sequences' contexts laid end to end
  int64_t total_keys = 0;      ///< key_begin[S]
  ConstTensorView logit_rows;  ///< [R] i32: token rows whose logits are wanted

  int64_t num_tokens() const { return tokens.dim(0); }
};

struct StepContext {
  Ops& ops;
  ParallelContext& parallel;
  Arena& arena;
  const KvCache& kv;
  const StepInputs& in;
  DType act = DType::kF32;  ///< compute type: of activations and the KV cache

  /// An activation of the compute type.
  TensorView alloc(const Shape& shape) const { return arena.alloc(act, shape); }

  /// For what is f32 whatever the compute type: residual stream, rotary table, router, logits.
  TensorView alloc_f32(const Shape& shape) const { return arena.alloc(DType::kF32, shape); }
};

/// [t, heads * d] with strided rows as [t, heads, d].
inline TensorView split_heads(TensorView x, int64_t heads) {
  const int64_t d = x.dim(1) / heads;
  return {x.raw(), x.dtype(), {x.dim(0), heads, d}, {x.stride(0), d, 1}};
}

}  // namespace tutti
