#include "architectures/spark.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "architectures/gqa_decoder.h"

namespace tutti {

namespace {

// Read here, or of no effect on the forward pass.
constexpr auto kKnownKeys = std::to_array<std::string_view>({
    "_name_or_path",
    "architectures",
    "attention_bias",
    "attention_dropout",
    "auto_map",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_dropout",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "pad_token_id",
    "qkv_bias",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "vocab_size",
});

Status check_keys(const HfConfig& hf) {
  for (const JsonMember& member : hf.json.members()) {
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), member.key) == kKnownKeys.end()) {
      return error(StatusCode::kUnsupported,
                   "{}: {} is {}; this key of {} is not known here, and what it means may change "
                   "the result: the architecture is written from notes, without its files",
                   hf.path,
                   member.key,
                   to_string(member.value),
                   hf.architecture);
    }
  }
  return ok_status();
}

Status parse_activation(const HfConfig& hf, FieldReader& f, GqaConfig& c) {
  const std::string act = f.required_string("hidden_act");
  TUTTI_RETURN_IF_ERROR(f.status());
  if (act == "silu" || act == "swish") {
    c.mlp.activation = Activation::kSilu;
  } else if (act == "gelu") {
    c.mlp.activation = Activation::kGelu;
  } else if (act == "gelu_new" || act == "gelu_fast" || act == "gelu_pytorch_tanh") {
    c.mlp.activation = Activation::kGeluTanh;
  } else {
    return error(StatusCode::kUnsupported,
                 "{}: hidden_act \"{}\" is not supported by {}; supported are \"silu\", "
                 "\"gelu\", \"gelu_new\", \"gelu_fast\" and \"gelu_pytorch_tanh\"",
                 hf.path,
                 act,
                 hf.architecture);
  }
  return ok_status();
}

// The epsilon that is given says which norm it is of.
Status parse_norm(const HfConfig& hf, FieldReader& f, GqaConfig& c) {
  constexpr NumberRange kEps{.min = 0.0, .max = 1.0};
  const std::optional<double> layer = f.optional_number("layer_norm_eps", kEps);
  const std::optional<double> rms = f.optional_number("rms_norm_eps", kEps);
  TUTTI_RETURN_IF_ERROR(f.status());
  if (layer.has_value() == rms.has_value()) {
    return invalid("{}: wanted either layer_norm_eps or rms_norm_eps, got {}",
                   hf.path,
                   layer ? "both" : "neither");
  }
  c.norm = layer ? NormKind::kLayer : NormKind::kRms;
  c.eps = layer ? *layer : *rms;
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<CausalLm>> make_spark(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions&) {
  TUTTI_RETURN_IF_ERROR(check_keys(config));
  FieldReader fields = config.fields();
  GqaConfig c;
  TUTTI_RETURN_IF_ERROR(
      read_gqa_config(config, fields, {.max_context = 4096, .any_activation = true}, c));
  TUTTI_RETURN_IF_ERROR(parse_activation(config, fields, c));
  TUTTI_RETURN_IF_ERROR(parse_norm(config, fields, c));
  c.attention.out_bias = fields.bool_or("attention_bias", false);
  c.attention.qkv_bias = fields.bool_or("qkv_bias", c.attention.out_bias);
  c.mlp.bias = fields.bool_or("mlp_bias", false);
  TUTTI_RETURN_IF_ERROR(fields.status());
  return std::unique_ptr<CausalLm>(std::make_unique<GqaDecoder>(scope, c));
}

}  // namespace tutti
