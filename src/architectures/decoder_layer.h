// The layer every architecture here has: h += attention(norm(h)); h += feed_forward(norm(h)), where
// the feed-forward part is one gated MLP or a mixture of experts.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "architectures/decoder.h"
#include "nn/moe.h"

namespace tutti {

/// `AttentionConfig` has a field `layer`, which is filled in for each layer.
template <class AttentionConfig>
struct LayeredConfig : DecoderConfig {
  AttentionConfig attention;
  GatedMlpConfig mlp;
  MoeConfig moe;
  std::vector<bool> has_experts;     ///< per layer; layers beyond its end have the MLP
  std::string experts_name = "mlp";  ///< of layers with experts, in checkpoints
};

template <class Attention, class AttentionConfig>
class DecoderLayer {
 public:
  using Config = LayeredConfig<AttentionConfig>;

  DecoderLayer(const Scope& s, const Config& c, int64_t index)
      : attn_norm_(s / "input_layernorm", c.hidden, c.eps, c.norm),
        attn_(s / "self_attn", at_layer(c.attention, index)),
        mlp_norm_(s / "post_attention_layernorm", c.hidden, c.eps, c.norm) {
    if (index < ssize(c.has_experts.size()) && c.has_experts[usize(index)]) {
      moe_.emplace(s / c.experts_name, c.moe);
    } else {
      mlp_.emplace(s / "mlp", c.mlp);
    }
  }

  void operator()(const StepContext& ctx, Residual& h, ConstTensorView rope_table) const {
    TensorView attended = attn_(ctx, h.norm(ctx, attn_norm_), rope_table);
    const TensorView x = h.add_and_norm(ctx, mlp_norm_, attended);
    if (mlp_) {
      mlp_->into(h.add_later(), ctx, x);
    } else {
      moe_->into(h.add_later(), ctx, x);
    }
  }

  KvLayerLayout kv_layout() const { return attn_.kv_layout(); }

 private:
  static AttentionConfig at_layer(AttentionConfig c, int64_t index) {
    c.layer = index;
    return c;
  }

  StreamNorm attn_norm_;
  Attention attn_;
  StreamNorm mlp_norm_;
  std::optional<GatedMlp> mlp_;
  std::optional<Moe> moe_;
};

}  // namespace tutti
