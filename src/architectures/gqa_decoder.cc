#include "architectures/gqa_decoder.h"

namespace tutti {

Status read_gqa_config(const HfConfig& hf,
                       FieldReader& f,
                       const GqaDefaults& defaults,
                       GqaConfig& c) {
  TUTTI_RETURN_IF_ERROR(read_decoder_config(hf, f, defaults.max_context, c));
  if (!defaults.any_activation) {
    TUTTI_RETURN_IF_ERROR(require_silu(hf, f));
  }
  AttentionConfig& a = c.attention;
  a.hidden = c.hidden;
  a.heads = f.required_int("num_attention_heads", kDim);
  const bool absent = hf.json.find("num_key_value_heads") == nullptr;
  a.kv_heads = f.int_or(
      "num_key_value_heads", absent && defaults.kv_heads > 0 ? defaults.kv_heads : a.heads, kDim);
  a.head_dim = f.int_or("head_dim", defaults.head_dim, kDim);
  c.mlp.hidden = c.hidden;
  c.mlp.width = f.required_int("intermediate_size", kDim);
  TUTTI_RETURN_IF_ERROR(f.status());
  if (a.head_dim == 0) {
    a.head_dim = c.hidden / a.heads;
    if (a.head_dim == 0) {
      return invalid(
          "{}: num_attention_heads is {}, wanted at most hidden_size ({}) where head_dim is not "
          "given",
          hf.path,
          a.heads,
          c.hidden);
    }
  }
  a.norm_eps = c.eps;
  c.rotary_dim = a.head_dim;
  TUTTI_RETURN_IF_ERROR(check_rotary_dim(hf, "head_dim", a.head_dim, c.rope));
  return check_divides(hf, "num_key_value_heads", a.kv_heads, "num_attention_heads", a.heads);
}

Status check_full_attention(const HfConfig& hf,
                            FieldReader& f,
                            const DecoderConfig& c,
                            bool per_layer) {
  constexpr IntRange kCount{.min = 0, .max = int64_t{1} << 40};
  const bool used = f.bool_or("use_sliding_window", false);
  const bool window_is_null =
      hf.json.find("sliding_window") != nullptr && f.find("sliding_window") == nullptr;
  const int64_t window = f.int_or("sliding_window", 4096, kCount);
  const int64_t first = f.int_or("max_window_layers", 28, kCount);
  const JsonArray* types = per_layer ? f.optional_array("layer_types") : nullptr;
  TUTTI_RETURN_IF_ERROR(f.status());
  if (types != nullptr) {
    for (size_t i = 0; i < types->size(); ++i) {
      const Json& type = (*types)[i];
      if (!type.is_string() || type.as_string() != "full_attention") {
        return error(StatusCode::kUnsupported,
                     "{}: layer_types[{}] is {}; supported is \"full_attention\" in every layer",
                     hf.path,
                     i,
                     to_string(type));
      }
    }
    if (ssize(types->size()) != c.layers) {
      return invalid("{}: layer_types has {} entries, wanted num_hidden_layers ({})",
                     hf.path,
                     types->size(),
                     c.layers);
    }
    return ok_status();  // an explicit list decides alone
  }
  // A window that no position can leave is no window.
  if (!used || window_is_null || window >= c.max_context || (per_layer && first >= c.layers)) {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "{}: use_sliding_window true with sliding_window {} is not supported; supported is "
               "full attention in every layer",
               hf.path,
               window);
}

}  // namespace tutti
