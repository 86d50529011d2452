#include "architectures/llama.h"

#include "architectures/gqa_decoder.h"

namespace tutti {

Result<std::unique_ptr<CausalLm>> make_llama(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions&) {
  FieldReader fields = config.fields();
  GqaConfig c;
  TUTTI_RETURN_IF_ERROR(read_gqa_config(config, fields, {.max_context = 2048}, c));
  c.attention.qkv_bias = fields.bool_or("attention_bias", false);
  c.attention.out_bias = c.attention.qkv_bias;
  c.mlp.bias = fields.bool_or("mlp_bias", false);
  TUTTI_RETURN_IF_ERROR(fields.status());
  return std::unique_ptr<CausalLm>(std::make_unique<GqaDecoder>(scope, c));
}

}  // namespace tutti
