#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/log.h"

namespace tutti {
namespace {

SchedulerConfig make_scheduler_config(const EngineConfig& config, const RunnerLimits& limits) {
  return {.block_size = limits.block_size,
          .max_batch_tokens = limits.max_batch_tokens,
          .max_batch_sequences = limits.max_batch_sequences,
          .max_context = limits.max_context,
          // 1 % as in vLLM: room for the running ones to grow before anybody is preempted.
          .watermark_blocks = std::max<int64_t>(1, limits.num_blocks / 100),
          .max_prefill_chunk = config.max_prefill_chunk};
}

Status check_ids(const SequenceRequest& request, int64_t vocab_size) {
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= vocab_size) {
      return invalid("prompt holds token id {}, the model knows 0 to {}", token, vocab_size - 1)
          .with_param("prompt");
    }
  }
  return ok_status();
}

Status shutting_down() {
  return error(StatusCode::kUnavailable, "the model is shutting down; try again later");
}

}  // namespace

Engine::Engine(const EngineConfig& config, std::unique_ptr<ModelRunner> runner)
    : config_(config),
      runner_(std::move(runner)),
      scheduler_config_(make_scheduler_config(config_, runner_->limits())),
      inbox_(config_.max_waiting),
      delivery_(usize(config_.delivery_capacity)),
      pool_(runner_->limits().num_blocks),
      scheduler_(scheduler_config_, pool_) {
  TUTTI_CHECK_GT(config_.max_waiting, 0);
  TUTTI_CHECK_GT(config_.delivery_capacity, 0);
  TUTTI_CHECK_GT(limits().num_blocks, 0);
  TUTTI_CHECK_GT(limits().max_context, 0);
  TUTTI_CHECK_GT(limits().vocab_size, 0);
  publish_stats();
  engine_thread_ = std::thread([this] { run(); });
  delivery_thread_ = std::thread([this] { run_delivery(); });
}

Engine::~Engine() {
  shutdown();
}

int64_t Engine::max_sequence_tokens() const {
  return tutti::max_sequence_tokens(scheduler_config_, limits().num_blocks);
}

Status Engine::submit(std::vector<SequenceRequest> requests, std::shared_ptr<TokenSink> sink) {
  for (const SequenceRequest& request : requests) {
    if (request.prompt.empty() || request.max_tokens < 1) {
      return invalid(
          "a sequence needs a prompt of at least one token and max_tokens of at least 1");
    }
    TUTTI_RETURN_IF_ERROR(check_ids(request, limits().vocab_size));
    TUTTI_RETURN_IF_ERROR(check_fits(
        scheduler_config_, limits().num_blocks, ssize(request.prompt.size()), request.max_tokens));
  }
  const int64_t count = ssize(requests.size());
  {
    // Counted first: once in the inbox a sequence may end at any moment.
    const std::lock_guard lock(state_mutex_);
    live_ += count;
  }
  Status queued = inbox_.submit(std::move(requests), sink);
  if (!queued.ok()) {
    const std::lock_guard lock(state_mutex_);
    live_ -= count;
    ended_.notify_all();
  }
  return queued;
}

void Engine::cancel(uint64_t sequence_id) {
  inbox_.cancel(sequence_id);
}

bool Engine::drain(std::chrono::milliseconds timeout) {
  inbox_.close(shutting_down());
  std::unique_lock lock(state_mutex_);
  return ended_.wait_for(lock, timeout, [this] { return live_ == 0; });
}

void Engine::shutdown() {
  const std::lock_guard lock(shutdown_mutex_);
  if (!engine_thread_.joinable()) {
    return;
  }
  inbox_.close(shutting_down());
  inbox_.stop();
  engine_thread_.join();
  delivery_.close();
  delivery_thread_.join();
}

Status Engine::health() const {
  return inbox_.status();
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(state_mutex_);
  return published_;
}

void Engine::run() {
  while (true) {
    take_work(scheduler_.idle());
    if (stopping_) {
      break;
    }
    if (!scheduler_.idle()) {
      step();
    }
    inbox_.set_scheduler_waiting(scheduler_.stats().waiting);
    publish_stats();
  }
  deliver(scheduler_.fail_all(health()));
}

void Engine::take_work(bool wait) {
  Inbox::Work work = inbox_.take(wait);
  for (Inbox::Submission& item : work.submissions) {
    const uint64_t id = item.request.id;
    counters_.prompt_tokens += item.request.prompt.size();
    sinks_.emplace(id, std::move(item.sink));
    scheduler_.add(std::move(item.request));
  }
  std::vector<SequenceEvent> events;
  for (const uint64_t id : work.cancels) {
    if (auto event = scheduler_.cancel(id)) {
      events.push_back(*std::move(event));
    }
  }
  stopping_ = work.stop;
  if (!runner_failure_.ok()) {
    // Came in before the inbox was closed; nothing can run any more.
    for (SequenceEvent& event : scheduler_.fail_all(runner_failure_)) {
      events.push_back(std::move(event));
    }
  }
  deliver(std::move(events));
}

void Engine::step() {
  std::optional<Batch> batch = scheduler_.schedule();
  inbox_.set_scheduler_waiting(scheduler_.stats().waiting);
  const TraceScope trace("engine step", static_cast<long long>(batch->step));
  if (const Status status = runner_->submit(*std::move(batch)); !status.ok()) {
    step_failed(status);
    return;
  }
  Result<StepOutput> output = runner_->collect();
  if (!output.ok()) {
    step_failed(output.status());
    return;
  }
  ++counters_.steps;
  deliver(scheduler_.commit(*output));
}

void Engine::step_failed(const Status& status) {
  log_error("engine: step failed: {}", status.message());
  std::vector<SequenceEvent> events = scheduler_.fail_step(status);
  if (status.code() == StatusCode::kDevice) {
    runner_failure_ = status;
    inbox_.close(error(StatusCode::kUnavailable,
                       "the model stopped after a device failure: {}; restart it",
                       status.message()));
    for (SequenceEvent& event : scheduler_.fail_all(status)) {
      events.push_back(std::move(event));
    }
  }
  deliver(std::move(events));
}

void Engine::deliver(std::vector<SequenceEvent> events) {
  if (events.empty()) {
    return;
  }
  std::vector<Delivery> out;
  out.reserve(events.size());
  for (SequenceEvent& event : events) {
    const auto it = sinks_.find(event.sequence_id);
    TUTTI_CHECK(it != sinks_.end());
    out.push_back({.sink = it->second, .event = std::move(event)});
    if (const SequenceEvent& moved = out.back().event; moved.last()) {
      const bool cancelled = moved.finish == FinishReason::kCancelled;
      ++(!moved.status.ok() ? counters_.requests_failed
         : cancelled        ? counters_.requests_cancelled
                            : counters_.requests_finished);
      sinks_.erase(it);
    }
  }
  publish_stats();                              // before anybody can hear of the end of a request
  TUTTI_CHECK(delivery_.push(std::move(out)));  // closed only after this thread has ended
}

void Engine::run_delivery() {
  while (auto deliveries = delivery_.pop()) {
    for (Delivery& delivery : *deliveries) {
      const bool last = delivery.event.last();
      delivery.sink->on_event(std::move(delivery.event));
      delivery.sink.reset();
      if (last) {
        const std::lock_guard lock(state_mutex_);
        --live_;
        ended_.notify_all();
      }
    }
  }
}

void Engine::publish_stats() {
  const SchedulerStats scheduler = scheduler_.stats();
  counters_.requests_running = scheduler.running;
  counters_.requests_waiting = scheduler.waiting;
  counters_.kv_blocks_total = pool_.total();
  counters_.kv_blocks_used = pool_.used();
  counters_.generated_tokens = scheduler.generated_tokens;
  counters_.preemptions = scheduler.preemptions;
  const std::lock_guard lock(state_mutex_);
  published_ = counters_;
}

}  // namespace tutti
