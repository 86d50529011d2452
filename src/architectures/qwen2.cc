#include "architectures/qwen2.h"

#include "architectures/gqa_decoder.h"

namespace tutti {

Result<std::unique_ptr<CausalLm>> make_qwen2(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions&) {
  FieldReader fields = config.fields();
  GqaConfig c;
  TUTTI_RETURN_IF_ERROR(read_gqa_config(config, fields, {.max_context = 32768, .kv_heads = 32}, c));
  TUTTI_RETURN_IF_ERROR(check_full_attention(config, fields, c, /*per_layer=*/true));
  c.attention.qkv_bias = true;
  return std::unique_ptr<CausalLm>(std::make_unique<GqaDecoder>(scope, c));
}

}  // namespace tutti
