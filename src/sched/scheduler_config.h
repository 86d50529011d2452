// What bounds a scheduler, and whether a request fits these bounds at all.
#pragma once
#include <cstdint>

#include "base/status.h"

namespace tutti {

struct SchedulerConfig {
  int64_t block_size = 16;         ///< tokens per KV block
  int64_t max_batch_tokens = 512;  ///< tokens of one step, all sequences together
  int64_t max_batch_sequences = 64;
  int64_t max_context = 0;        ///< tokens of prompt + output of one sequence
  int64_t vocab_size = 0;         ///< ids, for the masks of grammars; 0: no sequence has one
  int64_t watermark_blocks = 0;   ///< stay available at admission while other sequences run
  int64_t max_score_rows = 0;     ///< prompt tokens of one step that are scored; 0: none ever
  int64_t max_prefill_chunk = 0;  ///< prompt tokens of one sequence in one step; 0 = whole budget
  int64_t aging_us = 10'000'000;  ///< waiting this long is worth one level of priority
  int64_t long_prompt_from = 0;   ///< equal tokens have other KV in prompts longer than this, and
                                  ///< share no prefix with shorter ones; 0: they never have
  bool run_ahead = true;  ///< schedule a sequence's next step before this one's token is known; a
                          ///< step must then yield exactly one token per sequence
};

/// Tokens one sequence may have in the end: the context, or less if the pool is smaller.
int64_t max_sequence_tokens(const SchedulerConfig& config, int64_t total_blocks);

/// Ok if a sequence of these lengths could run to its end with the pool to itself. Otherwise
/// kContextLength (model's limit) or kOutOfMemory (pool's limit), with numbers. Any thread.
Status check_fits(const SchedulerConfig& config,
                  int64_t total_blocks,
                  int64_t prompt_tokens,
                  int64_t max_tokens);

/// Most steps a sequence can wait that `ahead` others precede in the order of service, counted from
/// when the last of them had come until its first admission. docs/engine-contract.md derives it.
int64_t max_waiting_steps(const SchedulerConfig& config, int64_t total_blocks, int64_t ahead);

}  // namespace tutti
