// Checks of a GenerationRequest before anything is made of it. User input: errors name the field,
// the value and the legal range.
#pragma once
#include <cstdint>

#include "base/status.h"
#include "engine/language_model.h"

namespace tutti {

struct GenerationLimits {
  int64_t vocab_size = 0;
  int64_t max_context = 0;          ///< the model's
  int64_t max_sequence_tokens = 0;  ///< the model's or the KV pool's, whichever is less
  int32_t max_choices = 1;
  bool has_text = true;  ///< a tokenizer is there, so stop strings and bad words can work
};

Status check_sampling(const SamplingParams& params);

/// Everything that can be said about the request alone, the prompt's ids apart (Engine::submit).
Status check_request(const GenerationRequest& request, const GenerationLimits& limits);

}  // namespace tutti
