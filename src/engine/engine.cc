#include "engine/engine.h"

#include <algorithm>
#include <optional>
#include <random>
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
          .vocab_size = limits.vocab_size,
          // 1 % as in vLLM: room for the running ones to grow before anybody is preempted.
          .watermark_blocks = std::max<int64_t>(1, limits.num_blocks / 100),
          .max_score_rows = limits.max_score_rows,
          .max_prefill_chunk = config.max_prefill_chunk,
          .aging_us = static_cast<int64_t>(config.priority_aging_seconds * 1e6),
          .long_prompt_from = limits.long_prompt_from,
          .run_ahead = config.run_ahead && limits.max_tokens_per_step == 1};
}

std::optional<BlockPool::PrefixCache> make_cache(const EngineConfig& config,
                                                 const RunnerLimits& limits) {
  if (!config.prefix_cache) {
    return std::nullopt;
  }
  // Unpredictable, so that nobody can choose prompts that collide in the table.
  std::random_device random;
  return BlockPool::PrefixCache{.block_size = limits.block_size,
                                .seed = static_cast<uint64_t>(random()) << 32U | random()};
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
      spare_(usize(config_.delivery_capacity) + 2),  // and one on either side of the queue
      pool_(runner_->limits().num_blocks, make_cache(config_, runner_->limits())),
      scheduler_(scheduler_config_, pool_) {
  TUTTI_CHECK_GT(config_.max_waiting, 0);
  TUTTI_CHECK_GT(config_.delivery_capacity, 0);
  TUTTI_CHECK_GE(config_.priority_aging_seconds, 0);
  TUTTI_CHECK_GT(limits().num_blocks, 0);
  TUTTI_CHECK_GT(limits().max_context, 0);
  TUTTI_CHECK_GT(limits().vocab_size, 0);
  publish_stats();
  engine_thread_ = std::thread([this] { run(); });
  delivery_thread_ = std::thread([this] { run_delivery(); });
}

Engine::~Engine() {
  shutdown();
  runner_.reset();  // after a device failure it may still read batches
}

int64_t Engine::max_sequence_tokens() const {
  return tutti::max_sequence_tokens(scheduler_config_, limits().num_blocks);
}

int64_t Engine::now_us() const {
  if (config_.clock) {
    return config_.clock();
  }
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Status Engine::submit(std::vector<SequenceRequest> requests, std::shared_ptr<TokenSink> sink) {
  for (const SequenceRequest& request : requests) {
    if (request.prompt.empty() || request.max_tokens < 1) {
      return invalid(
          "a sequence needs a prompt of at least one token and max_tokens of at least 1");
    }
    TUTTI_RETURN_IF_ERROR(check_ids(request, limits().vocab_size));
    if (request.sampling.prompt_logprobs >= 0 && limits().max_score_rows == 0) {
      return error(StatusCode::kUnsupported,
                   "this model was loaded without room for log-probabilities of the prompt")
          .with_param("prompt_logprobs");
    }
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
  return ended_.wait_for(lock, timeout, [this] { return live_ == 0 && !busy_; });
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
  const std::lock_guard lock(state_mutex_);
  if (device_failure_.ok() && config_.step_timeout.count() > 0 &&
      watch_.look(StepWatch::Clock::now()) >= config_.step_timeout) {
    const std::string why = fmt::format(
        "the model stopped: its ranks have not answered for {:.1f} s; a device or its driver "
        "hangs, or steps take longer here and the step time-out is too short; restart it",
        std::chrono::duration<double>(config_.step_timeout).count());
    device_failure_ = Status(StatusCode::kDevice, why);
    inbox_.close(Status(StatusCode::kUnavailable, why));
  }
  return device_failure_.ok() ? inbox_.status() : device_failure_;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(state_mutex_);
  return published_;
}

void Engine::run() {
  while (true) {
    take_work(/*wait=*/!busy());
    if (stopping_) {
      break;
    }
    turn();
    deliver();
    counters_.step_commit_seconds += lap();
    inbox_.set_scheduler_waiting(scheduler_.stats().waiting);
    publish_stats();
  }
  while (scheduler_.in_flight() > 0) {
    collect_step();
    deliver();
  }
  scheduler_.fail_all(health(), turn_->events);
  deliver();
  publish_stats();
}

void Engine::take_work(bool wait) {
  if (turn_ == nullptr) {
    turn_ = next_delivery();
  }
  Inbox::Work& work = inbox_.take(wait);
  const int64_t now = now_us();
  for (Inbox::Submission& item : work.submissions) {
    counters_.prompt_tokens += item.request.prompt.size();
    if (free_tags_.empty()) {
      free_tags_.push_back(sinks_.size());
      sinks_.emplace_back();
    }
    item.request.tag = free_tags_.back();
    free_tags_.pop_back();
    sinks_[item.request.tag] = std::move(item.sink);
    scheduler_.add(std::move(item.request), now);
  }
  for (const uint64_t id : work.cancels) {
    scheduler_.cancel(id, turn_->events);
  }
  stopping_ = work.stop;
  if (!runner_failure_.ok()) {
    // Came in before the inbox was closed; nothing can run any more.
    scheduler_.fail_all(runner_failure_, turn_->events);
  }
}

/// Keeps one step prepared beyond the one the ranks are running: only then waits for results.
void Engine::turn() {
  lap();
  const int64_t depth = scheduler_config_.run_ahead ? Scheduler::kMaxInFlight : 1;
  const bool submitted = scheduler_.in_flight() < depth && submit_step();
  const double waited = submitted ? runner_->waited_seconds() : 0;
  counters_.step_schedule_seconds += lap() - waited;
  counters_.step_model_seconds += waited;
  if (scheduler_.in_flight() > 0 && (!submitted || scheduler_.in_flight() == depth)) {
    collect_step();
  }
}

/// Seconds since the last call.
double Engine::lap() {
  const auto now = std::chrono::steady_clock::now();
  return std::chrono::duration<double>(now - std::exchange(lap_, now)).count();
}

/// False if there was nothing to submit, or it failed.
bool Engine::submit_step() {
  Batch& batch = batches_[counters_.steps % batches_.size()];
  if (!scheduler_.schedule(now_us(), batch, turn_->events)) {
    return false;
  }
  ++counters_.steps;
  inbox_.set_scheduler_waiting(scheduler_.stats().waiting);
  const TraceScope trace("engine step", static_cast<long long>(batch.step));
  const Status status = [&] {
    const StepWatch::Call call(watch_);
    return runner_->submit(batch);
  }();
  if (status.ok()) {
    return true;
  }
  // Steps fail in their order.
  while (scheduler_.in_flight() > 1) {
    collect_step();
    deliver();
  }
  if (scheduler_.in_flight() > 0) {
    step_failed(status);
  }
  return false;
}

void Engine::collect_step() {
  const Status status = unless_given_up([&] {
    const StepWatch::Call call(watch_);
    return runner_->collect(output_);
  }());
  counters_.step_model_seconds += lap();
  if (status.ok()) {
    scheduler_.commit(output_, turn_->events);
  } else {
    step_failed(status);
  }
}

Status Engine::unless_given_up(const Status& status) const {
  if (config_.step_timeout.count() == 0) {
    return status;
  }
  const std::lock_guard lock(state_mutex_);
  return device_failure_.ok() ? status : device_failure_;
}

void Engine::step_failed(const Status& status) {
  log_error("engine: step failed: {}", status.message());
  scheduler_.fail_step(status, turn_->events);
  if (status.code() != StatusCode::kDevice) {
    ++counters_.steps_lost;
  } else {
    runner_failure_ = status;
    const std::string why =
        fmt::format("the model stopped after a device failure: {}; restart it", status.message());
    {
      const std::lock_guard lock(state_mutex_);
      if (device_failure_.ok()) {
        device_failure_ = Status(StatusCode::kDevice, why);
      }
    }
    inbox_.close(Status(StatusCode::kUnavailable, why));
    scheduler_.fail_all(status, turn_->events);
  }
}

/// Sends off what the turn has brought so far.
void Engine::deliver() {
  const std::vector<EventRecord>& records = turn_->events.records;
  if (records.empty()) {
    turn_->events.clear();  // tokens of sequences that had ended
    return;
  }
  for (const EventRecord& record : records) {
    std::shared_ptr<TokenSink>& sink = sinks_[record.tag];
    TUTTI_CHECK(sink != nullptr);
    turn_->sinks.push_back(sink.get());
    if (record.last()) {
      const bool cancelled = record.finish == FinishReason::kCancelled;
      ++(record.failure >= 0 ? counters_.requests_failed
         : cancelled         ? counters_.requests_cancelled
                             : counters_.requests_finished);
      turn_->ended.push_back(std::move(sink));
      free_tags_.push_back(record.tag);
    }
  }
  publish_stats();  // before anybody can hear of the end of a request
  // Closed only after this thread has ended.
  TUTTI_CHECK(delivery_.push(std::move(turn_)));
  turn_ = next_delivery();
}

/// One that has come back, or a new one while more than ever are under way.
std::unique_ptr<Engine::Delivery> Engine::next_delivery() {
  if (std::optional<std::unique_ptr<Delivery>> spare = spare_.try_pop()) {
    return *std::move(spare);
  }
  auto fresh = std::make_unique<Delivery>();
  const size_t rows = usize(limits().max_batch_sequences);
  fresh->events.records.reserve(rows);
  fresh->events.tokens.reserve(rows * usize(limits().max_tokens_per_step));
  fresh->sinks.reserve(rows);
  return fresh;
}

void Engine::run_delivery() {
  while (auto popped = delivery_.pop()) {
    Delivery& delivery = **popped;
    for (size_t i = 0; i < delivery.sinks.size(); ++i) {
      delivery.sinks[i]->on_event(delivery.events.event(delivery.events.records[i]));
    }
    const auto ended = ssize(delivery.ended.size());
    delivery.events.clear();
    delivery.sinks.clear();
    delivery.ended.clear();
    spare_.try_push(*std::move(popped));
    if (ended > 0) {
      const std::lock_guard lock(state_mutex_);
      live_ -= ended;
      ended_.notify_all();
    }
  }
}

void Engine::publish_stats() {
  const SchedulerStats scheduler = scheduler_.stats();
  counters_.requests_running = scheduler.running;
  counters_.requests_waiting = scheduler.waiting;
  counters_.kv_blocks_total = pool_.total();
  counters_.kv_blocks_used = pool_.used();
  counters_.kv_blocks_cached = pool_.cached();
  counters_.general_kernel_calls = limits().general_kernel_calls;
  counters_.generated_tokens = scheduler.generated_tokens;
  counters_.preemptions = scheduler.preemptions;
  counters_.forks = scheduler.forks;
  counters_.deadlines_expired = scheduler.expired;
  counters_.prefix_cache_queries = pool_.has_cache() ? scheduler.prefix_queries : 0;
  counters_.prefix_cache_hits = pool_.has_cache() ? scheduler.prefix_hits : 0;
  counters_.prefix_cache_evictions = pool_.evictions();
  const std::lock_guard lock(state_mutex_);
  published_ = counters_;
  busy_ = busy();
  if (!busy_) {
    ended_.notify_all();
  }
}

}  // namespace tutti
