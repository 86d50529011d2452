#include "architectures/deepseek_v3.h"

#include <cmath>

#include "architectures/config_checks.h"
#include "architectures/decoder_layer.h"
#include "nn/mla.h"

namespace tutti {

namespace {

// The reference builds the two inner MLA norms with its class default, whatever rms_norm_eps says.
constexpr double kInnerNormEps = 1e-6;

using DeepseekV3Config = LayeredConfig<MlaConfig>;
using DeepseekV3Decoder = Decoder<DecoderLayer<Mla, MlaConfig>, DeepseekV3Config>;

Status parse_attention(const HfConfig& hf, FieldReader& f, DeepseekV3Config& c) {
  MlaConfig& a = c.attention;
  a.hidden = c.hidden;
  a.heads = f.required_int("num_attention_heads", kDim);
  // A missing key means the class default, null means no compression.
  const bool no_q_rank = hf.json.find("q_lora_rank") != nullptr && f.find("q_lora_rank") == nullptr;
  a.q_lora_rank = no_q_rank ? 0 : f.int_or("q_lora_rank", 1536, {.min = 0, .max = kDim.max});
  a.kv_lora_rank = f.required_int("kv_lora_rank", kDim);
  a.nope_dim = f.required_int("qk_nope_head_dim", kDim);
  a.rope_dim = f.required_int("qk_rope_head_dim", kDim);
  a.v_dim = f.required_int("v_head_dim", kDim);
  a.bias = f.bool_or("attention_bias", false);
  a.norm_eps = kInnerNormEps;
  if (!f.bool_or("rope_interleave", true)) {
    a.rope_layout = RopeLayout::kHalfSplit;
  }
  TUTTI_RETURN_IF_ERROR(f.status());
  c.rotary_dim = a.rope_dim;
  const double mscale = yarn_softmax_mscale(c.rope);
  a.softmax_scale = mscale * mscale / std::sqrt(static_cast<double>(a.nope_dim + a.rope_dim));
  return check_rotary_dim(hf, "qk_rope_head_dim", a.rope_dim, c.rope);
}

Status parse_experts(const HfConfig& hf, FieldReader& f, DeepseekV3Config& c) {
  const int64_t first = f.int_or("first_k_dense_replace", 3, {.min = 0, .max = kDim.max});
  for (int64_t i = 0; i < c.layers; ++i) {
    c.has_experts.push_back(i >= first);
  }
  c.mlp.hidden = c.hidden;
  c.mlp.width = f.required_int("intermediate_size", kDim);
  c.moe.hidden = c.hidden;
  c.moe.experts = read_expert_count(f, {"num_local_experts", "n_routed_experts", "num_experts"}, 0);
  if (c.moe.experts == 0) {
    c.moe.experts = f.required_int("n_routed_experts", kDim);
  }
  c.moe.expert_width = f.required_int("moe_intermediate_size", kDim);
  c.moe.shared_width =
      f.int_or("n_shared_experts", 1, {.min = 0, .max = 1024}) * c.moe.expert_width;
  c.moe.selection_bias = true;
  RouterParams& r = c.moe.router;
  r.scoring = RouterScoring::kSigmoid;
  r.top_k = f.required_int("num_experts_per_tok", kDim);
  r.num_groups = f.int_or("n_group", 8, kDim);
  r.top_groups = f.int_or("topk_group", 4, kDim);
  r.normalize = f.bool_or("norm_topk_prob", true);
  r.scale = static_cast<float>(f.number_or("routed_scaling_factor", 2.5, {.min = 0.0, .max = 1e6}));
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
  TUTTI_RETURN_IF_ERROR(read_decoder_config(config, fields, 4096, c));
  TUTTI_RETURN_IF_ERROR(require_silu(config, fields));
  TUTTI_RETURN_IF_ERROR(parse_attention(config, fields, c));
  TUTTI_RETURN_IF_ERROR(parse_experts(config, fields, c));
  c.attention.form = options.mla_form;
  const IntRange layers{.min = 0, .max = 64};
  const int64_t mtp_layers =
      fields.int_or("num_mtp_layers", fields.int_or("num_nextn_predict_layers", 1, layers), layers);
  TUTTI_RETURN_IF_ERROR(fields.status());
  auto model = std::make_unique<DeepseekV3Decoder>(scope, c);
  model->ignore_extra_layers(mtp_layers);
  return std::unique_ptr<CausalLm>(std::move(model));
}

}  // namespace tutti
