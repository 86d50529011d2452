// The other half of the scheduler: what results, cancels and failures change.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "sched/scheduler.h"

namespace tutti {

using State = SchedulerEntry::State;

void Scheduler::cancel(uint64_t id, EventList& events) {
  const auto it = sequences_.find(id);
  if (it != sequences_.end() && it->second->state != State::kEnding) {
    end(*it->second, events, FinishReason::kCancelled);
    sweep();
  }
}

Scheduler::Step& Scheduler::oldest() {
  TUTTI_CHECK_GT(in_flight_, 0);
  return steps_[(next_step_ - static_cast<uint64_t>(in_flight_)) % steps_.size()];
}

void Scheduler::close_step() {
  --in_flight_;
  sweep();
}

void Scheduler::commit(StepOutput& output, EventList& events) {
  Step& step = oldest();
  TUTTI_CHECK_EQ(output.step, step.number);
  TUTTI_CHECK(events.tokens.empty() && events.scores.empty());
  std::swap(events.tokens, output.tokens);
  std::swap(events.scores, output.scores);
  size_t next = 0;  // in output.rows
  for (size_t i = 0; i < step.rows.size(); ++i) {
    constexpr size_t kAhead = 6;
    if (i + kAhead < step.rows.size()) {
      step.rows[i + kAhead].entry->prefetch();
      step.rows[i + kAhead / 2].entry->prefetch_last_token();
    }
    const auto& [entry, count, sample, score] = step.rows[i];
    counters_.computed_tokens += static_cast<uint64_t>(count);
    const RowOutput* row = nullptr;
    if (sample || score) {
      TUTTI_CHECK_LT(next, output.rows.size());
      row = &output.rows[next++];
      TUTTI_CHECK_EQ(row->sequence_id, entry->sequence.id());
    }
    if (entry->state != State::kEnding) {
      entry->sequence.set_computed(entry->sequence.computed() + count);
      if (row != nullptr) {
        entry->pending -= sample ? 1 : 0;
        if (row->failure >= 0) {
          const Status& failure = output.failures[usize(row->failure)];
          if (failure.code() != StatusCode::kInvalidArgument) {
            // Whatever made its logits unusable may be in its KV; what a client asked is not.
            pool_.forget_content(entry->sequence.blocks());
          }
          end(*entry, events, failure);
        } else {
          apply(*row, *entry, events);
        }
      }
      if (row == nullptr || row->failure < 0) {
        keep_content(*entry);
      }
    }
    leave_step(*entry);
  }
  TUTTI_CHECK_EQ(next, output.rows.size());
  close_step();
}

void Scheduler::apply(const RowOutput& row, Entry& entry, EventList& events) {
  TUTTI_CHECK_GT(row.token_count + row.score_count, 0);
  EventRecord record{.sequence_id = entry.sequence.id(),
                     .tag = entry.sequence.tag(),
                     .token_begin = row.token_begin,
                     .score_begin = row.score_begin,
                     .score_count = row.score_count,
                     .cached_prompt_tokens = entry.cached_prompt_tokens};
  for (int32_t i = 0; i < row.token_count && !record.finish.has_value(); ++i) {
    const int32_t token = events.tokens[usize(row.token_begin + i)].token;
    record.finish = entry.sequence.append(token);
    if (record.finish == FinishReason::kStop) {
      break;
    }
    ++record.token_count;
    GrammarState* grammar = entry.sequence.grammar();
    if (grammar != nullptr && !grammar->accept(token)) {
      end(entry,
          events,
          error(StatusCode::kInternal, "the grammar does not allow token {}", token));
      return;
    }
  }
  counters_.generated_tokens += static_cast<uint64_t>(record.token_count);
  events.records.push_back(record);
  if (record.last()) {
    retire(entry);
  }
}

/// Tells the pool what the full blocks hold that have been computed since the last time.
void Scheduler::keep_content(Entry& entry) {
  if (!pool_.has_cache()) {
    return;
  }
  const Sequence& sequence = entry.sequence;
  for (int64_t& i = entry.named; (i + 1) * config_.block_size <= sequence.computed(); ++i) {
    pool_.set_content(
        sequence.blocks()[usize(i)],
        i == 0 ? -1 : sequence.blocks()[usize(i - 1)],
        entry.root,
        sequence.tokens().subspan(usize(i * config_.block_size), usize(config_.block_size)));
  }
}

void Scheduler::end(Entry& entry, EventList& events, FinishReason reason) {
  events.records.push_back(
      {.sequence_id = entry.sequence.id(), .tag = entry.sequence.tag(), .finish = reason});
  retire(entry);
}

void Scheduler::end(Entry& entry, EventList& events, const Status& status) {
  events.records.push_back({.sequence_id = entry.sequence.id(),
                            .tag = entry.sequence.tag(),
                            .failure = narrow<int32_t>(ssize(events.failures.size()))});
  events.failures.push_back(status);
  retire(entry);
}

/// Its last event is out. What it owns goes back now, or when no step in flight refers to it.
void Scheduler::retire(Entry& entry) {
  deadlines_.erase(&entry);
  waiting_.erase(&entry);
  releasing_ += entry.state == State::kRunning && entry.in_flight > 0 ? 1 : 0;
  entry.state = State::kEnding;
  if (entry.in_flight == 0) {
    give_back(entry);
  }
}

/// One of the steps that refer to it is over.
void Scheduler::leave_step(Entry& entry) {
  if (--entry.in_flight == 0 && entry.state != State::kRunning) {
    --releasing_;
    give_back(entry);
  }
}

/// Slot and blocks become free; sweep() takes it out of the lists.
void Scheduler::give_back(Entry& entry) {
  TUTTI_CHECK_EQ(entry.in_flight, 0);
  swept_ = false;
  std::vector<int32_t>& blocks = entry.sequence.blocks();
  pool_.release(blocks);
  blocks.clear();
  if (entry.slot >= 0) {
    free_slots_.push_back(entry.slot);
    left_[usize(entry.slot)] = 1;
    entry.slot = -1;
  }
  entry.sequence.set_computed(0);
  entry.scheduled = entry.named = entry.told = 0;
  if (entry.state == State::kPreempting) {
    entry.state = State::kWaiting;
    waiting_.push(&entry);
  } else {
    ended_.push_back(&entry);
  }
}

void Scheduler::sweep() {
  if (swept_) {
    return;
  }
  swept_ = true;
  // By the slots of the places, without looking at every entry.
  size_t kept = 0;
  for (size_t i = 0; i < running_.size(); ++i) {
    const int32_t slot = running_slots_[i];
    if (std::exchange(left_[usize(slot)], uint8_t{0}) == 0) {
      running_[kept] = running_[i];
      running_slots_[kept++] = slot;
    }
  }
  running_.resize(kept);
  running_slots_.resize(kept);
  for (Entry* entry : ended_) {
    pool_.drop_root(entry->root);
    sequences_.erase(entry->sequence.id());
  }
  ended_.clear();
}

void Scheduler::fail_step(const Status& status, EventList& events) {
  for (const Scheduled& row : oldest().rows) {
    if (row.entry->state != State::kEnding) {
      end(*row.entry, events, status);
    }
    leave_step(*row.entry);
  }
  close_step();
}

void Scheduler::fail_all(const Status& status, EventList& events) {
  in_flight_ = 0;
  releasing_ = 0;
  for (auto& [id, entry] : sequences_) {
    entry->in_flight = 0;
    if (entry->state == State::kEnding) {
      give_back(*entry);
    } else {
      end(*entry, events, status);
    }
  }
  sweep();
}

Status Scheduler::check_invariants() const {
  std::vector<int32_t> held(usize(pool_.total()), 0);
  for (const auto& [id, entry] : sequences_) {
    for (const int32_t block : entry->sequence.blocks()) {
      ++held[usize(block)];
    }
    const bool lists = (entry->slot >= 0) ==
                       (std::find(running_.begin(), running_.end(), entry.get()) != running_.end());
    const bool queued =
        (entry->queue_place != Entry::kNowhere) == (entry->state == State::kWaiting);
    if (!lists || !queued || (entry->slot < 0 && !entry->sequence.blocks().empty())) {
      return error(StatusCode::kInternal, "sequence {} is in the wrong list", id);
    }
  }
  for (int32_t block = 0; block < pool_.total(); ++block) {
    if (held[usize(block)] != pool_.ref_count(block)) {
      return error(StatusCode::kInternal,
                   "block {} is held by {} sequences and has {} references",
                   block,
                   held[usize(block)],
                   pool_.ref_count(block));
    }
  }
  return pool_.check_invariants();
}

}  // namespace tutti
