#include "sched/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {
namespace {

/// Entries lie anywhere in memory; a few ahead they are asked for, so that nobody waits for them.
void prefetch(const std::vector<SchedulerEntry*>& entries, size_t i) {
  constexpr size_t kAhead = 6;
  if (i + kAhead < entries.size()) {
    entries[i + kAhead]->prefetch();
    entries[i + kAhead / 2]->prefetch_last_token();
  }
}

/// Prefixes are shared under equal names: the salt, and what else changes the KV of equal tokens.
std::string cache_root(const SchedulerConfig& config, const Sequence& sequence) {
  const std::string& salt = sequence.request().cache_salt;
  if (config.long_prompt_from == 0) {
    return salt;
  }
  return (sequence.prompt_count() > config.long_prompt_from ? "+" : "-") + salt;
}

}  // namespace

using State = SchedulerEntry::State;

Scheduler::Scheduler(const SchedulerConfig& config, BlockPool& pool)
    : config_(config), pool_(pool) {
  TUTTI_CHECK_GT(config_.block_size, 0);
  TUTTI_CHECK_GT(config_.max_batch_tokens, 0);
  TUTTI_CHECK_GT(config_.max_batch_sequences, 0);
  TUTTI_CHECK_GE(config_.watermark_blocks, 0);
  TUTTI_CHECK_GE(config_.max_prefill_chunk, 0);
  TUTTI_CHECK_GE(config_.max_score_rows, 0);
  TUTTI_CHECK_GE(config_.aging_us, 0);
  // Every running sequence decodes in every step and one token more is left for a prefill.
  const int64_t slots = std::min(config_.max_batch_sequences, config_.max_batch_tokens);
  for (int64_t slot = slots - 1; slot >= 0; --slot) {
    free_slots_.push_back(narrow<int32_t>(slot));
  }
  running_.reserve(usize(slots));
  running_slots_.reserve(usize(slots));
  left_.resize(usize(slots), 0);
  for (Step& step : steps_) {
    step.rows.reserve(usize(slots));
  }
}

void Scheduler::add(SequenceRequest request, int64_t now_us) {
  const Status fits =
      check_fits(config_, pool_.total(), ssize(request.prompt.size()), request.max_tokens);
  TUTTI_CHECK_MSG(fits.ok(), "{}", fits.message());
  TUTTI_CHECK(request.grammar == nullptr || config_.vocab_size > 0);
  TUTTI_CHECK(request.sampling.prompt_logprobs < 0 || config_.max_score_rows > 0);
  const uint64_t id = request.id;
  auto [it, added] =
      sequences_.emplace(id, std::make_unique<Entry>(std::move(request), config_.block_size));
  TUTTI_CHECK_MSG(added, "sequence {} exists", id);
  Entry& entry = *it->second;
  entry.order_us = now_us + entry.sequence.request().priority * config_.aging_us;
  entry.arrival = arrivals_++;
  entry.root = pool_.hold_root(cache_root(config_, entry.sequence));
  waiting_.push(&entry);
  const SequenceRequest& kept = entry.sequence.request();
  watch(entry, std::min(kept.deadline_us, kept.queue_deadline_us));
}

void Scheduler::watch(Entry& entry, int64_t expires_us) {
  deadlines_.erase(&entry);
  entry.expires_us = expires_us;
  if (expires_us != kNoDeadline) {
    deadlines_.push(&entry);
  }
}

bool Scheduler::schedule(int64_t now_us, Batch& batch, EventList& events) {
  TUTTI_CHECK_LT(in_flight_, kMaxInFlight);
  batch.clear(next_step_);
  expire(now_us, events);
  Step& step = steps_[next_step_ % steps_.size()];
  step.number = next_step_;
  step.rows.clear();
  stalled_ = false;
  scores_left_ = config_.max_score_rows;
  schedule_running(batch);
  admit(batch);
  if (batch.sequences.empty()) {
    // The first of all sequences can always advance (docs/engine-contract.md).
    TUTTI_CHECK(idle() || in_flight_ > 0);
    return false;
  }
  ++next_step_;
  ++in_flight_;
  return true;
}

void Scheduler::expire(int64_t now_us, EventList& events) {
  while (!deadlines_.empty() && deadlines_.top()->expires_us <= now_us) {
    Entry& entry = *deadlines_.top();
    ++counters_.expired;
    if (entry.sequence.request().deadline_us > now_us) {
      end(entry,
          events,
          error(StatusCode::kUnavailable,
                "the request was not started in time, {} others are waiting; try again later",
                waiting_.size() - 1));
      continue;
    }
    end(entry,
        events,
        error(StatusCode::kDeadlineExceeded,
              "the request's timeout passed {} {} of {} output tokens; raise timeout or lower "
              "max_tokens",
              entry.state == State::kWaiting ? "while it waited, after" : "after",
              entry.sequence.output_count(),
              entry.sequence.request().max_tokens));
  }
  sweep();
}

/// Decodes first, so that no prompt ever holds up a stream; prefills share what is left.
void Scheduler::schedule_running(Batch& batch) {
  bool prefills = false;
  // running_ may lose elements from its end in make_room.
  for (size_t i = 0; i < running_.size() && budget_left(batch) > 0; ++i) {
    prefetch(running_, i);
    Entry& entry = *running_[i];
    if (!wants_step(entry)) {
      continue;
    }
    // A step may have yielded several tokens. Sequences that prefill own all their blocks.
    const bool one = to_compute(entry) == 1;
    if (one || missing_blocks(entry) > 0) {
      if (make_room(entry)) {
        put(entry, one ? 1 : chunk(entry, batch), batch);
      }
    } else {
      prefills = true;
    }
  }
  if (!prefills) {
    return;
  }
  for (Entry* entry : running_) {
    if (budget_left(batch) == 0) {
      return;
    }
    if (entry->last_step != next_step_ + 1 && wants_step(*entry) && missing_blocks(*entry) <= 0) {
      // None if others have used up what may be scored in this step.
      if (const int64_t count = chunk(*entry, batch); count > 0) {
        put(*entry, count, batch);
      }
    }
  }
}

// Strictly in the order of service: whoever is first and does not fit holds up the others, else
// large requests would starve. After a preemption nobody behind the victim can be admitted in the
// same step: less is available than the victim, now ahead in the queue, held.
void Scheduler::admit(Batch& batch) {
  while (!waiting_.empty() && budget_left(batch) > 0 && !free_slots_.empty() && !stalled_) {
    Entry& entry = *waiting_.top();
    if (waits_for_sibling(entry) || waits_for_scores(entry) || !try_admit(entry, batch)) {
      return;
    }
  }
}

/// The sibling whose prompt is the same computes it; then its blocks are shared. If it scores the
/// prompt for all, nobody has output before that is done, also where it has lost its place.
bool Scheduler::waits_for_sibling(const Entry& entry) const {
  const auto it = sequences_.find(entry.sequence.request().fork_of);
  if (it == sequences_.end()) {
    return false;
  }
  const Entry& sibling = *it->second;
  return sibling.scored < sibling.sequence.score_count() ||
         (sibling.state == State::kRunning &&
          sibling.sequence.computed() < sibling.sequence.prompt_count());
}

/// Others have used up what may be scored in this step.
bool Scheduler::waits_for_scores(const Entry& entry) const {
  return scores_left_ == 0 && entry.scored < entry.sequence.score_count();
}

/// Fills prefix_ with computed blocks that hold the beginning of the entry's tokens. Never with
/// tokens whose logits are wanted: the last one, and those of the prompt that are yet to be scored.
void Scheduler::find_prefix(Entry& entry) {
  prefix_.clear();
  const Sequence& sequence = entry.sequence;
  const bool scores = entry.scored < sequence.score_count();
  const int64_t limit = (scores ? entry.scored : sequence.token_count() - 1) / config_.block_size;
  if (pool_.has_cache()) {
    pool_.match(entry.root, sequence.tokens(), limit, prefix_);
  }
  const auto it = sequences_.find(sequence.request().fork_of);
  if (it == sequences_.end() || it->second->slot < 0) {
    return;
  }
  const Sequence& sibling = it->second->sequence;
  const int64_t shared = std::min({limit,
                                   sibling.prompt_count() / config_.block_size,
                                   sibling.computed() / config_.block_size});
  if (shared > 0 && shared >= ssize(prefix_.size())) {
    prefix_.assign(sibling.blocks().begin(), sibling.blocks().begin() + shared);
    ++counters_.forks;
  }
}

bool Scheduler::try_admit(Entry& entry, Batch& batch) {
  const bool alone = running_.empty();
  Sequence& sequence = entry.sequence;
  if (!alone && refused_id_ == sequence.id() && pool_.available() < refused_blocks_) {
    return false;  // without looking its prefix up again
  }
  const uint64_t forks = counters_.forks;
  find_prefix(entry);
  int64_t needed = blocks_for(sequence.token_count()) - ssize(prefix_.size());
  for (const int32_t block : prefix_) {
    needed += pool_.ref_count(block) == 0 ? 1 : 0;  // cached ones stop being available
  }
  const int64_t reserve = alone ? 0 : config_.watermark_blocks;
  if (needed + reserve > pool_.available()) {
    counters_.forks = forks;
    refused_id_ = sequence.id();
    refused_blocks_ = needed + reserve;
    return false;
  }
  for (const int32_t block : prefix_) {
    pool_.share(block);
  }
  std::vector<int32_t>& blocks = sequence.blocks();
  blocks.assign(prefix_.begin(), prefix_.end());
  // All blocks of the known tokens at once: a prefill, once begun, never waits for blocks.
  TUTTI_CHECK(pool_.allocate(blocks_for(sequence.token_count()) - ssize(blocks.size()), blocks));
  entry.scheduled = ssize(prefix_.size()) * config_.block_size;
  sequence.set_computed(entry.scheduled);
  entry.named = pool_.has_cache() ? ssize(prefix_.size()) : 0;
  if (entry.cached_prompt_tokens < 0) {
    watch(entry, sequence.request().deadline_us);
    entry.cached_prompt_tokens = narrow<int32_t>(entry.scheduled);
    if (sequence.score_count() == 0) {
      counters_.prefix_queries += static_cast<uint64_t>(sequence.prompt_count());
    }
    counters_.prefix_hits += static_cast<uint64_t>(entry.scheduled);
  }
  waiting_.erase(&entry);
  entry.state = State::kRunning;
  entry.slot = free_slots_.back();
  free_slots_.pop_back();
  const auto place =
      std::upper_bound(running_.begin(),
                       running_.end(),
                       &entry,
                       [](const Entry* a, const Entry* b) { return ServedBefore()(*a, *b); }) -
      running_.begin();
  running_.insert(running_.begin() + place, &entry);
  running_slots_.insert(running_slots_.begin() + place, entry.slot);
  batch.joins.push_back({.slot = entry.slot, .row = sequence.sample_row()});
  put(entry, chunk(entry, batch), batch);
  return true;
}

/// Makes sure that a running sequence owns the blocks for all its tokens, those in flight included.
/// If false it takes no part in this step: it was preempted itself, or blocks that steps in flight
/// still use have to come back first.
bool Scheduler::make_room(Entry& entry) {
  const int64_t missing = missing_blocks(entry);
  if (missing <= 0) {
    return true;
  }
  // Whoever stalls is first to be served in the next step, so nobody behind it may take blocks now.
  while (!stalled_ && !pool_.allocate(missing, entry.sequence.blocks())) {
    if (releasing_ > 0) {
      stalled_ = true;
      return false;
    }
    Entry& victim = *last_running();
    const bool itself = &victim == &entry;
    preempt(victim);
    if (itself) {
      return false;
    }
  }
  return !stalled_;
}

/// The running sequence that comes last in the order of service.
Scheduler::Entry* Scheduler::last_running() const {
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    if ((*it)->state == State::kRunning) {
      return *it;
    }
  }
  TUTTI_CHECK_MSG(false, "nobody is running");
  return nullptr;
}

void Scheduler::preempt(Entry& entry) {
  // Sequences are put into the step in the order of service, so the last is not in it yet.
  TUTTI_CHECK_NE(entry.last_step, next_step_ + 1);
  ++counters_.preemptions;
  entry.state = State::kPreempting;
  if (entry.in_flight > 0) {
    ++releasing_;
    return;
  }
  give_back(entry);
  sweep();
}

/// Adds the next `count` tokens of a sequence to the step.
void Scheduler::put(Entry& entry, int64_t count, Batch& batch) {
  const Sequence& sequence = entry.sequence;
  const int64_t known = sequence.token_count();
  const int64_t begin = entry.scheduled;
  const int64_t end = begin + count;
  TUTTI_CHECK_GT(count, 0);
  TUTTI_CHECK_LE(end, ssize(sequence.blocks().size()) * config_.block_size);
  const bool sample = end == known + entry.pending;
  batch.sequences.push_back({.sequence_id = sequence.id(),
                             .slot = entry.slot,
                             .sample = sample,
                             .token_begin = ssize(batch.tokens.size()),
                             .token_count = count,
                             .context_before = begin,
                             .output_position = sequence.output_count() + entry.pending,
                             .prompt_tokens = sequence.prompt_count()});
  if (sample && sequence.grammar() != nullptr) {
    add_mask(entry, batch);
  }
  // Not asked of a sequence that decodes.
  const bool score = begin + 1 < sequence.prompt_count() && add_scores(entry, batch);
  if (const int64_t owned = ssize(sequence.blocks().size()); entry.told < owned) {
    batch.update_blocks(
        entry.slot, entry.told, std::span(sequence.blocks()).subspan(usize(entry.told)));
    entry.told = owned;
  }
  for (int64_t position = begin; position < end; ++position) {
    batch.tokens.push_back(position < known ? sequence.tokens()[usize(position)] : kSampledToken);
    batch.positions.push_back(narrow<int32_t>(position));
  }
  steps_[next_step_ % steps_.size()].rows.push_back(
      {.entry = &entry, .count = count, .sample = sample, .score = score});
  entry.scheduled = end;
  entry.last_step = next_step_ + 1;
  ++entry.in_flight;
  entry.pending += sample ? 1 : 0;
}

/// Which tokens of the last sequence in the step score their next; false if none does.
bool Scheduler::add_scores(Entry& entry, Batch& batch) {
  const Sequence& sequence = entry.sequence;
  BatchSequence& s = batch.sequences.back();
  const int64_t first = std::max(s.context_before, entry.scored);
  const int64_t last = std::min(s.context_before + s.token_count, sequence.score_count());
  if (first >= last) {
    return false;
  }
  s.score = narrow<int32_t>(ssize(batch.scores.size()));
  batch.scores.push_back({.begin = narrow<int32_t>(first - s.context_before),
                          .count = narrow<int32_t>(last - first),
                          .last = sequence.tokens()[usize(last)]});
  entry.scored = last;
  scores_left_ -= last - first;
  TUTTI_CHECK_GE(scores_left_, 0);
  return true;
}

/// What the grammar of the last sequence in the step allows after all its known tokens.
void Scheduler::add_mask(Entry& entry, Batch& batch) {
  TUTTI_CHECK_EQ(entry.pending, 0);
  constexpr int64_t kBits = 32;
  batch.mask_words = ceil_div(config_.vocab_size, kBits);
  const size_t begin = batch.masks.size();
  batch.masks.resize(begin + usize(batch.mask_words), 0);
  batch.sequences.back().mask_begin = narrow<int32_t>(ssize(begin));
  entry.sequence.grammar()->fill_mask(std::span(batch.masks).subspan(begin));
}

bool Scheduler::wants_step(const Entry& entry) const {
  if (entry.state != State::kRunning || to_compute(entry) == 0) {
    return false;
  }
  if (entry.pending == 0) {
    return true;
  }
  // The pending token may be known to be the last, or must be known before anything follows it.
  const Sequence& sequence = entry.sequence;
  return config_.run_ahead && !sequence.awaits_token() &&
         sequence.output_count() + entry.pending < sequence.max_tokens();
}

int64_t Scheduler::to_compute(const Entry& entry) const {
  return entry.sequence.token_count() + entry.pending - entry.scheduled;
}

int64_t Scheduler::missing_blocks(const Entry& entry) const {
  const int64_t tokens = entry.sequence.token_count() + entry.pending;
  const auto owned = static_cast<int64_t>(entry.sequence.blocks().size());
  // A division only where a block is missing: this is asked of every sequence in every step.
  return tokens <= owned * config_.block_size ? 0 : blocks_for(tokens) - owned;
}

int64_t Scheduler::chunk(const Entry& entry, const Batch& batch) const {
  const int64_t limit = config_.max_prefill_chunk > 0 ? config_.max_prefill_chunk : INT64_MAX;
  const int64_t count = std::min({to_compute(entry), budget_left(batch), limit});
  const Sequence& sequence = entry.sequence;
  if (entry.scheduled + 1 >= sequence.prompt_count()) {
    return count;  // decodes
  }
  const int64_t first = std::max(entry.scheduled, entry.scored);
  const int64_t last = std::min(entry.scheduled + count, sequence.score_count());
  return last - first > scores_left_ ? first + scores_left_ - entry.scheduled : count;
}

int64_t Scheduler::budget_left(const Batch& batch) const {
  return config_.max_batch_tokens - ssize(batch.tokens.size());
}

int64_t Scheduler::blocks_for(int64_t tokens) const {
  return ceil_div(tokens, config_.block_size);
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = counters_;
  stats.waiting = ssize(waiting_.size());
  stats.running = ssize(running_.size()) - releasing_;
  return stats;
}

}  // namespace tutti
