#include "architectures/config_checks.h"

namespace tutti {

Status read_decoder_config(const HfConfig& hf,
                           FieldReader& f,
                           int64_t default_context,
                           DecoderConfig& out) {
  constexpr IntRange kVocab{.min = 1, .max = int64_t{1} << 24};
  constexpr IntRange kLayers{.min = 1, .max = 4096};
  constexpr IntRange kContext{.min = 1, .max = int64_t{1} << 30};
  out.vocab = f.required_int("vocab_size", kVocab);
  out.hidden = f.required_int("hidden_size", kDim);
  out.layers = f.required_int("num_hidden_layers", kLayers);
  out.max_context = f.int_or("max_position_embeddings", default_context, kContext);
  out.eps = f.number_or("rms_norm_eps", 1e-6, {.min = 0.0, .max = 1.0});
  out.tied = f.bool_or("tie_word_embeddings", false);
  TUTTI_RETURN_IF_ERROR(f.status());
  TUTTI_TRY(out.rope, hf.rope(out.max_context));
  return ok_status();
}

Status require_silu(const HfConfig& hf, FieldReader& f) {
  const std::string act = f.string_or("hidden_act", "silu");
  TUTTI_RETURN_IF_ERROR(f.status());
  return act == "silu" || act == "swish"
             ? ok_status()
             : error(StatusCode::kUnsupported,
                     "{}: hidden_act \"{}\" is not supported by {}; supported is \"silu\"",
                     hf.path,
                     act,
                     hf.architecture);
}

int64_t read_expert_count(FieldReader& f,
                          std::initializer_list<const char*> keys,
                          int64_t fallback) {
  for (const char* key : keys) {
    if (f.find(key) != nullptr) {
      return f.int_or(key, fallback, kDim);
    }
  }
  return fallback;
}

Status check_rotary_dim(const HfConfig& hf, const char* key, int64_t dim, const RopeConfig& rope) {
  TUTTI_RETURN_IF_ERROR(check_even(hf, key, dim));
  if (rope.type == "longrope") {
    for (const auto& [name, factors] : {std::pair("short_factor", &rope.short_factor),
                                        std::pair("long_factor", &rope.long_factor)}) {
      if (ssize(factors->size()) != dim / 2) {
        return invalid("{}: {} of rope_type longrope has {} numbers, wanted {} ({} / 2)",
                       hf.path,
                       name,
                       factors->size(),
                       dim / 2,
                       key);
      }
    }
  }
  return ok_status();
}

Status check_even(const HfConfig& hf, const char* key, int64_t value) {
  return value % 2 == 0 ? ok_status()
                        : invalid("{}: {} is {}, wanted an even number", hf.path, key, value);
}

Status check_divides(
    const HfConfig& hf, const char* divisor_key, int64_t divisor, const char* key, int64_t value) {
  return value % divisor == 0
             ? ok_status()
             : invalid(
                   "{}: {} ({}) must divide {} ({})", hf.path, divisor_key, divisor, key, value);
}

}  // namespace tutti
