// What the engine thread does per step besides waiting for the ranks: take arrivals, schedule,
// build the ranks' inputs, apply the results, make the events. A tenth of the sequences comes and
// goes in every step; the others decode with long contexts and take a new KV block now and then. A
// quarter has log-probabilities and stop strings; both are read on the delivery thread.
//   engine_bench [--running 256] [--steps 2000] [--context 512] [--logprobs 20]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/checked.h"
#include "engine/inbox.h"
#include "engine/ranks/step_planner.h"
#include "sched/scheduler.h"

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int64_t running = 256;
  int64_t steps = 2000;
  int64_t context = 512;
  int64_t logprobs = 20;
};

constexpr int64_t kShortPrompt = 32;
constexpr int64_t kWarmUp = 1024;    // tokens a sequence may get before the clock starts
constexpr int64_t kShortTokens = 2;  // lives for two steps
constexpr int64_t kBlockSize = 16;
constexpr int64_t kVocab = 32000;

class NullSink final : public TokenSink {
 public:
  void on_event(const SequenceEvent& /*event*/) override {}
};

// Microseconds of one step, by phase.
struct StepTime {
  double arrivals = 0;
  double schedule = 0;
  double inputs = 0;
  double commit = 0;
  double events = 0;

  double total() const { return arrivals + schedule + inputs + commit + events; }
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : o_(options),
        long_lived_(o_.running - o_.running / 10 * kShortTokens),
        config_{.block_size = kBlockSize,
                .max_batch_tokens = o_.running * 2 + o_.running / 10 * kShortPrompt,
                .max_batch_sequences = o_.running + o_.running / 5,
                .max_context = 1 << 20},
        pool_(blocks(), BlockPool::PrefixCache{.block_size = kBlockSize}),
        scheduler_(config_, pool_),
        sink_(std::make_shared<NullSink>()) {
    planner_.configure({.shape = {.max_tokens = config_.max_batch_tokens,
                                  .max_sequences = config_.max_batch_sequences,
                                  .max_logit_rows = config_.max_batch_sequences,
                                  .max_context = o_.context + o_.steps + kWarmUp,
                                  .block_size = kBlockSize,
                                  .num_blocks = blocks(),
                                  .vocab_size = kVocab,
                                  .vocab_limit = kVocab},
                        .records = true,
                        .devices_sample = true});
  }

  /// One time per step, the first ones left out.
  std::vector<StepTime> run() {
    for (int64_t i = 0; i < long_lived_; ++i) {
      add(o_.context, 1 << 18);
    }
    const int64_t prefill = ceil_div(long_lived_ * o_.context, config_.max_batch_tokens) + 8;
    std::vector<StepTime> times;
    for (int64_t i = 0; i < prefill + o_.steps; ++i) {
      const StepTime time = step(/*churn=*/i >= prefill - 4);
      if (i >= prefill) {
        times.push_back(time);
      }
    }
    return times;
  }

  double mean_rows() const { return static_cast<double>(rows_) / static_cast<double>(counted_); }

  double mean_bytes() const { return static_cast<double>(bytes_) / static_cast<double>(counted_); }

 private:
  // What the long-lived ones grow to, and as much again for what the others leave in the cache.
  int64_t blocks() const {
    return o_.running * 2 * ceil_div(o_.context + o_.steps + 256, kBlockSize);
  }

  // Made before the clock starts: the submitting threads own this work.
  SequenceRequest make(int64_t prompt, int64_t max_tokens) {
    SequenceRequest r;
    r.id = ++last_id_;
    r.prompt.reserve(usize(prompt));
    for (int64_t i = 0; i < prompt; ++i) {
      r.prompt.push_back(
          static_cast<int32_t>((r.id * 7919 + static_cast<uint64_t>(i) * 31) % kVocab));
    }
    r.max_tokens = max_tokens;
    r.stop_ids = {0};
    r.sampling.top_logprobs = r.id % 4 == 0 ? static_cast<int32_t>(o_.logprobs) : -1;
    return r;
  }

  void add(int64_t prompt, int64_t max_tokens) {
    SequenceRequest r = make(prompt, max_tokens);
    take(std::move(r));
  }

  // As Engine::take_work.
  void take(SequenceRequest request) {
    if (free_tags_.empty()) {
      free_tags_.push_back(sinks_.size());
      sinks_.emplace_back();
    }
    request.tag = free_tags_.back();
    free_tags_.pop_back();
    sinks_[request.tag] = sink_;
    scheduler_.add(std::move(request), now_us_++);
  }

  // The ranks' work, not timed.
  void answer(const Batch& batch, StepOutput& out) {
    out.clear(batch.step);
    for (const BatchSequence& s : batch.sequences) {
      if (!s.sample) {
        continue;
      }
      SampledToken token;
      token.token = static_cast<int32_t>(1 + s.sequence_id % (kVocab - 1));
      if (s.sequence_id % 4 == 0) {
        token.top.resize(usize(o_.logprobs));
      }
      out.add(s.sequence_id, std::move(token));
    }
  }

  StepTime step(bool churn) {
    arriving_.clear();
    for (int64_t i = 0; churn && i < o_.running / 10; ++i) {
      arriving_.push_back(make(kShortPrompt, kShortTokens));
    }
    StepTime time;
    auto last = Clock::now();
    const auto lap = [&last] {
      const auto now = Clock::now();
      return std::chrono::duration<double, std::micro>(now - std::exchange(last, now)).count();
    };
    for (SequenceRequest& request : arriving_) {
      take(std::move(request));
    }
    time.arrivals = lap();
    Batch& batch = batches_[scheduled_++ % 2];
    TUTTI_CHECK(scheduler_.schedule(now_us_, batch, events_));
    time.schedule = lap();
    const Status planned = planner_.plan(
        batch, [] { return ok_status(); }, plan_, chosen_);
    TUTTI_CHECK_MSG(planned.ok(), "{}", planned.message());
    time.inputs = lap();
    if (scheduler_.in_flight() < Scheduler::kMaxInFlight) {
      return time;
    }
    answer(batches_[scheduled_ % 2], output_);
    lap();
    scheduler_.commit(output_, events_);
    time.commit = lap();
    deliver();
    time.events = lap();
    events_.clear();  // on the delivery thread
    receivers_.clear();
    ended_.clear();
    count(batch);
    return time;
  }

  // As Engine::deliver.
  void deliver() {
    for (const EventRecord& record : events_.records) {
      std::shared_ptr<TokenSink>& sink = sinks_[record.tag];
      receivers_.push_back(sink.get());
      if (record.last()) {
        ended_.push_back(std::move(sink));
        free_tags_.push_back(record.tag);
      }
    }
  }

  void count(const Batch& batch) {
    ++counted_;
    rows_ += ssize(batch.sequences.size());
    // Written at least: the batch, the ranks' inputs, the events.
    bytes_ +=
        ssize(batch.sequences.size() * (sizeof(BatchSequence) + sizeof(EventRecord)) +
              batch.tokens.size() * 4 * sizeof(int32_t) + batch.blocks.size() * sizeof(int32_t));
  }

  const Options o_;
  const int64_t long_lived_;
  const SchedulerConfig config_;
  BlockPool pool_;
  Scheduler scheduler_;
  StepPlanner planner_;
  StepPlan plan_;
  std::vector<SampledRow> chosen_;
  std::array<Batch, 2> batches_;
  StepOutput output_;
  EventList events_;
  std::vector<SequenceRequest> arriving_;
  std::shared_ptr<TokenSink> sink_;
  std::vector<std::shared_ptr<TokenSink>> sinks_;
  std::vector<uint64_t> free_tags_;
  std::vector<TokenSink*> receivers_;
  std::vector<std::shared_ptr<TokenSink>> ended_;
  uint64_t last_id_ = 0;
  int64_t now_us_ = 0;
  size_t scheduled_ = 0;
  int64_t counted_ = 0;
  int64_t rows_ = 0;
  int64_t bytes_ = 0;
};

double at(std::vector<double> values, double share) {
  const auto n = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + n, values.end());
  return values[usize(n)];
}

int run(const Options& options) {
  Bench bench(options);
  const std::vector<StepTime> times = bench.run();
  const auto column = [&](auto value) {
    std::vector<double> out;
    for (const StepTime& t : times) {
      out.push_back(value(t));
    }
    return out;
  };
  std::cout << fmt::format(
      "{} running, context {} + output, a tenth comes and goes per step, {:.0f} rows and {:.0f} "
      "bytes "
      "written per step, {} steps\n",
      options.running,
      options.context,
      bench.mean_rows(),
      bench.mean_bytes(),
      times.size());
  const auto print = [&](const char* name, const std::vector<double>& us) {
    std::cout << fmt::format("  {:<10} best {:7.1f}  median {:7.1f}  p99 {:7.1f} us\n",
                             name,
                             at(us, 0),
                             at(us, 0.5),
                             at(us, 0.99));
  };
  print("arrivals", column([](const StepTime& t) { return t.arrivals; }));
  print("schedule", column([](const StepTime& t) { return t.schedule; }));
  print("inputs", column([](const StepTime& t) { return t.inputs; }));
  print("commit", column([](const StepTime& t) { return t.commit; }));
  print("events", column([](const StepTime& t) { return t.events; }));
  print("step", column([](const StepTime& t) { return t.total(); }));
  return 0;
}

}  // namespace
}  // namespace tutti

int main(int argc, char** argv) {
  tutti::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const int64_t value = std::atoll(argv[i + 1]);
    int64_t* const target = name == "--running"    ? &options.running
                            : name == "--steps"    ? &options.steps
                            : name == "--context"  ? &options.context
                            : name == "--logprobs" ? &options.logprobs
                                                   : nullptr;
    if (target == nullptr || value < 1) {
      std::cerr << "engine_bench: " << name << " " << argv[i + 1] << ": unknown or not positive\n";
      return 64;
    }
    *target = value;
  }
  return tutti::run(options);
}
