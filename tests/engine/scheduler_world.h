// A random world for Scheduler + BlockPool: limits, pool and load drawn from a seed, a fake runner
// whose output depends on what the blocks really hold, and a checker that knows the rules.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/fake_model_runner.h"
#include "sched/scheduler.h"

namespace tutti {

/// What the worlds have seen; summed over worlds.
struct WorldCounts {
  int64_t steps = 0;
  int64_t ended = 0;
  int64_t preemptions = 0;
  int64_t cancels = 0;
  int64_t forks = 0;
  int64_t cache_hits = 0;  ///< admissions that took blocks from the cache or a sibling
  int64_t evictions = 0;
  int64_t deadlines = 0;
  int64_t failures = 0;     ///< sequences ended by a lost step or row
  int64_t scores = 0;       ///< of prompt tokens
  int64_t run_ahead = 0;    ///< steps scheduled while another was in flight
  double longest_wait = 0;  ///< of the stated bound

  void add(const WorldCounts& other);
  std::string text() const;
};

class SchedulerWorld {
 public:
  /// Called after every scheduled step; a test damages something here.
  struct Parts {
    BlockPool& pool;
    Scheduler& scheduler;
    FakeModelRunner& runner;
    const Batch& batch;
  };

  using Saboteur = std::function<void(const Parts&)>;

  explicit SchedulerWorld(uint64_t seed);

  void set_saboteur(Saboteur saboteur) { saboteur_ = std::move(saboteur); }

  /// Without the sampled checks of all invariants, only what sequences say can give a bug away.
  void set_thorough(bool on) { thorough_ = on; }

  void set_cancels(bool on) { cancels_ = on; }

  /// Runs until `steps` steps have been scheduled, then lets everything end. An error names the
  /// broken rule and the seed.
  Status run(int64_t steps);

  WorldCounts counts() const;

 private:
  // What the checker knows of a live sequence.
  struct Known {
    SequenceRequest request;
    std::vector<int32_t> got;
    int64_t scored = 0;  // tokens of the prompt
    int64_t order_us = 0;
    int64_t ahead = 0;          // others that precede it, all it has ever had
    int64_t waiting_since = 0;  // step in which the last of them came
    bool admitted = false;
    bool cancelled = false;
    bool lost = false;  // a failure of its step or row is to be expected
  };

  int64_t pick(int64_t low, int64_t high);

  bool chance(int64_t percent) { return pick(0, 99) < percent; }

  std::vector<int32_t> make_prompt(int64_t length);
  void arrive();
  void add(SequenceRequest request);
  Status maybe_cancel();
  Status turn(bool arrivals);
  Status schedule(bool& scheduled);
  Status collect();
  Status check_step(const Batch& batch);
  Status check_admission(Known& known, const BatchSequence& row);
  Status check_deadlines();
  Status take_events();
  Status on_event(const SequenceEvent& event);
  Status check_scores(Known& known, const SequenceEvent& event);
  Status check_blocks(bool thorough) const;
  bool precedes(const Known& a, const Known& b) const;

  template <class... Args>
  Status broken(fmt::format_string<Args...> format, Args&&... args) const {
    return error(StatusCode::kInternal,
                 "seed {}, step {}: {}",
                 seed_,
                 counts_.steps,
                 fmt::format(format, std::forward<Args>(args)...));
  }

  const uint64_t seed_;
  std::mt19937_64 rng_;
  const RunnerLimits limits_;
  const SchedulerConfig config_;
  const int64_t arrival_percent_;
  const int64_t cancel_percent_;
  const int64_t depth_;
  BlockPool pool_;
  Scheduler scheduler_;
  FakeModelRunner runner_;
  Saboteur saboteur_;
  bool thorough_ = true;
  bool cancels_ = true;
  std::array<Batch, 2> batches_;
  StepOutput output_;
  EventList events_;
  std::vector<std::vector<int32_t>> stories_;  // prompts begin like one of these
  std::map<uint64_t, Known> live_;
  int64_t now_us_ = 0;
  uint64_t last_id_ = 0;
  size_t scheduled_ = 0;
  size_t collected_ = 0;
  WorldCounts counts_;
};

}  // namespace tutti
