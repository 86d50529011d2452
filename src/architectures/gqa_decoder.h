// What Llama and the Qwen generations share: grouped-query attention, the frame around it, and the
// configuration keys of both. They differ in biases, norms of heads, experts and defaults, which
// each model file states.
#pragma once
#include <memory>

#include "architectures/causal_lm.h"
#include "architectures/config_checks.h"
#include "architectures/decoder_layer.h"
#include "loader/hf_config.h"
#include "nn/attention.h"

namespace tutti {

using GqaConfig = LayeredConfig<AttentionConfig>;
using GqaDecoder = Decoder<DecoderLayer<Attention, AttentionConfig>, GqaConfig>;

/// Values that transformers' configuration class gives to keys a file leaves out.
struct GqaDefaults {
  int64_t max_context = 0;
  int64_t kv_heads = 0;         ///< 0: as many as heads. A null key always means that
  int64_t head_dim = 0;         ///< 0: hidden_size / num_attention_heads
  bool any_activation = false;  ///< hidden_act is the model file's; else it must be silu
};

/// Reads and checks everything but biases and experts. Errors name file, key, value and wanted.
Status read_gqa_config(const HfConfig& hf,
                       FieldReader& fields,
                       const GqaDefaults& defaults,
                       GqaConfig& out);

/// Qwen's keys of sliding-window attention (use_sliding_window, sliding_window, max_window_layers,
/// layer_types) must leave every layer with full attention; kUnsupported names the one that does
/// not. `per_layer`: the class chooses by layer (Qwen2, Qwen3), not for all layers at once
/// (Qwen3Moe).
Status check_full_attention(const HfConfig& hf,
                            FieldReader& fields,
                            const DecoderConfig& config,
                            bool per_layer);

}  // namespace tutti
