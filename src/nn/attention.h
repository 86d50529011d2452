// Grouped-query attention (arXiv:2305.13245) with rotary positions over the paged cache.
#pragma once
#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/step_context.h"

namespace tutti {

struct AttentionConfig {
  int64_t layer = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  bool qkv_bias = false;
  bool out_bias = false;
  bool qk_norm = false;    ///< RMSNorm of every query and key head before rotation (Qwen3)
  double norm_eps = 1e-6;  ///< of those norms
};

class Attention {
 public:
  Attention(const Scope& scope, const AttentionConfig& config);
  TensorView operator()(const StepContext& ctx,
                        ConstTensorView x,
                        ConstTensorView rope_table) const;  // [t, hidden] -> [t, hidden]

  /// Planes on this rank: keys, values.
  KvLayerLayout kv_layout() const {
    return {{kv_heads_.count * c_.head_dim, kv_heads_.count * c_.head_dim}};
  }

 private:
  AttentionConfig c_;
  Range heads_;
  Range kv_heads_;
  Linear qkv_;
  std::optional<RmsNorm> q_norm_;  // one weight of head_dim for all heads
  std::optional<RmsNorm> k_norm_;
  RowParallelLinear out_;
};

}  // namespace tutti
