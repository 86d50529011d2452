// Grouped-query attention (arXiv:2305.13245) with rotary positions over the paged cache.
#pragma once
#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/step_context.h"

namespace tutti {

/// RMSNorm of queries and of keys before rotation.
enum class QkNorm {
  kNone,
  kHeads,  ///< of every head, with one weight for all (Qwen3)
  kAll,    ///< of all heads of a token together, wherever the heads are (MiniMax-M2)
};

struct AttentionConfig {
  int64_t layer = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  bool qkv_bias = false;
  bool out_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  double norm_eps = 1e-6;  ///< of those norms
};

class Attention {
 public:
  Attention(const Scope& scope, const AttentionConfig& config);
  TensorView operator()(const StepContext& ctx,
                        ConstTensorView x,
                        ConstTensorView rope_table) const;  // [t, hidden] -> [t, hidden]; rotates
                                                            // as many dimensions as the table has

  /// Planes on this rank: keys, values.
  KvLayerLayout kv_layout() const {
    return {{kv_heads_.count * c_.head_dim, kv_heads_.count * c_.head_dim}};
  }

 private:
  TensorView sum_squares(const StepContext& ctx, ConstTensorView q, ConstTensorView k) const;

  AttentionConfig c_;
  Range heads_;
  Range kv_heads_;
  Linear qkv_;
  std::optional<RmsNorm> q_norm_;
  std::optional<RmsNorm> k_norm_;
  RowParallelLinear out_;
};

}  // namespace tutti
