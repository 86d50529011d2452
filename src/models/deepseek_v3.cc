#include "models/deepseek_v3.h"

#include <cmath>
#include <optional>

#include "models/config_checks.h"
#include "models/decoder.h"
#include "nn/mla.h"
#include "nn/moe.h"

namespace tutti {

namespace {

// The reference builds the two inner MLA norms with its class default, whatever rms_norm_eps says.
constexpr double kInnerNormEps = 1e-6;

struct DeepseekV3Config : DecoderConfig {
  MlaConfig mla;
  MoeConfig moe;
  int64_t dense_width = 0;
  int64_t first_dense = 0;  // this many layers have a dense MLP
  int64_t mtp_layers = 0;   // in the checkpoint, not run
};

MlaConfig at_layer(MlaConfig mla, int64_t index) {
  mla.layer = index;
  return mla;
}

class DeepseekV3Layer {
 public:
  DeepseekV3Layer(const Scope& s, const DeepseekV3Config& c, int64_t index)
      : attn_norm_(s / "input_layernorm", c.hidden, c.eps),
        attn_(s / "self_attn", at_layer(c.mla, index)),
        mlp_norm_(s / "post_attention_layernorm", c.hidden, c.eps) {
    if (index < c.first_dense) {
      dense_.emplace(s / "mlp", GatedMlpConfig{.hidden = c.hidden, .width = c.dense_width});
    } else {
      moe_.emplace(s / "mlp", c.moe);
    }
  }

  void operator()(const StepContext& ctx, TensorView h, ConstTensorView rope_table) const {
    const TensorView x = mlp_norm_.add(ctx, h, attn_(ctx, attn_norm_(ctx, h), rope_table));
    ctx.ops.add(h, dense_ ? (*dense_)(ctx, x) : (*moe_)(ctx, x));
  }

  KvLayerLayout kv_layout() const { return attn_.kv_layout(); }

 private:
  RmsNorm attn_norm_;
  Mla attn_;
  RmsNorm mlp_norm_;
  std::optional<GatedMlp> dense_;
  std::optional<Moe> moe_;
};

Status parse_attention(const HfConfig& hf, FieldReader& f, DeepseekV3Config& c) {
  c.mla.hidden = c.hidden;
  c.mla.heads = f.required_int("num_attention_heads", kDim);
  c.mla.q_lora_rank = f.int_or("q_lora_rank", 0, {.min = 0, .max = kDim.max});
  c.mla.kv_lora_rank = f.required_int("kv_lora_rank", kDim);
  c.mla.nope_dim = f.required_int("qk_nope_head_dim", kDim);
  c.mla.rope_dim = f.required_int("qk_rope_head_dim", kDim);
  c.mla.v_dim = f.required_int("v_head_dim", kDim);
  c.mla.bias = f.bool_or("attention_bias", false);
  c.mla.norm_eps = kInnerNormEps;
  TUTTI_RETURN_IF_ERROR(f.status());
  c.rotary_dim = c.mla.rope_dim;
  const double mscale = yarn_softmax_mscale(c.rope);
  c.mla.softmax_scale =
      mscale * mscale / std::sqrt(static_cast<double>(c.mla.nope_dim + c.mla.rope_dim));
  return check_even(hf, "qk_rope_head_dim", c.mla.rope_dim);
}

Status parse_experts(const HfConfig& hf, FieldReader& f, DeepseekV3Config& c) {
  c.first_dense = f.int_or("first_k_dense_replace", 0, {.min = 0, .max = kDim.max});
  c.dense_width = f.required_int("intermediate_size", kDim);
  c.mtp_layers = f.int_or("num_nextn_predict_layers", 0, {.min = 0, .max = 64});
  c.moe.hidden = c.hidden;
  c.moe.experts = f.required_int("n_routed_experts", kDim);
  c.moe.expert_width = f.required_int("moe_intermediate_size", kDim);
  c.moe.shared_width =
      f.int_or("n_shared_experts", 0, {.min = 0, .max = 1024}) * c.moe.expert_width;
  c.moe.selection_bias = true;
  RouterParams& r = c.moe.router;
  r.scoring = RouterScoring::kSigmoid;
  r.top_k = f.required_int("num_experts_per_tok", kDim);
  r.num_groups = f.int_or("n_group", 1, kDim);
  r.top_groups = f.int_or("topk_group", 1, kDim);
  r.normalize = f.bool_or("norm_topk_prob", true);
  r.scale = static_cast<float>(f.number_or("routed_scaling_factor", 1.0, {.min = 0.0, .max = 1e6}));
  const std::string scoring = f.string_or("scoring_func", "sigmoid");
  const std::string method = f.string_or("topk_method", "noaux_tc");
  const int64_t frequency = f.int_or("moe_layer_freq", 1);
  TUTTI_RETURN_IF_ERROR(f.status());
  if (scoring != "sigmoid" || method != "noaux_tc" || frequency != 1) {
    return error(StatusCode::kUnsupported,
                 "{}: scoring_func \"{}\", topk_method \"{}\", moe_layer_freq {} is not supported; "
                 "supported is "
                 "\"sigmoid\", \"noaux_tc\", 1",
                 hf.path,
                 scoring,
                 method,
                 frequency);
  }
  TUTTI_RETURN_IF_ERROR(
      check_divides(hf, "n_group", r.num_groups, "n_routed_experts", c.moe.experts));
  if (r.top_groups > r.num_groups || r.top_k > c.moe.experts / r.num_groups * r.top_groups) {
    return invalid(
        "{}: topk_group {} of n_group {} cannot supply num_experts_per_tok {} of n_routed_experts "
        "{}",
        hf.path,
        r.top_groups,
        r.num_groups,
        r.top_k,
        c.moe.experts);
  }
  if (r.num_groups > 1 && c.moe.experts / r.num_groups < 2) {
    return invalid(
        "{}: n_group {} leaves one expert per group; group scores need two", hf.path, r.num_groups);
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<CausalLm>> make_deepseek_v3(const HfConfig& config,
                                                   const Scope& scope,
                                                   const ModelOptions& options) {
  FieldReader fields = config.fields();
  DeepseekV3Config c;
  TUTTI_RETURN_IF_ERROR(read_decoder_config(config, fields, c));
  TUTTI_RETURN_IF_ERROR(parse_attention(config, fields, c));
  TUTTI_RETURN_IF_ERROR(parse_experts(config, fields, c));
  c.mla.form = options.mla_form;
  auto model = std::make_unique<Decoder<DeepseekV3Layer, DeepseekV3Config>>(scope, c);
  model->ignore_extra_layers(c.mtp_layers);
  return std::unique_ptr<CausalLm>(std::move(model));
}

}  // namespace tutti
