#include "engine/fake_model_runner.h"

#include <algorithm>
#include <set>

#include "base/checked.h"

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

int32_t fake_next_token(std::span<const int32_t> context, const SampleRow& row, int64_t vocab) {
  uint64_t h = mix(row.params.seed + 1) ^ mix(static_cast<uint64_t>(row.choice) + 77);
  h = mix(h + static_cast<uint64_t>(row.output_position));
  for (const int32_t token : context) {
    h = mix(h * 31 + static_cast<uint64_t>(token) + 1);
  }
  for (const int32_t token : row.output_tokens) {  // only there with penalties
    h = mix(h ^ static_cast<uint64_t>(token));
  }
  return static_cast<int32_t>(h % static_cast<uint64_t>(vocab));
}

std::vector<int32_t> fake_output(std::vector<int32_t> prompt,
                                 const SamplingParams& sampling,
                                 int32_t choice,
                                 int64_t max_tokens,
                                 std::span<const int32_t> stop_ids,
                                 int64_t vocab) {
  std::vector<int32_t> output;
  std::vector<int32_t> context = std::move(prompt);
  while (ssize(output.size()) < max_tokens) {
    SampleRow row{.params = sampling,
                  .choice = choice,
                  .output_position = ssize(output.size()),
                  .prompt_tokens = {},
                  .output_tokens = {}};
    if (sampling.has_penalties()) {
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
    : limits_(limits), storage_(usize(limits.num_blocks * limits.block_size)) {}

Status FakeModelRunner::submit(Batch batch) {
  submitted_.push_back(std::move(batch));
  return ok_status();
}

Result<StepOutput> FakeModelRunner::collect() {
  const Batch batch = std::move(submitted_.front());
  submitted_.pop_front();
  steps_.fetch_add(1);
  if (hook_) {
    TUTTI_RETURN_IF_ERROR(hook_(batch));
  }
  return forward(batch);
}

FakeModelRunner::Slot& FakeModelRunner::slot(const BatchSequence& sequence, int64_t position) {
  const int64_t block = sequence.blocks[usize(position / limits_.block_size)];
  return storage_[usize(block * limits_.block_size + position % limits_.block_size)];
}

Status FakeModelRunner::check_batch(const Batch& batch) const {
  if (ssize(batch.tokens.size()) > limits_.max_batch_tokens || batch.tokens.empty() ||
      batch.positions.size() != batch.tokens.size()) {
    return bug("{} tokens, {} positions", batch.tokens.size(), batch.positions.size());
  }
  if (ssize(batch.sequences.size()) > limits_.max_batch_sequences) {
    return bug("{} sequences", batch.sequences.size());
  }
  std::set<uint64_t> ids;
  std::set<int32_t> blocks;
  int64_t begin = 0;
  for (const BatchSequence& s : batch.sequences) {
    const int64_t end = s.context_before + s.token_count;
    if (!ids.insert(s.sequence_id).second || s.token_begin != begin || s.token_count < 1 ||
        end > limits_.max_context || ssize(s.blocks.size()) != ceil_div(end, limits_.block_size)) {
      return bug("sequence {}: malformed entry", s.sequence_id);
    }
    for (const int32_t block : s.blocks) {
      if (block < 0 || block >= limits_.num_blocks || !blocks.insert(block).second) {
        return bug("sequence {}: block {} is out of range or used twice", s.sequence_id, block);
      }
    }
    begin += s.token_count;
  }
  return begin == ssize(batch.tokens.size()) ? ok_status() : bug("tokens without a sequence");
}

Result<StepOutput> FakeModelRunner::forward(const Batch& batch) {
  TUTTI_RETURN_IF_ERROR(check_batch(batch));
  StepOutput out{.step = batch.step, .sequences = {}};
  for (const BatchSequence& s : batch.sequences) {
    const int64_t end = s.context_before + s.token_count;
    for (int64_t i = 0; i < s.token_count; ++i) {
      const int64_t position = s.context_before + i;
      if (batch.positions[usize(s.token_begin + i)] != position) {
        return bug("sequence {}: wrong position", s.sequence_id);
      }
      slot(s, position) = {.token = batch.tokens[usize(s.token_begin + i)],
                           .position = static_cast<int32_t>(position)};
    }
    std::vector<int32_t> context;
    for (int64_t position = 0; position < end; ++position) {
      const Slot& stored = slot(s, position);
      if (stored.position != position) {
        return bug(
            "sequence {}: slot {} holds position {}", s.sequence_id, position, stored.position);
      }
      context.push_back(stored.token);
    }
    if (s.sample.has_value()) {
      SequenceOutput output{.sequence_id = s.sequence_id, .tokens = {}, .status = {}};
      SampleRow row = *s.sample;
      for (int64_t i = 0; i < tokens_per_step_; ++i) {
        SampledToken token;
        token.token = fake_next_token(context, row, limits_.vocab_size);
        output.tokens.push_back(token);
        context.push_back(token.token);
        ++row.output_position;
        if (row.params.has_penalties()) {
          row.output_tokens.push_back(token.token);
        }
      }
      if (token_hook_) {
        token_hook_(s, output);
      }
      out.sequences.push_back(std::move(output));
    }
  }
  return out;
}

}  // namespace tutti
