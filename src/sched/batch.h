// One step's work as a flat value: the scheduler makes it, every rank reads it. It holds no
// pointers into the engine, so that it can be queued to rank threads today and sent to other hosts
// later.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "sched/sampling_params.h"

namespace tutti {

/// What the sampler must know about a row beyond its logits.
struct SampleRow {
  SamplingParams params;
  int32_t choice = 0;           ///< index among the n choices of a request; part of the random key
  int64_t output_position = 0;  ///< tokens generated before this one; part of the random key
  // Only filled when params.has_penalties(): the tokens the penalties count.
  std::vector<int32_t> prompt_tokens;
  std::vector<int32_t> output_tokens;
};

/// One sequence's share of a step: `token_count` tokens starting at position `context_before`.
struct BatchSequence {
  uint64_t sequence_id = 0;
  int64_t token_begin = 0;      ///< first of its tokens in Batch::tokens
  int64_t token_count = 0;      ///< 1 when decoding, up to the chunk size when prefilling
  int64_t context_before = 0;   ///< tokens whose KV is already stored
  std::vector<int32_t> blocks;  ///< KV blocks in order; cover context_before + token_count tokens
  std::optional<SampleRow> sample;  ///< set if the last token's logits yield a token in this step
};

struct Batch {
  static constexpr int32_t kVersion = 1;
  int32_t version = kVersion;
  uint64_t step = 0;
  std::vector<int32_t> tokens;     ///< [T] token ids of all sequences, one after another
  int32_t position_axes = 1;       ///< 1; more for multi-axis rotary positions
  std::vector<int32_t> positions;  ///< [position_axes, T]
  std::vector<BatchSequence> sequences;
};

struct TopLogprob {
  int32_t token = 0;
  float logprob = 0.0F;
};

struct SampledToken {
  int32_t token = 0;
  float logprob = 0.0F;         ///< of the unmodified distribution; set if top_logprobs >= 0
  std::vector<TopLogprob> top;  ///< most likely first
};

/// Tokens of one sequence from one step: 1, or more once speculation exists.
struct SequenceOutput {
  uint64_t sequence_id = 0;
  std::vector<SampledToken> tokens;
  Status status;  ///< not ok: this sequence ends with this error, the others go on; no tokens then
};

struct StepOutput {
  uint64_t step = 0;
  std::vector<SequenceOutput>
      sequences;  ///< one for every BatchSequence with `sample`, in batch order
};

}  // namespace tutti
