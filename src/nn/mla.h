// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434 section 2.1; HF
// modeling_deepseek_v3.py). The cache holds one normalised latent and one rotated key per token,
// shared by all heads.
//
// Absorbed form: W_UK moves to the query side and W_UV behind the sum, so attention runs on the
// latents themselves. Expanded form: keys and values are rebuilt from the latents. Same result up
// to rounding; a request must not mix them if its output is to be bitwise reproducible.
#pragma once
#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/step_context.h"

namespace tutti {

enum class MlaForm { kAbsorbed, kExpanded };

struct MlaConfig {
  int64_t layer = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t q_lora_rank = 0;  ///< 0: one full q_proj
  int64_t kv_lora_rank = 0;
  int64_t nope_dim = 0;    ///< per head, without position
  int64_t rope_dim = 0;    ///< per head, rotated
  int64_t v_dim = 0;       ///< per head
  double norm_eps = 1e-6;  ///< of the two inner norms; not the model's rms_norm_eps
  bool bias = false;       ///< on q_a, kv_a and o
  RopeLayout rope_layout = RopeLayout::kInterleaved;
  double softmax_scale = 1.0;
  MlaForm form = MlaForm::kAbsorbed;
};

class Mla {
 public:
  Mla(const Scope& scope, const MlaConfig& config);
  TensorView operator()(const StepContext& ctx,
                        ConstTensorView x,
                        ConstTensorView rope_table) const;  // [t, hidden] -> [t, hidden]

  KvLayerLayout kv_layout() const { return {{c_.kv_lora_rank + c_.rope_dim}}; }

 private:
  void declare_kv_b(const Scope& scope);
  TensorView project(const StepContext& ctx, ConstTensorView x, ConstTensorView rope_table) const;
  TensorView attend_absorbed(const StepContext& ctx,
                             TensorView q,
                             ConstTensorView rope_table) const;
  TensorView attend_expanded(const StepContext& ctx,
                             TensorView q,
                             ConstTensorView rope_table) const;

  MlaConfig c_;
  Range heads_;
  Linear down_;  // q_a + kv_a, or kv_a alone
  std::optional<RmsNorm> q_norm_;
  Linear query_;  // q_b, or the full q_proj
  RmsNorm kv_norm_;
  Param* kv_b_ = nullptr;  // loaded only in the expanded form
  Param* w_uk_ = nullptr;  // [heads, latent, nope], transposed so that it applies to queries
  Param* w_uv_ = nullptr;  // [heads, v, latent]
  RowParallelLinear out_;
};

}  // namespace tutti
