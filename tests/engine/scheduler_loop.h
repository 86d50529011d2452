// A scheduler with its pool, driven by hand: one step at a time, or with a second one in flight.
#pragma once
#include <array>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "sched/scheduler.h"

namespace tutti {

/// A sequence's news by value.
struct News {
  uint64_t id = 0;
  std::vector<int32_t> tokens;
  std::optional<FinishReason> finish;
  Status status;
  int64_t cached = 0;

  bool last() const { return finish.has_value() || !status.ok(); }
};

struct SchedulerLoop {
  SchedulerLoop(const SchedulerConfig& config, int64_t blocks, bool cache = false)
      : pool(blocks,
             cache ? std::optional(BlockPool::PrefixCache{.block_size = config.block_size})
                   : std::nullopt),
        scheduler(config, pool) {}

  ~SchedulerLoop() {
    EXPECT_TRUE(scheduler.check_invariants().ok()) << scheduler.check_invariants().message();
  }

  void add(SequenceRequest request) { scheduler.add(std::move(request), now_us); }

  /// The next step, or nullptr.
  Batch* schedule() {
    Batch& batch = batches[scheduled % 2];
    if (!scheduler.schedule(now_us, batch, events)) {
      return nullptr;
    }
    ++scheduled;
    return &batch;
  }

  /// Token 1 for every row of the oldest step in flight.
  StepOutput answer() const {
    const Batch& batch = batches[committed % 2];
    StepOutput out{.step = batch.step};
    for (const BatchSequence& s : batch.sequences) {
      if (s.sample) {
        SampledToken token;
        token.token = 1;
        out.add(s.sequence_id, token);
      }
    }
    return out;
  }

  std::vector<News> commit(StepOutput out) {
    ++committed;
    scheduler.commit(out, events);
    return take();
  }

  std::vector<News> commit() { return commit(answer()); }

  std::vector<News> cancel(uint64_t id) {
    scheduler.cancel(id, events);
    return take();
  }

  std::vector<News> take() {
    std::vector<News> out;
    for (const EventRecord& record : events.records) {
      const SequenceEvent event = events.event(record);
      News& news = out.emplace_back(News{.id = event.sequence_id,
                                         .finish = event.finish,
                                         .status = event.status,
                                         .cached = event.cached_prompt_tokens});
      for (const SampledToken& token : event.tokens) {
        news.tokens.push_back(token.token);
      }
    }
    events.clear();
    return out;
  }

  BlockPool pool;
  Scheduler scheduler;
  std::array<Batch, 2> batches;
  EventList events;
  int64_t now_us = 0;
  size_t scheduled = 0;
  size_t committed = 0;
};

inline SequenceRequest request(uint64_t id, int64_t prompt, int64_t max_tokens) {
  SequenceRequest r;
  r.id = id;
  for (int64_t i = 0; i < prompt; ++i) {
    r.prompt.push_back(static_cast<int32_t>((static_cast<int64_t>(id) * 7 + i) % 50));
  }
  r.max_tokens = max_tokens;
  return r;
}

}  // namespace tutti
