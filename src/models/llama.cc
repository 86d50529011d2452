#include "models/llama.h"

#include "models/config_checks.h"
#include "models/decoder.h"
#include "nn/attention.h"
#include "nn/mlp.h"

namespace tutti {

namespace {

struct LlamaConfig : DecoderConfig {
  int64_t width = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  bool attention_bias = false;  // on q, k, v and o
  bool mlp_bias = false;
};

class LlamaLayer {
 public:
  LlamaLayer(const Scope& s, const LlamaConfig& c, int64_t index)
      : attn_norm_(s / "input_layernorm", c.hidden, c.eps),
        attn_(s / "self_attn",
              {.layer = index,
               .hidden = c.hidden,
               .heads = c.heads,
               .kv_heads = c.kv_heads,
               .head_dim = c.head_dim,
               .qkv_bias = c.attention_bias,
               .out_bias = c.attention_bias}),
        mlp_norm_(s / "post_attention_layernorm", c.hidden, c.eps),
        mlp_(s / "mlp", {.hidden = c.hidden, .width = c.width, .bias = c.mlp_bias}) {}

  void operator()(const StepContext& ctx, TensorView h, ConstTensorView rope_table) const {
    const TensorView x = mlp_norm_.add(ctx, h, attn_(ctx, attn_norm_(ctx, h), rope_table));
    ctx.ops.add(h, mlp_(ctx, x));
  }

  KvLayerLayout kv_layout() const { return attn_.kv_layout(); }

 private:
  RmsNorm attn_norm_;
  Attention attn_;
  RmsNorm mlp_norm_;
  GatedMlp mlp_;
};

Result<LlamaConfig> parse(const HfConfig& hf) {
  FieldReader f = hf.fields();
  LlamaConfig c;
  TUTTI_RETURN_IF_ERROR(read_decoder_config(hf, f, c));
  c.width = f.required_int("intermediate_size", kDim);
  c.heads = f.required_int("num_attention_heads", kDim);
  c.kv_heads = f.int_or("num_key_value_heads", c.heads, kDim);
  const int64_t default_dim = c.heads > 0 ? c.hidden / c.heads : 0;
  c.head_dim = f.int_or("head_dim", default_dim, kDim);
  c.attention_bias = f.bool_or("attention_bias", false);
  c.mlp_bias = f.bool_or("mlp_bias", false);
  c.rotary_dim = c.head_dim;
  TUTTI_RETURN_IF_ERROR(f.status());
  TUTTI_RETURN_IF_ERROR(check_even(hf, "head_dim", c.head_dim));
  TUTTI_RETURN_IF_ERROR(
      check_divides(hf, "num_key_value_heads", c.kv_heads, "num_attention_heads", c.heads));
  return c;
}

}  // namespace

Result<std::unique_ptr<CausalLm>> make_llama(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions&) {
  TUTTI_TRY(const LlamaConfig c, parse(config));
  return std::unique_ptr<CausalLm>(std::make_unique<Decoder<LlamaLayer, LlamaConfig>>(scope, c));
}

}  // namespace tutti
