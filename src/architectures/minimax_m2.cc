#include "architectures/minimax_m2.h"

#include <algorithm>

#include "architectures/gqa_decoder.h"

namespace tutti {

namespace {

Status unsupported(const HfConfig& hf,
                   const char* key,
                   const std::string& got,
                   const char* supported) {
  return error(
      StatusCode::kUnsupported, "{}: {} is {}; supported is {}", hf.path, key, got, supported);
}

// What other members of the family have and this forward pass does not.
Status check_plain(const HfConfig& hf, FieldReader& f) {
  const JsonArray* types = f.optional_array("attn_type_list");
  const std::string norm = f.string_or("qk_norm_type", "per_layer");
  const std::string scoring = f.string_or("scoring_func", "sigmoid");
  const int64_t shared = f.int_or("shared_intermediate_size", 0, {.min = 0, .max = kDim.max});
  const int64_t window = f.int_or("sliding_window", 0, {.min = 0, .max = int64_t{1} << 40});
  TUTTI_RETURN_IF_ERROR(f.status());
  for (size_t i = 0; types != nullptr && i < types->size(); ++i) {
    const Json& type = (*types)[i];
    if (!type.is_int() || type.as_int() != 1) {
      return unsupported(hf,
                         fmt::format("attn_type_list[{}]", i).c_str(),
                         to_string(type),
                         "1, softmax attention, in every layer");
    }
  }
  if (norm != "per_layer") {
    return unsupported(hf, "qk_norm_type", norm, "per_layer");
  }
  if (scoring != "sigmoid") {
    return unsupported(hf, "scoring_func", scoring, "sigmoid");
  }
  if (shared != 0) {
    return unsupported(hf, "shared_intermediate_size", std::to_string(shared), "0");
  }
  return window == 0 ? ok_status()
                     : unsupported(hf, "sliding_window", std::to_string(window), "null");
}

// How much of a head turns: rotary_dim, or partial_rotary_factor, also inside rope_parameters; else
// all of it.
Status parse_rotary(const HfConfig& hf, FieldReader& f, GqaConfig& c) {
  constexpr double kDefaultTheta = 5e6;
  const int64_t head_dim = c.attention.head_dim;
  const JsonObject* v5 = f.optional_object("rope_parameters");
  TUTTI_RETURN_IF_ERROR(f.status());
  const JsonObject none;
  FieldReader inner(v5 != nullptr ? *v5 : none, hf.path + ": rope_parameters");
  if (f.find("rope_theta") == nullptr && inner.find("rope_theta") == nullptr) {
    c.rope.theta = kDefaultTheta;
  }
  const double share =
      inner.number_or("partial_rotary_factor", f.number_or("partial_rotary_factor", 1.0));
  const double rotated = share * static_cast<double>(head_dim);
  const auto dim = static_cast<int64_t>(rotated > 1.0 ? std::min(rotated, 1e6) : 0.0);
  c.rotary_dim = f.int_or("rotary_dim", dim);
  TUTTI_RETURN_IF_ERROR(inner.status());
  TUTTI_RETURN_IF_ERROR(f.status());
  if (c.rotary_dim < 2 || c.rotary_dim > head_dim) {
    return invalid(
        "{}: rotary_dim (or partial_rotary_factor of head_dim) is {}, wanted 2 to head_dim ({})",
        hf.path,
        c.rotary_dim,
        head_dim);
  }
  return check_rotary_dim(hf, "rotary_dim", c.rotary_dim, c.rope);
}

Status parse_experts(const HfConfig& hf, FieldReader& f, GqaConfig& c) {
  c.has_experts.assign(usize(c.layers), true);
  c.experts_name = "block_sparse_moe";
  c.moe.names = {
      .selection_bias = "e_score_correction_bias", .gate = "w1", .up = "w3", .down = "w2"};
  c.moe.hidden = c.hidden;
  c.moe.experts = read_expert_count(f, {"num_local_experts", "num_experts"}, 256);
  c.moe.expert_width = c.mlp.width;
  c.moe.selection_bias = f.bool_or("use_routing_bias", true);
  RouterParams& r = c.moe.router;
  r.scoring = RouterScoring::kSigmoid;
  r.top_k = f.int_or("num_experts_per_tok", 8, kDim);
  r.normalize = true;
  TUTTI_RETURN_IF_ERROR(f.status());
  return r.top_k <= c.moe.experts
             ? ok_status()
             : invalid(
                   "{}: num_experts_per_tok is {}, wanted at most the {} experts of "
                   "num_local_experts",
                   hf.path,
                   r.top_k,
                   c.moe.experts);
}

}  // namespace

Result<std::unique_ptr<CausalLm>> make_minimax_m2(const HfConfig& config,
                                                  const Scope& scope,
                                                  const ModelOptions&) {
  FieldReader fields = config.fields();
  GqaConfig c;
  TUTTI_RETURN_IF_ERROR(
      read_gqa_config(config, fields, {.max_context = 196608, .kv_heads = 8, .head_dim = 128}, c));
  TUTTI_RETURN_IF_ERROR(check_plain(config, fields));
  TUTTI_RETURN_IF_ERROR(parse_rotary(config, fields, c));
  TUTTI_RETURN_IF_ERROR(parse_experts(config, fields, c));
  c.attention.qk_norm = fields.bool_or("use_qk_norm", true) ? QkNorm::kAll : QkNorm::kNone;
  const IntRange count{.min = 0, .max = 64};
  const bool mtp = fields.bool_or("use_mtp", false);
  const int64_t extra = fields.int_or("num_mtp_modules", 0, count) *
                        fields.int_or("mtp_transformer_layers", 1, count);
  TUTTI_RETURN_IF_ERROR(fields.status());
  auto model = std::make_unique<GqaDecoder>(scope, c);
  model->ignore_extra_layers(mtp ? extra : 0);
  return std::unique_ptr<CausalLm>(std::move(model));
}

}  // namespace tutti
