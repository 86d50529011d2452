#include "engine/fake_model_runner.h"

#include <algorithm>

#include "base/checked.h"
#include "engine/logit_adjust.h"

namespace tutti {
namespace {

uint64_t mix(uint64_t h) {  // splitmix64's finaliser
  h = (h ^ (h >> 30U)) * 0xBF58476D1CE4E5B9U;
  h = (h ^ (h >> 27U)) * 0x94D049BB133111EBU;
  return h ^ (h >> 31U);
}

template <class... Args>
Status bug(fmt::format_string<Args...> format, Args&&... args) {
  return error(StatusCode::kInternal, format, std::forward<Args>(args)...);
}

}  // namespace

int32_t fake_next_token(std::span<const int32_t> context,
                        const SampleRow& row,
                        int64_t vocab,
                        std::span<const uint32_t> mask) {
  uint64_t h = mix(row.params.seed + 1) ^ mix(static_cast<uint64_t>(row.choice) + 77);
  h = mix(h + static_cast<uint64_t>(row.output_position));
  for (const int32_t token : context) {
    h = mix(h * 31 + static_cast<uint64_t>(token) + 1);
  }
  for (const int32_t token : row.output_tokens) {  // only there with penalties
    h = mix(h ^ static_cast<uint64_t>(token));
  }
  if (row.rules == nullptr && mask.empty()) {
    return static_cast<int32_t>(h % static_cast<uint64_t>(vocab));
  }
  LogitAdjustScratch scratch;
  const std::vector<float> zeros(usize(vocab), 0.0F);
  const std::span<const float> adjusted = adjust_logits(zeros, row, mask, scratch);
  std::vector<int32_t> allowed;
  for (int64_t token = 0; token < vocab; ++token) {
    if (adjusted[usize(token)] > -1e30F) {
      allowed.push_back(static_cast<int32_t>(token));
    }
  }
  return allowed.empty() ? -1 : allowed[h % allowed.size()];
}

PromptScore fake_score(std::span<const int32_t> context, int32_t token, int32_t top) {
  uint64_t h = mix(static_cast<uint64_t>(token) + 5);
  for (const int32_t t : context) {
    h = mix(h * 31 + static_cast<uint64_t>(t) + 1);
  }
  PromptScore out;
  out.token = {.token = token, .logprob = -static_cast<float>(h % 4096) / 256.0F, .top = {}};
  out.rank = static_cast<int32_t>(1 + h % 300);
  for (int32_t k = 0; k < top; ++k) {
    out.token.top.push_back({.token = 65 + k, .logprob = -0.5F * static_cast<float>(k + 1)});
  }
  return out;
}

std::vector<int32_t> fake_output(std::vector<int32_t> prompt,
                                 const SamplingParams& sampling,
                                 int32_t choice,
                                 int64_t max_tokens,
                                 std::span<const int32_t> stop_ids,
                                 int64_t vocab,
                                 const LogitRulesPtr& rules) {
  std::vector<int32_t> output;
  std::vector<int32_t> context = std::move(prompt);
  while (ssize(output.size()) < max_tokens) {
    SampleRow row{.params = sampling,
                  .choice = choice,
                  .output_position = ssize(output.size()),
                  .rules = rules,
                  .prompt_tokens = {},
                  .output_tokens = {}};
    if (row.reads_output()) {
      row.output_tokens = output;
    }
    const int32_t token = fake_next_token(context, row, vocab);
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
      break;
    }
    output.push_back(token);
    context.push_back(token);
  }
  return output;
}

FakeModelRunner::FakeModelRunner(const RunnerLimits& limits)
    : limits_(limits),
      storage_(usize(limits.num_blocks * limits.block_size)),
      tables_(usize(limits.max_batch_sequences)),
      last_(usize(limits.max_batch_sequences), -1),
      writers_(usize(limits.num_blocks), 0),
      writers_before_(usize(limits.num_blocks), 0),
      seen_(usize(limits.max_batch_sequences), 0) {}

Status FakeModelRunner::submit(const Batch& batch) {
  submitted_.push_back({.batch = &batch, .overlaps = !submitted_.empty()});
  return ok_status();
}

Status FakeModelRunner::collect(StepOutput& output) {
  const Submitted step = submitted_.front();
  const Batch& batch = *step.batch;
  submitted_.pop_front();
  std::swap(writers_, writers_before_);
  std::fill(writers_.begin(), writers_.end(), 0);
  steps_.fetch_add(1);
  output.clear(batch.step);
  // Told once, whatever becomes of the step.
  for (const BatchJoin& join : batch.joins) {
    tables_[usize(join.slot)].clear();
  }
  for (const BlockUpdate& update : batch.block_updates) {
    std::vector<int32_t>& table = tables_[usize(update.slot)];
    table.resize(usize(update.first + update.count), -1);
    std::copy_n(batch.blocks.begin() + update.begin, update.count, table.begin() + update.first);
  }
  rows_.join(batch);
  const Status status = hook_ ? hook_(batch) : Status();
  if (status.ok()) {
    TUTTI_RETURN_IF_ERROR(forward(step, output));
    lost_.clear();
    return ok_status();
  }
  lost_.clear();
  for (const BatchSequence& s : batch.sequences) {
    lost_.push_back(s.sequence_id);
  }
  return status;
}

void FakeModelRunner::scribble(int32_t block, int32_t token) {
  for (int64_t i = 0; i < limits_.block_size; ++i) {
    storage_[usize(block * limits_.block_size + i)].token = token;
  }
}

std::span<const int32_t> FakeModelRunner::table(const BatchSequence& sequence) const {
  const int64_t end = sequence.context_before + sequence.token_count;
  return std::span(tables_[usize(sequence.slot)]).first(usize(ceil_div(end, limits_.block_size)));
}

FakeModelRunner::Slot& FakeModelRunner::slot(const BatchSequence& sequence, int64_t position) {
  const int64_t block = tables_[usize(sequence.slot)][usize(position / limits_.block_size)];
  return storage_[usize(block * limits_.block_size + position % limits_.block_size)];
}

Status FakeModelRunner::check_batch(const Submitted& step) {
  const Batch& batch = *step.batch;
  if (ssize(batch.tokens.size()) > limits_.max_batch_tokens || batch.tokens.empty() ||
      batch.positions.size() != batch.tokens.size()) {
    return bug("{} tokens, {} positions", batch.tokens.size(), batch.positions.size());
  }
  if (ssize(batch.sequences.size()) > limits_.max_batch_sequences) {
    return bug("{} sequences", batch.sequences.size());
  }
  ++number_;
  int64_t begin = 0;
  for (const BatchSequence& s : batch.sequences) {
    const int64_t end = s.context_before + s.token_count;
    if (s.slot < 0 || s.slot >= limits_.max_batch_sequences ||
        std::exchange(seen_[usize(s.slot)], number_) == number_ || s.token_begin != begin ||
        s.token_count < 1 || end > limits_.max_context ||
        ssize(tables_[usize(s.slot)].size()) * limits_.block_size < end) {
      return bug("sequence {}: malformed entry", s.sequence_id);
    }
    begin += s.token_count;
  }
  if (begin != ssize(batch.tokens.size())) {
    return bug("tokens without a sequence");
  }
  return check_blocks(step);
}

/// A block that is written belongs to one sequence only, in this step and in the one before if that
/// was still running when this one was made.
Status FakeModelRunner::check_blocks(const Submitted& step) {
  const Batch& batch = *step.batch;
  for (const BatchSequence& s : batch.sequences) {
    const std::span<const int32_t> blocks = table(s);
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (blocks[i] < 0 || blocks[i] >= limits_.num_blocks) {
        return bug("sequence {}: block {} is out of range", s.sequence_id, blocks[i]);
      }
      if (ssize(i + 1) * limits_.block_size > s.context_before &&
          std::exchange(writers_[usize(blocks[i])], s.sequence_id) != 0) {
        return bug("sequence {}: block {} is written twice", s.sequence_id, blocks[i]);
      }
    }
  }
  for (const BatchSequence& s : batch.sequences) {
    for (const int32_t block : table(s)) {
      for (const uint64_t writer :
           {writers_[usize(block)], step.overlaps ? writers_before_[usize(block)] : 0}) {
        if (writer != 0 && writer != s.sequence_id) {
          return bug("sequence {}: block {} is written by {}", s.sequence_id, block, writer);
        }
      }
    }
  }
  return ok_status();
}

/// Stores the step's tokens, then reads all that the sequence sees into context_.
Status FakeModelRunner::read_context(const Batch& batch, const BatchSequence& s) {
  const int64_t end = s.context_before + s.token_count;
  for (int64_t i = 0; i < s.token_count; ++i) {
    const int64_t position = s.context_before + i;
    int32_t token = batch.tokens[usize(s.token_begin + i)];
    if (token == kSampledToken) {
      token = last_[usize(s.slot)];
    }
    if (batch.positions[usize(s.token_begin + i)] != position || token < 0) {
      return bug("sequence {}: wrong position or token", s.sequence_id);
    }
    slot(s, position) = {.token = token, .position = static_cast<int32_t>(position)};
  }
  context_.clear();
  for (int64_t position = 0; position < end; ++position) {
    const Slot& stored = slot(s, position);
    if (stored.position != position) {
      return bug(
          "sequence {}: slot {} holds position {}", s.sequence_id, position, stored.position);
    }
    context_.push_back(stored.token);
  }
  return ok_status();
}

void FakeModelRunner::sample(const Batch& batch, const BatchSequence& s, StepOutput& output) {
  Sampled out;
  SampleRow row = rows_.at(s);
  const std::span<const uint32_t> mask = batch.mask_of(s);
  for (int64_t i = 0; i < (mask.empty() ? limits_.max_tokens_per_step : 1); ++i) {
    SampledToken token;
    token.token = fake_next_token(context_, row, limits_.vocab_size, mask);
    if (token.token < 0) {
      out.status = invalid("every token is forbidden");
      break;
    }
    out.tokens.push_back(token);
    context_.push_back(token.token);
    ++row.output_position;
    if (row.reads_output()) {
      row.output_tokens.push_back(token.token);
    }
  }
  if (token_hook_) {
    token_hook_(rows_.at(s), out);
  }
  if (!out.status.ok()) {
    last_[usize(s.slot)] = 0;
    output.add_failure(s.sequence_id, out.status);
    return;
  }
  last_[usize(s.slot)] = out.tokens.back().token;
  output.rows.push_back({.sequence_id = s.sequence_id,
                         .token_begin = static_cast<int32_t>(output.tokens.size()),
                         .token_count = static_cast<int32_t>(out.tokens.size())});
  for (SampledToken& token : out.tokens) {
    rows_.took(s.slot, token.token);
    output.tokens.push_back(std::move(token));
  }
}

Status FakeModelRunner::forward(const Submitted& step, StepOutput& output) {
  TUTTI_RETURN_IF_ERROR(check_batch(step));
  const Batch& batch = *step.batch;
  for (const BatchSequence& s : batch.sequences) {
    if (step.overlaps && follows_lost_step(s)) {
      // Its KV and its last token are undefined; nobody may look at the result.
      if (s.yields()) {
        output.add(s.sequence_id, {});
      }
      continue;
    }
    TUTTI_RETURN_IF_ERROR(read_context(batch, s));
    const size_t scores = output.scores.size();
    const ScoreRange range = batch.scores_of(s);
    for (int64_t i = 0; i < range.count; ++i) {
      const int64_t end = s.context_before + range.begin + i + 1;
      output.scores.push_back(fake_score(std::span(context_).first(usize(end)),
                                         batch.scored_token(s, i),
                                         rows_.at(s).params.prompt_logprobs));
    }
    if (s.sample) {
      sample(batch, s, output);
    } else if (s.yields()) {
      output.rows.push_back({.sequence_id = s.sequence_id});
    }
    if (s.yields()) {
      output.rows.back().score_begin = static_cast<int32_t>(scores);
      output.rows.back().score_count = range.count;
    }
  }
  return ok_status();
}

bool FakeModelRunner::follows_lost_step(const BatchSequence& sequence) const {
  return std::find(lost_.begin(), lost_.end(), sequence.sequence_id) != lost_.end();
}

}  // namespace tutti
