// What a step of a language model may touch: attention reads and writes the KV cache. Modules that
// need neither cache nor inputs take a ComputeContext and serve other models as well.
#pragma once
#include <cstdint>

#include "kv/kv_cache.h"
#include "nn/compute_context.h"

namespace tutti {

/// One step's inputs in device memory, flat over all sequences: T tokens, S sequences, R wanted
/// logit rows.
struct StepInputs {
  ConstTensorView tokens;     ///< [T] i32
  ConstTensorView positions;  ///< [T] i32
  ConstTensorView kv_places;  ///< [T] i32: where each token's KV goes
  ConstTensorView rope_rows;  ///< [T] i32, only for models with CausalLmInfo::long_rope_from: the
                              ///< token's own number, plus T where it takes the long frequencies
  AttentionBatch attention;
  ConstTensorView key_begin;   ///< [S + 1] i32: offsets of the sequences' contexts laid end to end
  int64_t total_keys = 0;      ///< key_begin[S]
  ConstTensorView logit_rows;  ///< [R] i32: token rows whose logits are wanted
};

struct StepContext : ComputeContext {
  const KvCache& kv;
  const StepInputs& in;
};

}  // namespace tutti
