#include "sched/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {
namespace {

SequenceEvent error_event(uint64_t id, const Status& status) {
  return {.sequence_id = id, .tokens = {}, .finish = std::nullopt, .status = status};
}

SequenceEvent cancelled_event(uint64_t id) {
  return {.sequence_id = id, .tokens = {}, .finish = FinishReason::kCancelled, .status = {}};
}

}  // namespace

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

Scheduler::Scheduler(const SchedulerConfig& config, BlockPool& pool)
    : config_(config), pool_(pool) {
  TUTTI_CHECK_GT(config_.block_size, 0);
  TUTTI_CHECK_GT(config_.max_batch_tokens, 0);
  TUTTI_CHECK_GT(config_.max_batch_sequences, 0);
  TUTTI_CHECK_GE(config_.watermark_blocks, 0);
  TUTTI_CHECK_GE(config_.max_prefill_chunk, 0);
}

void Scheduler::add(SequenceRequest request) {
  const Status fits =
      check_fits(config_, pool_.total(), ssize(request.prompt.size()), request.max_tokens);
  TUTTI_CHECK_MSG(fits.ok(), "{}", fits.message());
  const uint64_t id = request.id;
  auto [it, added] = sequences_.emplace(id, std::make_unique<Entry>(std::move(request)));
  TUTTI_CHECK_MSG(added, "sequence {} exists", id);
  waiting_.push_back(it->second.get());
}

std::optional<SequenceEvent> Scheduler::cancel(uint64_t id) {
  const auto it = sequences_.find(id);
  if (it == sequences_.end()) {
    return std::nullopt;
  }
  Entry& entry = *it->second;
  if (entry.in_step) {
    entry.retiring = true;
    return std::nullopt;
  }
  remove(entry);
  return cancelled_event(id);
}

std::optional<Batch> Scheduler::schedule() {
  TUTTI_CHECK(!step_open_);
  if (idle()) {
    return std::nullopt;
  }
  Batch batch;
  batch.step = steps_++;
  schedule_decodes(batch);
  schedule_prefills(batch);
  admit(batch);
  // The oldest sequence can always advance (docs/engine-contract.md), so a step is never empty.
  TUTTI_CHECK(!step_.empty());
  step_open_ = true;
  return batch;
}

void Scheduler::schedule_decodes(Batch& batch) {
  // running_ may lose elements at its end in make_room.
  for (size_t i = 0; i < running_.size() && budget_left(batch) > 0; ++i) {
    const Sequence& sequence = running_[i]->sequence;
    // A step may have yielded several tokens. Sequences that prefill own all their blocks.
    const bool decodes = sequence.to_compute() == 1 || missing_blocks(sequence) > 0;
    if (decodes && make_room(i)) {
      put(*running_[i], chunk(*running_[i], batch), batch);
    }
  }
}

void Scheduler::schedule_prefills(Batch& batch) {
  for (Entry* entry : running_) {
    if (budget_left(batch) == 0) {
      return;
    }
    if (!entry->in_step) {
      put(*entry, chunk(*entry, batch), batch);
    }
  }
}

// After a preemption nobody is admitted in the same step: what is free is less than the victim
// held, and the victim is first in the queue.
void Scheduler::admit(Batch& batch) {
  const int64_t max_running = std::min(config_.max_batch_sequences, config_.max_batch_tokens);
  while (!waiting_.empty() && budget_left(batch) > 0 && ssize(running_.size()) < max_running &&
         can_admit(*waiting_.front())) {
    Entry& entry = *waiting_.front();
    waiting_.pop_front();
    // All blocks of the known tokens at once: a prefill, once begun, never waits for blocks.
    TUTTI_CHECK(pool_.allocate(blocks_for(entry.sequence.token_count()), entry.sequence.blocks()));
    running_.push_back(&entry);
    put(entry, chunk(entry, batch), batch);
  }
}

bool Scheduler::can_admit(const Entry& entry) const {
  const int64_t reserve = running_.empty() ? 0 : config_.watermark_blocks;
  return blocks_for(entry.sequence.token_count()) + reserve <= pool_.free();
}

/// Makes sure that running_[index] owns the blocks for all its known tokens. False if it was
/// preempted itself.
bool Scheduler::make_room(size_t index) {
  Sequence& sequence = running_[index]->sequence;
  const int64_t missing = missing_blocks(sequence);
  while (missing > 0 && !pool_.allocate(missing, sequence.blocks())) {
    const bool itself = running_.size() == index + 1;
    preempt_last();
    if (itself) {
      return false;
    }
  }
  return true;
}

void Scheduler::preempt_last() {
  Entry& victim = *running_.back();
  // Sequences are put into the step in order of admission, so the last is not in it yet.
  TUTTI_CHECK(!victim.in_step);
  running_.pop_back();
  pool_.release(victim.sequence.blocks());
  victim.sequence.blocks().clear();
  victim.sequence.forget_computed();
  waiting_.push_front(&victim);
  ++counters_.preemptions;
}

/// Adds the next `count` tokens of a sequence to the step.
void Scheduler::put(Entry& entry, int64_t count, Batch& batch) {
  const Sequence& sequence = entry.sequence;
  const int64_t begin = sequence.computed();
  const int64_t end = begin + count;
  TUTTI_CHECK_GT(count, 0);
  TUTTI_CHECK_LE(blocks_for(end), ssize(sequence.blocks().size()));
  BatchSequence item;
  item.sequence_id = sequence.id();
  item.token_begin = ssize(batch.tokens.size());
  item.token_count = count;
  item.context_before = begin;
  item.blocks.assign(sequence.blocks().begin(), sequence.blocks().begin() + blocks_for(end));
  const bool sample = end == sequence.token_count();
  if (sample) {
    item.sample = sequence.sample_row();
  }
  for (int64_t position = begin; position < end; ++position) {
    batch.tokens.push_back(sequence.tokens()[usize(position)]);
    batch.positions.push_back(narrow<int32_t>(position));
  }
  batch.sequences.push_back(std::move(item));
  entry.in_step = true;
  step_.push_back({.entry = &entry, .count = count, .sample = sample});
}

int64_t Scheduler::chunk(const Entry& entry, const Batch& batch) const {
  const int64_t limit = config_.max_prefill_chunk > 0 ? config_.max_prefill_chunk : INT64_MAX;
  return std::min({entry.sequence.to_compute(), budget_left(batch), limit});
}

int64_t Scheduler::budget_left(const Batch& batch) const {
  return config_.max_batch_tokens - ssize(batch.tokens.size());
}

int64_t Scheduler::missing_blocks(const Sequence& sequence) const {
  return blocks_for(sequence.token_count()) - ssize(sequence.blocks().size());
}

int64_t Scheduler::blocks_for(int64_t tokens) const {
  return ceil_div(tokens, config_.block_size);
}

std::vector<SequenceEvent> Scheduler::commit(const StepOutput& output) {
  TUTTI_CHECK(step_open_);
  TUTTI_CHECK_EQ(output.step + 1, steps_);
  std::vector<SequenceEvent> events;
  const std::vector<Scheduled> step = std::move(step_);
  step_.clear();
  step_open_ = false;
  size_t next = 0;  // in output.sequences
  for (const auto& [entry, count, sample] : step) {
    entry->in_step = false;
    entry->sequence.add_computed(count);
    counters_.computed_tokens += static_cast<uint64_t>(count);
    const SequenceOutput* result = nullptr;
    if (sample) {
      TUTTI_CHECK_LT(next, output.sequences.size());
      result = &output.sequences[next++];
      TUTTI_CHECK_EQ(result->sequence_id, entry->sequence.id());
    }
    if (entry->retiring) {
      events.push_back(cancelled_event(entry->sequence.id()));
      remove(*entry);
    } else if (result != nullptr) {
      apply(*result, *entry, events);
    }
  }
  TUTTI_CHECK_EQ(next, output.sequences.size());
  return events;
}

void Scheduler::apply(const SequenceOutput& output,
                      Entry& entry,
                      std::vector<SequenceEvent>& events) {
  const uint64_t id = entry.sequence.id();
  if (!output.status.ok()) {
    events.push_back(error_event(id, output.status));
    remove(entry);
    return;
  }
  TUTTI_CHECK(!output.tokens.empty());
  SequenceEvent event{.sequence_id = id, .tokens = {}, .finish = std::nullopt, .status = {}};
  for (const SampledToken& sampled : output.tokens) {
    event.finish = entry.sequence.append(sampled.token);
    if (event.finish != FinishReason::kStop) {
      event.tokens.push_back(sampled);
      ++counters_.generated_tokens;
    }
    if (event.finish.has_value()) {
      break;
    }
  }
  const bool last = event.last();
  events.push_back(std::move(event));
  if (last) {
    remove(entry);
  }
}

std::vector<SequenceEvent> Scheduler::fail_step(const Status& status) {
  TUTTI_CHECK(step_open_);
  std::vector<SequenceEvent> events;
  const std::vector<Scheduled> step = std::move(step_);
  step_.clear();
  step_open_ = false;
  for (const Scheduled& item : step) {
    item.entry->in_step = false;
    const uint64_t id = item.entry->sequence.id();
    events.push_back(item.entry->retiring ? cancelled_event(id) : error_event(id, status));
    remove(*item.entry);
  }
  return events;
}

std::vector<SequenceEvent> Scheduler::fail_all(const Status& status) {
  TUTTI_CHECK(!step_open_);
  std::vector<SequenceEvent> events;
  while (!sequences_.empty()) {
    Entry& entry = *sequences_.begin()->second;
    events.push_back(error_event(entry.sequence.id(), status));
    remove(entry);
  }
  return events;
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = counters_;
  stats.waiting = ssize(waiting_.size());
  stats.running = ssize(running_.size());
  return stats;
}

/// Releases what the sequence holds and forgets it.
void Scheduler::remove(Entry& entry) {
  TUTTI_CHECK(!entry.in_step);
  pool_.release(entry.sequence.blocks());
  std::erase(waiting_, &entry);
  std::erase(running_, &entry);
  sequences_.erase(entry.sequence.id());
}

}  // namespace tutti
