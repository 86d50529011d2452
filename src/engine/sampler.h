// Draws one token from one row of logits on the host. Thread-safe with one scratch per thread.
// Rules and penalties (logit_adjust.h) -> temperature -> top-k -> top-p -> min-p -> softmax ->
// draw, as Hugging Face's generation/logits_process.py and vLLM order them.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/logit_adjust.h"
#include "sched/batch.h"

namespace tutti {

struct SamplerCandidate {
  float logit = 0.0F;
  int32_t token = 0;
  float weight = 0.0F;  ///< exp((logit - best) / temperature)
};

/// Buffers that keep their capacity between calls, so that a steady state does not allocate.
struct SamplerScratch {
  LogitAdjustScratch adjust;
  std::vector<SamplerCandidate> candidates;  // what may be drawn, by token id
  std::vector<SamplerCandidate> selection;   // working copy whose order is free
};

/// kInternal: no token can be drawn from a row.
Status unusable_logits();

/// kInvalidArgument: a request forbids every token that could come.
Status forbidden_tokens();

/// `logits` is one row, [columns]. Only ids below `vocab_limit` can be drawn: columns beyond the
/// tokenizer's ids are padding. -inf marks a forbidden token. `mask`: the row's in Batch::masks, or
/// empty.
///
/// The set that top-k, top-p and min-p keep is exact: tokens are ordered by (logit descending, id
/// ascending), so ties never keep more than k tokens. Log-probabilities are those of the unmodified
/// logits, as OpenAI defines them.
///
/// kInternal: a logit is NaN or +inf, or all are -inf. kInvalidArgument: the request's rules forbid
/// all that the model allows. `row.params` must have been validated.
Result<SampledToken> sample(std::span<const float> logits,
                            int64_t vocab_limit,
                            const SampleRow& row,
                            SamplerScratch& scratch,
                            std::span<const uint32_t> mask = {});

/// The log-probability and the rank of `token` in a row of logits and of the `top` likeliest. A
/// token that cannot be drawn has -inf. kInternal as above.
Result<PromptScore> score(std::span<const float> logits,
                          int64_t vocab_limit,
                          int32_t token,
                          int32_t top,
                          SamplerScratch& scratch);

}  // namespace tutti
