#include "apps/lockstep_run.h"

#include <algorithm>
#include <chrono>

#include "base/checked.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWarmSteps = 4;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

LockstepRun::LockstepRun(RankedModelRunner& runner, const LockstepShape& shape)
    : runner_(runner),
      shape_(shape),
      blocks_each_(ceil_div(shape.prompt_tokens + shape.new_tokens, runner.limits().block_size)) {
  for (int64_t i = 0; i < shape.batch * blocks_each_; ++i) {
    blocks_.push_back(narrow<int32_t>(i));
  }
  last_.resize(usize(shape.batch));
}

Status LockstepRun::check() const {
  const RunnerLimits& limits = runner_.limits();
  const int64_t length = shape_.prompt_tokens + shape_.new_tokens;
  if (limits.num_blocks >= blocks_each_ * shape_.batch && length <= limits.max_context) {
    return ok_status();
  }
  return invalid("{} sequences of {} tokens do not fit: the KV cache has {} blocks of {} tokens",
                 shape_.batch,
                 length,
                 limits.num_blocks,
                 limits.block_size);
}

Status LockstepRun::warm_up() {
  TUTTI_RETURN_IF_ERROR(prefill());
  return decode(std::min(shape_.new_tokens, kWarmSteps));
}

Result<LockstepRun::Times> LockstepRun::run() {
  Times out;
  const auto begin = Clock::now();
  TUTTI_RETURN_IF_ERROR(prefill());
  out.prefill_seconds = seconds_since(begin);
  const auto first = Clock::now();
  TUTTI_RETURN_IF_ERROR(decode(shape_.new_tokens));
  out.decode_seconds = seconds_since(first);
  return out;
}

int64_t LockstepRun::prompt_step_tokens() const {
  return std::min(runner_.limits().max_batch_tokens, shape_.prompt_tokens);
}

Result<std::vector<OpTiming>> LockstepRun::profile_prompt() {
  Batch batch;
  fill_prompt(0, 0, prompt_step_tokens(), batch);
  batch.sequences.back().sample = true;
  return runner_.profile(batch);
}

Result<std::vector<OpTiming>> LockstepRun::profile_decode() {
  Batch batch;
  fill_decode(std::max<int64_t>(0, shape_.new_tokens / 2 - 1), true, batch);
  return runner_.profile(batch);
}

// Distinct prompts, so that sequences read different rows of everything that is looked up.
int32_t LockstepRun::prompt_id(int64_t sequence, int64_t i) const {
  const int64_t vocab = shape_.vocab > 0 ? shape_.vocab : runner_.limits().vocab_size;
  return narrow<int32_t>((sequence * 7919 + i * 104729 + 13) % vocab);
}

// Each sequence has the slot of its number.
BatchSequence LockstepRun::sequence(
    int64_t s, int64_t begin, int64_t context, int64_t count, bool sample) const {
  return {.sequence_id = static_cast<uint64_t>(s) + 1,
          .slot = narrow<int32_t>(s),
          .sample = sample,
          .token_begin = begin,
          .token_count = count,
          .context_before = context,
          .prompt_tokens = shape_.prompt_tokens};
}

void LockstepRun::join(int64_t s, Batch& batch) const {
  BatchJoin join{.slot = narrow<int32_t>(s)};
  join.row.params = shape_.sampling;
  join.row.params.seed = static_cast<uint64_t>(s);
  batch.joins.push_back(std::move(join));
  batch.update_blocks(narrow<int32_t>(s),
                      0,
                      std::span(blocks_).subspan(usize(s * blocks_each_), usize(blocks_each_)));
}

void LockstepRun::fill_prompt(int64_t s, int64_t at, int64_t count, Batch& batch) const {
  for (int64_t i = at; i < at + count; ++i) {
    batch.tokens.push_back(prompt_id(s, i));
    batch.positions.push_back(narrow<int32_t>(i));
  }
  batch.sequences.push_back(sequence(s, 0, at, count, at + count == shape_.prompt_tokens));
}

// `first`: the step's tokens are known, not those that the step before samples.
void LockstepRun::fill_decode(int64_t done, bool first, Batch& batch) const {
  batch.clear(0);
  const int64_t position = shape_.prompt_tokens + done;
  for (int64_t s = 0; s < shape_.batch; ++s) {
    batch.tokens.push_back(first ? last_[usize(s)] : kSampledToken);
    batch.positions.push_back(narrow<int32_t>(position));
    batch.sequences.push_back(sequence(s, s, position, 1, true));
    batch.sequences.back().output_position = done + 1;
  }
}

Status LockstepRun::collect() {
  TUTTI_RETURN_IF_ERROR(runner_.collect(output_));
  for (const RowOutput& row : output_.rows) {
    if (row.failure >= 0) {
      return output_.failures[usize(row.failure)];
    }
    last_[usize(static_cast<int64_t>(row.sequence_id) - 1)] =
        output_.tokens[usize(row.token_begin)].token;
  }
  return ok_status();
}

Status LockstepRun::prefill() {
  for (int64_t s = 0; s < shape_.batch; ++s) {
    for (int64_t at = 0; at < shape_.prompt_tokens; at += runner_.limits().max_batch_tokens) {
      Batch batch;
      if (at == 0) {
        join(s, batch);
      }
      fill_prompt(
          s, at, std::min(runner_.limits().max_batch_tokens, shape_.prompt_tokens - at), batch);
      TUTTI_RETURN_IF_ERROR(runner_.submit(batch));
      TUTTI_RETURN_IF_ERROR(collect());
    }
  }
  return ok_status();
}

// Tokens 2 to `tokens` of every sequence, one step ahead of the ranks as the engine is.
Status LockstepRun::decode(int64_t tokens) {
  for (int64_t i = 0; i + 1 < tokens; ++i) {
    Batch& batch = batches_[usize(i) % batches_.size()];
    fill_decode(i, i == 0, batch);
    TUTTI_RETURN_IF_ERROR(runner_.submit(batch));
    if (i > 0) {
      TUTTI_RETURN_IF_ERROR(collect());
    }
  }
  return tokens > 1 ? collect() : ok_status();
}

}  // namespace tutti
