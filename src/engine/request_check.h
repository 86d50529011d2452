// Checks of a GenerationRequest before anything is made of it: what the model and other parameters
// leave of the ranges in request_parameters.h. Errors name the field, the value and what is legal.
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

/// Whether max_tokens, min_tokens and echo go together.
Status check_lengths(const GenerationRequest& request);

/// Everything that can be said about the request alone, the prompt's ids apart (Engine::submit).
Status check_request(const GenerationRequest& request, const GenerationLimits& limits);

}  // namespace tutti
