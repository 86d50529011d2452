#include "architectures/qwen3_moe.h"

#include "architectures/gqa_decoder.h"

namespace tutti {

namespace {

Status parse_experts(const HfConfig& hf, FieldReader& f, GqaConfig& c) {
  c.moe.hidden = c.hidden;
  c.moe.experts =
      read_expert_count(f, {"num_local_experts", "num_experts", "n_routed_experts"}, 128);
  c.moe.expert_width = f.int_or("moe_intermediate_size", 768, kDim);
  RouterParams& r = c.moe.router;
  r.scoring = RouterScoring::kSoftmax;
  r.top_k = f.int_or("num_experts_per_tok", 8, kDim);
  r.normalize = f.bool_or("norm_topk_prob", false);
  TUTTI_RETURN_IF_ERROR(f.status());
  if (r.top_k > c.moe.experts) {
    return invalid("{}: num_experts_per_tok is {}, wanted at most the {} experts of num_experts",
                   hf.path,
                   r.top_k,
                   c.moe.experts);
  }
  return ok_status();
}

// A layer has experts if decoder_sparse_step divides its number, counted from 1, and
// mlp_only_layers does not name it, counted from 0.
Status place_experts(const HfConfig& hf, FieldReader& f, GqaConfig& c) {
  const int64_t step = f.int_or("decoder_sparse_step", 1, kDim);
  const JsonArray* dense = f.optional_array("mlp_only_layers");
  TUTTI_RETURN_IF_ERROR(f.status());
  for (int64_t i = 0; i < c.layers; ++i) {
    c.has_experts.push_back((i + 1) % step == 0);
  }
  if (dense == nullptr) {
    return ok_status();
  }
  for (size_t i = 0; i < dense->size(); ++i) {
    const Json& index = (*dense)[i];
    if (!index.is_int() || index.as_int() < 0 || index.as_int() >= c.layers) {
      return invalid("{}: mlp_only_layers[{}] is {}, wanted a layer from 0 to {}",
                     hf.path,
                     i,
                     to_string(index),
                     c.layers - 1);
    }
    c.has_experts[usize(index.as_int())] = false;
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<CausalLm>> make_qwen3_moe(const HfConfig& config,
                                                 const Scope& scope,
                                                 const ModelOptions&) {
  FieldReader fields = config.fields();
  GqaConfig c;
  TUTTI_RETURN_IF_ERROR(read_gqa_config(config, fields, {.max_context = 32768, .kv_heads = 4}, c));
  TUTTI_RETURN_IF_ERROR(check_full_attention(config, fields, c, /*per_layer=*/false));
  c.attention.qk_norm = QkNorm::kHeads;
  c.attention.qkv_bias = fields.bool_or("attention_bias", false);
  c.attention.out_bias = c.attention.qkv_bias;
  TUTTI_RETURN_IF_ERROR(parse_experts(config, fields, c));
  TUTTI_RETURN_IF_ERROR(place_experts(config, fields, c));
  return std::unique_ptr<CausalLm>(std::make_unique<GqaDecoder>(scope, c));
}

}  // namespace tutti
