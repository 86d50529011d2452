// config.json keys and cross-checks that several architectures share.
#pragma once
#include <initializer_list>

#include "architectures/decoder.h"
#include "loader/hf_config.h"

namespace tutti {

/// Sanity bound of any single dimension; keeps products of three of them within 64 bits.
inline constexpr IntRange kDim{.min = 1, .max = int64_t{1} << 20};

/// `default_context`: max_position_embeddings of the class, for files without it. Reads vocab_size,
/// hidden_size, num_hidden_layers, max_position_embeddings, rms_norm_eps, tie_word_embeddings and
/// rotary settings.
Status read_decoder_config(const HfConfig& hf,
                           FieldReader& fields,
                           int64_t default_context,
                           DecoderConfig& out);

/// hidden_act must be silu.
Status require_silu(const HfConfig& hf, FieldReader& fields);

/// The number of experts under the first of `keys` that the file has: the name changed between
/// transformers versions, and the first wins.
int64_t read_expert_count(FieldReader& fields,
                          std::initializer_list<const char*> keys,
                          int64_t fallback);

/// `dim` rotated dimensions: even, and as many factors as LongRoPE needs. `key` is where they are
/// given.
Status check_rotary_dim(const HfConfig& hf, const char* key, int64_t dim, const RopeConfig& rope);

Status check_even(const HfConfig& hf, const char* key, int64_t value);
/// `divisor` must divide `value`.
Status check_divides(
    const HfConfig& hf, const char* divisor_key, int64_t divisor, const char* key, int64_t value);

}  // namespace tutti
