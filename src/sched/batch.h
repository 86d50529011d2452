// One step's work as a flat value: the scheduler makes it, every rank reads it. It holds no
// pointers into the engine, so that it can be queued to rank threads today and sent to other hosts
// later. What does not change from step to step is told once: a running sequence owns a slot, and
// the ranks keep tables by slot.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "sched/logit_rules.h"
#include "sched/sampling_params.h"

namespace tutti {

/// What the sampler must know about a row beyond its logits.
struct SampleRow {
  SamplingParams params;
  int32_t choice = 0;           ///< index among the n choices of a request; part of the random key
  int64_t output_position = 0;  ///< tokens generated before this one; part of the random key
  LogitRulesPtr rules;          ///< nullptr: none
  // The tokens that penalties count and bad words continue; see what reads them below.
  std::vector<int32_t> prompt_tokens;
  std::vector<int32_t> output_tokens;

  bool reads_prompt() const { return params.has_penalties(); }

  bool reads_output() const {
    return params.has_penalties() || (rules != nullptr && rules->reads_output());
  }

  /// Wants a token of the model's own distribution.
  bool plain() const { return !params.has_penalties() && rules == nullptr; }
};

/// In Batch::tokens: the last token that was sampled for this sequence's slot, which the host does
/// not know yet. Only the step before can have sampled it.
constexpr int32_t kSampledToken = -1;

/// One sequence's share of a step: `token_count` tokens starting at position `context_before`.
struct BatchSequence {
  uint64_t sequence_id = 0;
  int32_t slot = 0;             ///< row of the ranks' tables, in [0, max_batch_sequences)
  bool sample = false;          ///< the last token's logits yield a token in this step
  int64_t token_begin = 0;      ///< first of its tokens in Batch::tokens
  int64_t token_count = 0;      ///< 1 when decoding, up to the chunk size when prefilling
  int64_t context_before = 0;   ///< tokens whose KV is already stored
  int64_t output_position = 0;  ///< generated tokens before the one this step samples
  int64_t prompt_tokens = 0;    ///< of the whole prompt, whatever part of it is in this step
  int32_t mask_begin = -1;  ///< first word of its mask in Batch::masks; -1: every token may come
  int32_t score = -1;       ///< its place in Batch::scores; -1: none of the prompt is scored

  /// Whether StepOutput::rows has a row for it.
  bool yields() const { return sample || score >= 0; }
};

/// Tokens begin .. begin + count - 1 of a sequence's share, counted from its token_begin, are
/// followed by prompt tokens whose log-probabilities are wanted.
struct ScoreRange {
  int32_t begin = 0;
  int32_t count = 0;
  int32_t last = 0;  ///< the last of these prompt tokens; it may lie behind the step's tokens
};

/// A sequence moves into a slot. What the slot's tables held is gone.
struct BatchJoin {
  int32_t slot = 0;
  SampleRow row;  ///< its output_position is not used; BatchSequence has it
};

/// Entries first .. first + count - 1 of a slot's block table are blocks[begin ...] of the batch.
/// Block i holds the KV of positions i * block_size onward.
struct BlockUpdate {
  int32_t slot = 0;
  int32_t first = 0;
  int32_t begin = 0;
  int32_t count = 0;
};

struct Batch {
  static constexpr int32_t kVersion = 3;
  int32_t version = kVersion;
  uint64_t step = 0;
  std::vector<BatchJoin> joins;            ///< first of all
  std::vector<BlockUpdate> block_updates;  ///< then these
  std::vector<int32_t> blocks;
  std::vector<int32_t> tokens;     ///< [T] token ids of all sequences, one after another
  int32_t position_axes = 1;       ///< 1; more for multi-axis rotary positions
  std::vector<int32_t> positions;  ///< [position_axes, T]
  std::vector<BatchSequence> sequences;
  /// Masks of mask_words words: bit t % 32 of word t / 32 is set if token t may come next. A row
  /// with a mask yields one token.
  std::vector<uint32_t> masks;
  int64_t mask_words = 0;
  std::vector<ScoreRange> scores;

  /// Empty, with the capacity it had.
  void clear(uint64_t next_step) {
    step = next_step;
    joins.clear();
    block_updates.clear();
    blocks.clear();
    tokens.clear();
    positions.clear();
    sequences.clear();
    masks.clear();
    scores.clear();
  }

  /// An empty range if nothing is scored.
  ScoreRange scores_of(const BatchSequence& s) const {
    return s.score < 0 ? ScoreRange() : scores[static_cast<size_t>(s.score)];
  }

  /// The prompt token that the logits of the i-th scored token are about, i in [0, count).
  int32_t scored_token(const BatchSequence& s, int64_t i) const {
    const ScoreRange range = scores_of(s);
    return i + 1 == range.count ? range.last
                                : tokens[static_cast<size_t>(s.token_begin + range.begin + i + 1)];
  }

  /// Empty: every token may come.
  std::span<const uint32_t> mask_of(const BatchSequence& sequence) const {
    return sequence.mask_begin < 0
               ? std::span<const uint32_t>()
               : std::span(masks).subspan(static_cast<size_t>(sequence.mask_begin),
                                          static_cast<size_t>(mask_words));
  }

  void update_blocks(int32_t slot, int64_t first, std::span<const int32_t> ids) {
    block_updates.push_back({.slot = slot,
                             .first = static_cast<int32_t>(first),
                             .begin = static_cast<int32_t>(blocks.size()),
                             .count = static_cast<int32_t>(ids.size())});
    blocks.insert(blocks.end(), ids.begin(), ids.end());
  }
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

/// A token of the prompt under the model's distribution after those before it.
struct PromptScore {
  SampledToken token;
  int32_t rank = 0;  ///< tokens that are at least as likely, itself included
};

/// Tokens of one sequence from one step: 1, or more once speculation exists.
struct RowOutput {
  uint64_t sequence_id = 0;
  int32_t token_begin = 0;  ///< in StepOutput::tokens
  int32_t token_count = 0;  ///< 0 if the sequence only wanted scores
  int32_t score_begin = 0;  ///< in StepOutput::scores
  int32_t score_count = 0;  ///< as many as its ScoreRange has
  int32_t failure = -1;  ///< index in StepOutput::failures: this sequence ends with that error, the
                         ///< others go on; no tokens then
};

struct StepOutput {
  uint64_t step = 0;
  std::vector<RowOutput> rows;  ///< one for every BatchSequence that yields(), in batch order
  std::vector<SampledToken> tokens;
  std::vector<PromptScore> scores;
  std::vector<Status> failures;

  /// Empty, with the capacity it had.
  void clear(uint64_t next_step) {
    step = next_step;
    rows.clear();
    tokens.clear();
    scores.clear();
    failures.clear();
  }

  void add(uint64_t sequence_id, SampledToken token) {
    rows.push_back({.sequence_id = sequence_id,
                    .token_begin = static_cast<int32_t>(tokens.size()),
                    .token_count = 1});
    tokens.push_back(std::move(token));
  }

  void add_failure(uint64_t sequence_id, Status status) {
    rows.push_back({.sequence_id = sequence_id,
                    .token_begin = static_cast<int32_t>(tokens.size()),
                    .failure = static_cast<int32_t>(failures.size())});
    failures.push_back(std::move(status));
  }
};

}  // namespace tutti
