#include "architectures/qwen3.h"

#include "architectures/gqa_decoder.h"

namespace tutti {

Result<std::unique_ptr<CausalLm>> make_qwen3(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions&) {
  FieldReader fields = config.fields();
  GqaConfig c;
  TUTTI_RETURN_IF_ERROR(
      read_gqa_config(config, fields, {.max_context = 32768, .kv_heads = 32, .head_dim = 128}, c));
  TUTTI_RETURN_IF_ERROR(check_full_attention(config, fields, c, /*per_layer=*/true));
  c.attention.qk_norm = QkNorm::kHeads;
  c.attention.qkv_bias = fields.bool_or("attention_bias", false);
  c.attention.out_bias = c.attention.qkv_bias;
  TUTTI_RETURN_IF_ERROR(fields.status());
  return std::unique_ptr<CausalLm>(std::make_unique<GqaDecoder>(scope, c));
}

}  // namespace tutti
