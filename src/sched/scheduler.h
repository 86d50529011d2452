// Decides what each step computes: which sequences, how many of their tokens, in which KV blocks.
// Pure host logic; not thread-safe; owned by the engine thread. Policy: docs/engine-contract.md.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "sched/batch.h"
#include "sched/block_pool.h"
#include "sched/scheduler_config.h"
#include "sched/scheduler_entry.h"
#include "sched/sequence.h"
#include "sched/sequence_events.h"

namespace tutti {

struct SchedulerStats {
  int64_t waiting = 0;  ///< sequences
  int64_t running = 0;
  uint64_t preemptions = 0;
  uint64_t forks = 0;             ///< admissions that took their prompt's blocks from a sibling
  uint64_t expired = 0;           ///< sequences ended by one of their deadlines
  uint64_t computed_tokens = 0;   ///< run through the model, recomputation included
  uint64_t generated_tokens = 0;  ///< output of sequences
  uint64_t prefix_queries = 0;    ///< prompt tokens looked up in the prefix cache
  uint64_t prefix_hits = 0;       ///< of these, found
};

class Scheduler {
 public:
  /// Steps that may have been scheduled and not been committed.
  static constexpr int64_t kMaxInFlight = 2;

  /// `pool` must outlive the scheduler; if it has a cache, of the same block size.
  Scheduler(const SchedulerConfig& config, BlockPool& pool);

  // Times are microseconds of any clock that does not go back; always the same one.

  /// The request must have passed check_fits and its id must be new.
  void add(SequenceRequest request, int64_t now_us);

  /// Ends a sequence at once; nothing if the id is unknown (ended already). Blocks that a step in
  /// flight refers to come back when that step is committed.
  void cancel(uint64_t id, EventList& events);

  /// Fills the next step; false and an empty batch if there is nothing to compute before a step in
  /// flight has been committed (or no sequence is left). Sequences past their deadline end first.
  bool schedule(int64_t now_us, Batch& batch, EventList& events);

  /// Applies the results of the oldest step in flight. Takes the sampled tokens out of `output`;
  /// `events` must hold none.
  void commit(StepOutput& output, EventList& events);

  /// The oldest step in flight was lost: its sequences end with `status`.
  void fail_step(const Status& status, EventList& events);

  /// Ends every sequence with `status` and forgets the steps in flight: the runner must not touch
  /// any block from now on.
  void fail_all(const Status& status, EventList& events);

  /// No sequence is left that would need a step.
  bool idle() const { return waiting_.empty() && running_.empty(); }

  int64_t in_flight() const { return in_flight_; }

  SchedulerStats stats() const;

  /// Every reference of the pool belongs to a sequence, O(blocks held). For tests.
  Status check_invariants() const;

 private:
  friend struct SchedulerPeer;  // tests plant a bug through it

  using Entry = SchedulerEntry;

  struct Scheduled {
    Entry* entry = nullptr;
    int64_t count = 0;    // tokens computed by the step
    bool sample = false;  // the step yields output
    bool score = false;   // or scores of the prompt
  };

  // One scheduled step.
  struct Step {
    uint64_t number = 0;
    std::vector<Scheduled> rows;
  };

  void watch(Entry& entry, int64_t expires_us);
  void expire(int64_t now_us, EventList& events);
  void schedule_running(Batch& batch);
  void schedule_prefills(Batch& batch);
  void admit(Batch& batch);
  bool try_admit(Entry& entry, Batch& batch);
  bool waits_for_sibling(const Entry& entry) const;
  bool waits_for_scores(const Entry& entry) const;
  void find_prefix(Entry& entry);
  bool make_room(Entry& entry);
  Entry* last_running() const;
  void preempt(Entry& entry);
  void put(Entry& entry, int64_t count, Batch& batch);
  void add_mask(Entry& entry, Batch& batch);
  bool add_scores(Entry& entry, Batch& batch);
  bool wants_step(const Entry& entry) const;
  int64_t to_compute(const Entry& entry) const;
  int64_t missing_blocks(const Entry& entry) const;
  int64_t chunk(const Entry& entry, const Batch& batch) const;
  int64_t budget_left(const Batch& batch) const;
  int64_t blocks_for(int64_t tokens) const;

  // scheduler_commit.cc
  Step& oldest();
  void close_step();
  void apply(const RowOutput& row, Entry& entry, EventList& events);
  void keep_content(Entry& entry);
  void end(Entry& entry, EventList& events, FinishReason reason);
  void end(Entry& entry, EventList& events, const Status& status);
  void retire(Entry& entry);
  void leave_step(Entry& entry);
  void give_back(Entry& entry);
  void sweep();

  const SchedulerConfig config_;
  BlockPool& pool_;
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> sequences_;
  WaitingQueue waiting_;
  DeadlineQueue deadlines_;
  std::vector<Entry*> running_;         // own slot and blocks; in the order of service
  std::vector<int32_t> running_slots_;  // theirs
  std::vector<uint8_t> left_;  // by slot: its sequence has given it back and is not swept yet
  std::vector<int32_t> free_slots_;
  std::array<Step, kMaxInFlight> steps_;
  int64_t in_flight_ = 0;
  uint64_t next_step_ = 0;
  int64_t releasing_ = 0;    // of running_: give their blocks back when their steps are committed
  int64_t scores_left_ = 0;  // in the step being made, prompt tokens that may still be scored
  bool stalled_ = false;     // in the step being made, somebody waits for blocks in flight
  bool swept_ = true;        // running_ holds nobody who has given everything back
  uint64_t arrivals_ = 0;
  // The first in the queue was refused when it needed this many available blocks.
  uint64_t refused_id_ = 0;
  int64_t refused_blocks_ = 0;
  std::vector<Entry*> ended_;    // have given everything back, not swept yet
  std::vector<int32_t> prefix_;  // blocks found by find_prefix
  SchedulerStats counters_;
};

}  // namespace tutti
