// What a checkpoint says about generating: generation_config.json, config.json, the tokenizer.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "engine/language_model.h"

namespace tutti {

/// Both files are optional (nullptr); `tokenizer_eos` is Tokenizer::eos_id().
///
/// EOS ids: generation_config.eos_token_id (one or several) and tokenizer_eos; config.eos_token_id
/// only if generation_config has none, since it is wrong or missing in many checkpoints. null and
/// negative ids mean none.
///
/// Sampling: the values of generation_config (temperature, top_k, top_p, min_p,
/// repetition_penalty); greedy if do_sample is false; else the defaults of SamplingParams.
///
/// Errors name file and field.
Result<GenerationDefaults> make_generation_defaults(const Json* generation_config,
                                                    const Json* config,
                                                    std::optional<int32_t> tokenizer_eos);

/// The same from the files of a checkpoint directory. Absent files are no error.
Result<GenerationDefaults> load_generation_defaults(const std::string& directory,
                                                    std::optional<int32_t> tokenizer_eos);

}  // namespace tutti
