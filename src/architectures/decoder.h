// The frame every decoder-only model shares: embed, layers, final norm, head.
#pragma once
#include <memory>
#include <vector>

#include "architectures/causal_lm.h"
#include "nn/embedding.h"
#include "nn/residual.h"
#include "nn/rotary.h"

namespace tutti {

struct DecoderConfig {
  int64_t vocab = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t max_context = 0;
  double eps = 1e-6;
  NormKind norm = NormKind::kRms;  ///< of the residual stream
  bool tied = false;               ///< the head is the transposed embedding
  RopeConfig rope;
  int64_t rotary_dim = 0;
};

/// `Layer` is built as Layer(scope, config, index), updates the residual stream
///   void operator()(const StepContext&, Residual& h, ConstTensorView rope_table) const
/// and says what it caches: KvLayerLayout kv_layout() const. `Config` derives from DecoderConfig.
template <class Layer, class Config>
class Decoder final : public CausalLm {
 public:
  Decoder(const Scope& scope, const Config& c)
      : embed_(scope / "model" / "embed_tokens", c.vocab, c.hidden),
        rotary_(scope / "model" / "rotary", c.rope, c.rotary_dim),
        norm_(scope / "model" / "norm", c.hidden, c.eps, c.norm) {
    info_.vocab_size = c.vocab;
    info_.max_context = c.max_context;
    info_.long_rope_from = long_rope_from(c.rope);
    layers_.reserve(usize(c.layers));
    for (int64_t i = 0; i < c.layers; ++i) {
      layers_.emplace_back(scope / "model" / "layers" / i, c, i);
      info_.kv.layers.push_back(layers_.back().kv_layout());
    }
    if (!c.tied) {
      head_ = std::make_unique<VocabParallelEmbedding>(scope / "lm_head", c.vocab, c.hidden);
    }
    info_.logit_ids = head().ids();
  }

  /// The checkpoint also holds `count` layers after the last one (multi-token prediction); they are
  /// not run.
  void ignore_extra_layers(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      info_.ignored_prefixes.push_back("model.layers." + std::to_string(layers_.size() + usize(i)) +
                                       ".");
    }
  }

  const CausalLmInfo& info() const override { return info_; }

  TensorView forward(const StepContext& ctx, HiddenRows rows) const override {
    Residual h(ctx, embed_(ctx, ctx.in.tokens));
    const TensorView rope_table = rotary_.table(ctx, ctx.in.positions, ctx.in.rope_rows);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const TraceScope trace("layer", static_cast<long long>(i));
      const Arena::Scope scratch(ctx.arena);
      layers_[i](ctx, h, rope_table);
    }
    return rows == HiddenRows::kAll ? h.norm(ctx, norm_)
                                    : h.norm_rows(ctx, norm_, ctx.in.logit_rows);
  }

  TensorView logits(const ComputeContext& ctx, ConstTensorView hidden) const override {
    return head().logits(ctx, hidden);
  }

 private:
  const VocabParallelEmbedding& head() const { return head_ ? *head_ : embed_; }

  CausalLmInfo info_;
  VocabParallelEmbedding embed_;
  RotaryEmbedding rotary_;
  std::vector<Layer> layers_;
  StreamNorm norm_;
  std::unique_ptr<VocabParallelEmbedding> head_;
};

}  // namespace tutti
