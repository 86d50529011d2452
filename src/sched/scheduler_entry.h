// What the scheduler knows of one live sequence, and the two orders it keeps them in.
#pragma once
#include <cstddef>
#include <cstdint>

#include "sched/block_pool.h"
#include "sched/indexed_heap.h"
#include "sched/sequence.h"

namespace tutti {

struct alignas(64) SchedulerEntry {
  static constexpr size_t kNowhere = static_cast<size_t>(-1);

  enum class State : uint8_t {
    kWaiting,     // in the queue; owns no blocks, no step in flight refers to it
    kRunning,     // owns a slot and blocks
    kPreempting,  // will wait again as soon as no step in flight refers to it
    kEnding,      // its last event is out; ends as soon as no step in flight refers to it
  };

  SchedulerEntry(SequenceRequest request, int64_t block_size)
      : sequence(std::move(request), block_size) {}

  /// A step looks at all running sequences one after another: asks the memory for a later one.
  void prefetch() const {
    for (size_t line = 0; line < 4; ++line) {
      __builtin_prefetch(reinterpret_cast<const char*>(this) + line * 64);
    }
  }

  /// Later, when the entry itself is there: where its tokens end.
  void prefetch_last_token() const {
    const std::span<const int32_t> tokens = sequence.tokens();
    __builtin_prefetch(tokens.data() + tokens.size());
  }

  // What every step touches comes first.
  int64_t scheduled = 0;   // leading tokens whose KV is stored once the steps in flight are done
  int64_t named = 0;       // leading blocks whose content the pool knows
  int64_t told = 0;        // leading blocks the runner's table knows
  uint64_t last_step = 0;  // number + 1 of the step it was put into last
  int32_t slot = -1;
  int32_t in_flight = 0;              // steps that refer to it
  int32_t pending = 0;                // tokens that these will sample: 0 or 1
  int32_t cached_prompt_tokens = -1;  // -1: never admitted
  State state = State::kWaiting;
  Sequence sequence;
  int64_t scored = 0;  // of sequence.score_count(), those done or in flight; outlives preemption
  // Arrival + priority * aging: waiting `aging` longer is worth one level. The order of two
  // sequences never changes, so nobody can be overtaken for ever.
  int64_t order_us = 0;
  uint64_t arrival = 0;
  ContentId root = 0;
  int64_t expires_us = kNoDeadline;  // the next of its deadlines
  size_t queue_place = kNowhere;
  size_t deadline_place = kNowhere;
};

/// First in the order of service.
struct ServedBefore {
  bool operator()(const SchedulerEntry& a, const SchedulerEntry& b) const {
    return a.order_us != b.order_us ? a.order_us < b.order_us : a.arrival < b.arrival;
  }
};

struct SoonerDeadline {
  bool operator()(const SchedulerEntry& a, const SchedulerEntry& b) const {
    return a.expires_us < b.expires_us;
  }
};

using WaitingQueue = IndexedHeap<SchedulerEntry, &SchedulerEntry::queue_place, ServedBefore>;
using DeadlineQueue = IndexedHeap<SchedulerEntry, &SchedulerEntry::deadline_place, SoonerDeadline>;

}  // namespace tutti
