// The loop from requests to tokens: inbox -> scheduler -> runner -> events. Knows token ids only;
// TextEngine adds text. Threads, ownership and order: docs/engine-contract.md.
#pragma once
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/queue.h"
#include "base/status.h"
#include "engine/inbox.h"
#include "engine/language_model.h"
#include "engine/model_runner.h"
#include "engine/step_watch.h"
#include "sched/block_pool.h"
#include "sched/scheduler.h"

namespace tutti {

struct EngineConfig {
  int64_t max_waiting = 256;         ///< sequences that may wait; more are refused (kOverloaded)
  int64_t delivery_capacity = 1024;  ///< steps whose events may wait for the delivery thread
  int64_t max_prefill_chunk = 0;     ///< see SchedulerConfig
  double priority_aging_seconds = 10.0;  ///< waiting this long is worth one level of priority
  bool prefix_cache = true;
  /// How long one call of the runner may take, as seen by those who ask for health(); 0: any time.
  /// For what the runner cannot bound itself: a wait inside a driver.
  std::chrono::milliseconds step_timeout{0};
  bool run_ahead = true;           ///< prepare the next step while the ranks run this one
  std::function<int64_t()> clock;  ///< microseconds, for tests; unset: the steady clock
};

class Engine {
 public:
  /// Starts the engine and the delivery thread. The runner's limits must all be positive.
  Engine(const EngineConfig& config, std::unique_ptr<ModelRunner> runner);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const RunnerLimits& limits() const { return runner_->limits(); }

  /// Most tokens (prompt + output) of one sequence: the context, or less if the KV pool is smaller.
  int64_t max_sequence_tokens() const;

  // All of these from any thread, except that a sink must not call drain or shutdown.

  /// The clock of SequenceRequest::deadline_us.
  int64_t now_us() const;

  /// Queues all of `requests` or none. Each ends with exactly one last() event. Errors: whatever
  /// check_fits says, kInvalidArgument, kOverloaded, kUnavailable; then no event comes.
  Status submit(std::vector<SequenceRequest> requests, std::shared_ptr<TokenSink> sink);

  /// The sequence ends with kCancelled soon, unless it has ended. Each call is
  /// remembered until the next step, so a caller asks once, not in a loop.
  void cancel(uint64_t sequence_id);

  /// Takes no more requests and waits for the live ones, and for what they own to be free. False if
  /// some are left at `timeout`.
  bool drain(std::chrono::milliseconds timeout);

  /// Ends live requests with kUnavailable and joins the threads. Idempotent.
  void shutdown();

  /// Ok while requests are taken; kDevice with the cause after a device failure, else kUnavailable.
  /// Where the engine thread hangs in the runner this is who notices: ask again and again.
  Status health() const;

  /// Requests here are sequences. Finished, cancelled, failed and prompt_tokens count ended ones.
  EngineStats stats() const;

 private:
  // The events of one turn of the loop and who gets them. Reused.
  struct Delivery {
    EventList events;
    std::vector<TokenSink*> sinks;                  // one per record
    std::vector<std::shared_ptr<TokenSink>> ended;  // keep those alive whose last event is here
  };

  void run();
  void take_work(bool wait);
  void turn();
  bool submit_step();
  void collect_step();
  void step_failed(const Status& status);
  /// What the runner said, or that it came back too late.
  Status unless_given_up(const Status& status) const;
  void deliver();
  std::unique_ptr<Delivery> next_delivery();
  void run_delivery();
  void publish_stats();
  double lap();

  bool busy() const { return !scheduler_.idle() || scheduler_.in_flight() > 0; }

  const EngineConfig config_;
  std::unique_ptr<ModelRunner> runner_;
  const SchedulerConfig scheduler_config_;
  mutable Inbox inbox_;  // health() closes it
  BoundedQueue<std::unique_ptr<Delivery>> delivery_;
  BoundedQueue<std::unique_ptr<Delivery>> spare_;  // back from the delivery thread

  // Engine thread only.
  BlockPool pool_;
  Scheduler scheduler_;
  std::array<Batch, Scheduler::kMaxInFlight> batches_;  // by step number
  StepOutput output_;
  std::unique_ptr<Delivery> turn_;                 // events of the running turn
  std::vector<std::shared_ptr<TokenSink>> sinks_;  // by SequenceRequest::tag
  std::vector<uint64_t> free_tags_;
  EngineStats counters_;
  Status runner_failure_;  // kDevice: the runner must not be called again
  bool stopping_ = false;
  std::chrono::steady_clock::time_point lap_;  // end of the last timed phase

  mutable std::mutex state_mutex_;  // guards the block below
  mutable Status device_failure_;   // what health() says about runner_failure_, or found itself
  mutable StepWatch watch_;
  std::condition_variable ended_;
  EngineStats published_;
  bool busy_ = false;  // as of the last turn
  int64_t live_ = 0;   // sequences submitted and not yet delivered to their end

  std::mutex shutdown_mutex_;
  std::thread engine_thread_;
  std::thread delivery_thread_;
};

}  // namespace tutti
