// Rotary position embedding (arXiv:2104.09864) with the scalings of real checkpoints: linear,
// llama3 (Llama 3.1), YaRN (arXiv:2309.00071), LongRoPE (arXiv:2402.13753), and dynamic, which
// scales only beyond max_position_embeddings, where no sequence here can be.
#pragma once
#include <cstdint>
#include <vector>

#include "loader/hf_config.h"
#include "nn/compute_context.h"
#include "nn/scope.h"

namespace tutti {

/// Inverse frequencies of `dim` rotated dimensions: dim / 2 values. LongRoPE has two sets; `beyond`
/// asks for the one of sequences longer than the original context.
std::vector<float> rope_inv_freq(const RopeConfig& config, int64_t dim, bool beyond = false);

/// Length of a sequence beyond which its tokens take the other frequencies; 0: there are none.
int64_t long_rope_from(const RopeConfig& config);

/// Multiplier of cos and sin (the attention factor of YaRN and LongRoPE); 1 for other types.
double rope_multiplier(const RopeConfig& config);

/// DeepSeek multiplies the softmax scale by this squared: 0.1 * mscale_all_dim * ln(factor) + 1,
/// else 1.
double yarn_softmax_mscale(const RopeConfig& config);

class RotaryEmbedding {
 public:
  RotaryEmbedding(const Scope& scope, const RopeConfig& config, int64_t dim);

  /// cos | sin of the positions ([t] i32); one table serves all layers. `rope_rows`: as in
  /// StepInputs, for LongRoPE only.
  TensorView table(const ComputeContext& ctx,
                   ConstTensorView positions,
                   ConstTensorView rope_rows = {}) const;  // [t, dim] f32

 private:
  Param* inv_freq_;
  Param* long_inv_freq_ = nullptr;  // LongRoPE
  int64_t dim_;
  float multiplier_;
};

}  // namespace tutti
