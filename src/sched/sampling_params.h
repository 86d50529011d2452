// How one sequence's next token is chosen. Order of application (as Hugging Face and vLLM): what is
// forbidden -> logit bias -> penalties -> temperature -> top-k -> top-p -> min-p -> softmax ->
// draw; temperature 0 is greedy. The first two are in logit_rules.h.
#pragma once
#include <cstdint>

namespace tutti {

constexpr int32_t kMaxTopLogprobs = 20;

struct SamplingParams {
  float temperature = 1.0F;        ///< >= 0; 0 = greedy (lowest id wins a tie)
  int32_t top_k = 0;               ///< keep the k most likely tokens; 0 = all
  float top_p = 1.0F;              ///< (0, 1]: smallest set with at least this probability mass
  float min_p = 0.0F;              ///< [0, 1]: drop tokens below min_p * p(best)
  float presence_penalty = 0.0F;   ///< [-2, 2], subtracted once per token that was generated
  float frequency_penalty = 0.0F;  ///< [-2, 2], subtracted per occurrence among generated tokens
  float repetition_penalty =
      1.0F;  ///< > 0, divides (or multiplies negative) logits of seen tokens, prompt included
  uint64_t seed =
      0;  ///< the draw depends on (seed, choice index, output position) and nothing else
  int32_t top_logprobs =
      -1;  ///< -1: no log-probabilities; 0..kMaxTopLogprobs: chosen token plus that many
  int32_t prompt_logprobs = -1;  ///< the same of each token of the prompt but the first

  bool greedy() const { return temperature == 0.0F; }

  bool has_penalties() const {
    return presence_penalty != 0.0F || frequency_penalty != 0.0F || repetition_penalty != 1.0F;
  }
};

enum class FinishReason { kStop, kLength, kCancelled };

/// OpenAI's word: "stop" or "length"; "cancelled" is ours and never sent as a finish_reason.
constexpr const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "stop";
}

}  // namespace tutti
