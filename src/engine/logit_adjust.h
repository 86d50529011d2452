// What a request does to a row of logits before a token is chosen from it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "sched/batch.h"

namespace tutti {

/// Buffers of adjust_logits, used again from row to row.
struct LogitAdjustScratch {
  std::vector<float> logits;    // the result
  std::vector<int32_t> counts;  // per token; all 0 between calls
};

/// Whether adjust_logits would change anything.
bool wants_adjusting(const SampleRow& row, std::span<const uint32_t> mask);

/// The logits to choose from, in scratch.logits. In this order, as vLLM (v1/sample/sampler.py):
/// `mask` (see Batch::masks; empty: none), allowed ids, bad words, end ids before min_tokens: each
/// makes what it forbids -inf; then the bias is added; then the repetition, the frequency and the
/// presence penalty. `logits` [columns] has no NaN and no +inf, and so has the result.
std::span<const float> adjust_logits(std::span<const float> logits,
                                     const SampleRow& row,
                                     std::span<const uint32_t> mask,
                                     LogitAdjustScratch& scratch);

}  // namespace tutti
