#include "sched/scheduler_config.h"

#include <algorithm>

namespace tutti {

int64_t max_sequence_tokens(const SchedulerConfig& config, int64_t total_blocks) {
  return std::min(config.max_context, total_blocks * config.block_size);
}

Status check_fits(const SchedulerConfig& config,
                  int64_t total_blocks,
                  int64_t prompt_tokens,
                  int64_t max_tokens) {
  // Compared by subtraction: max_tokens may be as large as its type allows.
  if (max_tokens > config.max_context - prompt_tokens) {
    return error(StatusCode::kContextLength,
                 "a prompt of {} tokens and {} to generate do not fit the context of {} tokens; "
                 "shorten the prompt or lower max_tokens",
                 prompt_tokens,
                 max_tokens,
                 config.max_context);
  }
  const int64_t capacity = total_blocks * config.block_size;
  if (max_tokens > capacity - prompt_tokens) {
    return error(StatusCode::kOutOfMemory,
                 "a prompt of {} tokens and {} to generate do not fit the KV memory of {} tokens; "
                 "shorten the prompt, lower max_tokens, or start with more KV memory",
                 prompt_tokens,
                 max_tokens,
                 capacity);
  }
  return ok_status();
}

int64_t max_waiting_steps(const SchedulerConfig& config, int64_t total_blocks, int64_t ahead) {
  const int64_t longest = max_sequence_tokens(config, total_blocks);
  const int64_t prefills = total_blocks * config.block_size;
  const int64_t one = 4 * (longest + prefills) + 8;
  return (2 * ahead + 1) * one;
}

}  // namespace tutti
