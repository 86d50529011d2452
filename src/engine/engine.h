// The loop from requests to tokens: inbox -> scheduler -> runner -> events. Knows token ids only;
// TextEngine adds text. Threads, ownership and order: docs/engine-contract.md.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/queue.h"
#include "base/status.h"
#include "engine/inbox.h"
#include "engine/language_model.h"
#include "engine/model_runner.h"
#include "kv/block_pool.h"
#include "sched/scheduler.h"

namespace tutti {

struct EngineConfig {
  int64_t max_waiting = 256;         ///< sequences that may wait; more are refused (kOverloaded)
  int64_t delivery_capacity = 1024;  ///< steps whose events may wait for the delivery thread
  int64_t max_prefill_chunk = 0;     ///< see SchedulerConfig
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

  /// Queues all of `requests` or none. Each ends with exactly one last() event. Errors: whatever
  /// check_fits says, kInvalidArgument, kOverloaded, kUnavailable; then no event comes.
  Status submit(std::vector<SequenceRequest> requests, std::shared_ptr<TokenSink> sink);

  /// The sequence ends with kCancelled soon, unless it has ended. Each call is
  /// remembered until the next step, so a caller asks once, not in a loop.
  void cancel(uint64_t sequence_id);

  /// Takes no more requests and waits for the live ones. False if some are left at `timeout`.
  bool drain(std::chrono::milliseconds timeout);

  /// Ends live requests with kUnavailable and joins the threads. Idempotent.
  void shutdown();

  /// Ok while requests are taken.
  Status health() const;

  /// Requests here are sequences. Finished, cancelled, failed and prompt_tokens count ended ones.
  EngineStats stats() const;

 private:
  struct Delivery {
    std::shared_ptr<TokenSink> sink;
    SequenceEvent event;
  };

  void run();
  void take_work(bool wait);
  void step();
  void step_failed(const Status& status);
  void deliver(std::vector<SequenceEvent> events);
  void run_delivery();
  void publish_stats();

  const EngineConfig config_;
  const std::unique_ptr<ModelRunner> runner_;
  const SchedulerConfig scheduler_config_;
  Inbox inbox_;
  BoundedQueue<std::vector<Delivery>> delivery_;

  // Engine thread only.
  BlockPool pool_;
  Scheduler scheduler_;
  std::unordered_map<uint64_t, std::shared_ptr<TokenSink>> sinks_;
  EngineStats counters_;
  Status runner_failure_;  // kDevice: the runner must not be called again
  bool stopping_ = false;

  mutable std::mutex state_mutex_;  // guards the block below
  std::condition_variable ended_;
  EngineStats published_;
  int64_t live_ = 0;  // sequences submitted and not yet delivered to their end

  std::mutex shutdown_mutex_;
  std::thread engine_thread_;
  std::thread delivery_thread_;
};

}  // namespace tutti
