// Decides what each step computes: which sequences, how many of their tokens, in which KV blocks.
// Pure host logic; not thread-safe; owned by the engine thread. Policy: docs/engine-contract.md.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "kv/block_pool.h"
#include "sched/batch.h"
#include "sched/sequence.h"

namespace tutti {

struct SchedulerConfig {
  int64_t block_size = 16;         ///< tokens per KV block
  int64_t max_batch_tokens = 512;  ///< tokens of one step, all sequences together
  int64_t max_batch_sequences = 64;
  int64_t max_context = 0;        ///< tokens of prompt + output of one sequence
  int64_t watermark_blocks = 0;   ///< stay free at admission while other sequences run
  int64_t max_prefill_chunk = 0;  ///< prompt tokens of one sequence in one step; 0 = whole budget
};

/// Tokens one sequence may have in the end: the context, or less if the pool is smaller.
int64_t max_sequence_tokens(const SchedulerConfig& config, int64_t total_blocks);

/// Ok if a sequence of these lengths could run to its end with the pool to itself. Otherwise
/// kContextLength (model's limit) or kOutOfMemory (pool's limit), with numbers. Any thread.
Status check_fits(const SchedulerConfig& config,
                  int64_t total_blocks,
                  int64_t prompt_tokens,
                  int64_t max_tokens);

struct SchedulerStats {
  int64_t waiting = 0;  ///< sequences
  int64_t running = 0;
  uint64_t preemptions = 0;
  uint64_t computed_tokens = 0;   ///< run through the model, recomputation included
  uint64_t generated_tokens = 0;  ///< output of sequences
};

class Scheduler {
 public:
  /// `pool` must outlive the scheduler.
  Scheduler(const SchedulerConfig& config, BlockPool& pool);

  /// The request must have passed check_fits and its id must be new.
  void add(SequenceRequest request);

  /// Ends a sequence. Its last event, or nullopt if the id is unknown (ended already) or a step
  /// refers to it: then commit() brings the event.
  std::optional<SequenceEvent> cancel(uint64_t id);

  /// The next step, or nullopt if no sequence is left. Every step must be committed or failed
  /// before the next one is scheduled.
  std::optional<Batch> schedule();

  /// Applies the results of the scheduled step.
  std::vector<SequenceEvent> commit(const StepOutput& output);

  /// The scheduled step was lost: its sequences end with `status`.
  std::vector<SequenceEvent> fail_step(const Status& status);

  /// Ends every sequence with `status`; no step may be scheduled.
  std::vector<SequenceEvent> fail_all(const Status& status);

  bool idle() const { return sequences_.empty(); }

  SchedulerStats stats() const;

 private:
  struct Entry {
    explicit Entry(SequenceRequest request) : sequence(std::move(request)) {}

    Sequence sequence;
    bool in_step = false;   // the scheduled step refers to it: blocks must stay
    bool retiring = false;  // cancelled while in_step; ends at commit
  };

  struct Scheduled {
    Entry* entry = nullptr;
    int64_t count = 0;    // tokens computed by the step
    bool sample = false;  // the step yields output
  };

  void schedule_decodes(Batch& batch);
  void schedule_prefills(Batch& batch);
  void admit(Batch& batch);
  bool can_admit(const Entry& entry) const;
  bool make_room(size_t index);
  void preempt_last();
  void put(Entry& entry, int64_t count, Batch& batch);
  int64_t chunk(const Entry& entry, const Batch& batch) const;
  int64_t budget_left(const Batch& batch) const;
  int64_t missing_blocks(const Sequence& sequence) const;
  int64_t blocks_for(int64_t tokens) const;
  void apply(const SequenceOutput& output, Entry& entry, std::vector<SequenceEvent>& events);
  void remove(Entry& entry);

  const SchedulerConfig config_;
  BlockPool& pool_;
  std::unordered_map<uint64_t, std::unique_ptr<Entry>> sequences_;
  std::deque<Entry*> waiting_;   // order of arrival; preempted ones are older than the rest
  std::vector<Entry*> running_;  // order of admission
  std::vector<Scheduled> step_;  // what the scheduled step refers to, in batch order
  bool step_open_ = false;
  uint64_t steps_ = 0;
  SchedulerStats counters_;
};

}  // namespace tutti
