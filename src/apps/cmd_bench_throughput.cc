// tutti bench throughput: an offline job through the engine (scheduling, continuous batching,
// sampling), without HTTP and text: what `tutti bench serve` can reach at most.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <semaphore>

#include "apps/common.h"
#include "apps/lockstep_run.h"
#include "apps/op_table.h"
#include "base/log.h"
#include "base/units.h"
#include "engine/engine.h"
#include "loadgen/random.h"
#include "loadgen/statistics.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// When the tokens of every request came.
class JobSink final : public TokenSink {
 public:
  JobSink(int64_t requests, Clock::time_point begin) : begin_(begin), times_(usize(requests)) {}

  // All on the delivery thread.
  void on_event(const SequenceEvent& event) override {
    const auto now = static_cast<float>(seconds(Clock::now() - begin_));
    Times& t = times_[usize(static_cast<int64_t>(event.sequence_id) - 1)];
    if (!event.tokens.empty()) {
      if (t.tokens == 0) {
        t.first = now;
      }
      t.last = now;
      t.tokens += ssize(event.tokens.size());
    }
    if (event.last()) {
      if (!event.status.ok() && failure_.ok()) {
        failure_ = event.status;
      }
      if (++ended_ == times_.size()) {
        all_.release();
      }
    }
  }

  void wait() { all_.acquire(); }

  const Status& failure() const { return failure_; }

  struct Times {
    float first = 0;
    float last = 0;
    int64_t tokens = 0;
  };

  const std::vector<Times>& times() const { return times_; }

 private:
  const Clock::time_point begin_;
  std::vector<Times> times_;  // by sequence id - 1
  size_t ended_ = 0;
  Status failure_;
  std::binary_semaphore all_{0};
};

struct Throughput {
  double seconds = 0;
  int64_t generated = 0;
  loadgen::Summary ttft_s;  // from the start of the job: what waits for a place counts
  loadgen::Summary tpot_s;  // (last - first) / (tokens - 1) of each request
  EngineStats stats;
};

SequenceRequest make_request(const BenchThroughputOptions& o, int64_t number, int64_t vocab) {
  loadgen::Random random(o.seed, static_cast<uint64_t>(number));
  SequenceRequest r;
  r.id = static_cast<uint64_t>(number) + 1;
  for (int64_t i = 0; i < o.prompt_tokens; ++i) {
    r.prompt.push_back(narrow<int32_t>(random.integer(0, vocab - 1)));
  }
  r.max_tokens = o.new_tokens;  // no stop ids: exactly so many
  r.sampling = o.parameters.sampling({.temperature = 0.0F});
  r.sampling.seed = random.next();
  return r;
}

Result<Throughput> run_job(Engine& engine, const BenchThroughputOptions& o) {
  std::vector<SequenceRequest> requests;
  for (int64_t i = 0; i < o.requests; ++i) {
    requests.push_back(make_request(o, i, engine.limits().vocab_size));
  }
  const auto begin = Clock::now();
  const auto sink = std::make_shared<JobSink>(o.requests, begin);
  TUTTI_RETURN_IF_ERROR(engine.submit(std::move(requests), sink));
  sink->wait();
  Throughput out{.seconds = seconds(Clock::now() - begin), .stats = engine.stats()};
  TUTTI_RETURN_IF_ERROR(sink->failure());
  std::vector<float> ttft;
  std::vector<float> tpot;
  for (const JobSink::Times& t : sink->times()) {
    out.generated += t.tokens;
    ttft.push_back(t.first);
    if (t.tokens > 1) {
      tpot.push_back((t.last - t.first) / static_cast<float>(t.tokens - 1));
    }
  }
  out.ttft_s = loadgen::summarize(std::move(ttft));
  out.tpot_s = loadgen::summarize(std::move(tpot));
  return out;
}

// The share of the engine thread's time in which no step was being waited for. Running ahead, the
// ranks may well be busy meanwhile.
double host_share(const EngineStats& s) {
  const double host = s.step_schedule_seconds + s.step_commit_seconds;
  return host / (host + s.step_model_seconds);
}

// The operations of a decode step of as many sequences as run at once, half way through their
// answers.
struct StepCosts {
  std::string devices;  // used, and left out
  Ceilings ceilings;
  std::vector<OpTiming> decode_ops;
};

Result<StepCosts> measure_steps(RankedModelRunner& runner,
                                Backend& backend,
                                const BenchThroughputOptions& o) {
  StepCosts out;
  out.devices = describe_devices(backend, runner);
  TUTTI_TRY(out.ceilings, backend.measure_ceilings(runner.rank_choice(), runner.compute()));
  const int64_t block_size = runner.limits().block_size;
  const int64_t fit =
      runner.limits().num_blocks / ceil_div(o.prompt_tokens + o.new_tokens, block_size);
  LockstepRun run(runner,
                  {.prompt_tokens = o.prompt_tokens,
                   .new_tokens = o.new_tokens,
                   .batch = std::max<int64_t>(1, std::min({o.concurrency, o.requests, fit}))});
  TUTTI_RETURN_IF_ERROR(run.check());
  TUTTI_RETURN_IF_ERROR(run.warm_up());
  TUTTI_TRY(out.decode_ops, run.profile_decode());
  return out;
}

void print(const BenchThroughputOptions& o,
           const RankedModelRunner& runner,
           const Throughput& t,
           const StepCosts& costs) {
  const EngineStats& s = t.stats;
  const auto per_second = [&t](int64_t tokens) { return static_cast<double>(tokens) / t.seconds; };
  const int64_t prompt = o.requests * o.prompt_tokens;
  if (o.json) {
    const auto summary = [](const loadgen::Summary& x) {
      return Json::object({{"mean", x.mean * 1e3},
                           {"p50", x.p50 * 1e3},
                           {"p99", x.p99 * 1e3},
                           {"max", x.max * 1e3}});
    };
    std::cout << to_string(
                     Json::object({{"architecture", runner.config().architecture},
                                   {"ranks", runner.ranks()},
                                   {"devices", costs.devices},
                                   {"requests", o.requests},
                                   {"concurrency", o.concurrency},
                                   {"prompt_tokens", o.prompt_tokens},
                                   {"new_tokens", o.new_tokens},
                                   {"seconds", t.seconds},
                                   {"output_tokens_per_second", per_second(t.generated)},
                                   {"total_tokens_per_second", per_second(t.generated + prompt)},
                                   {"requests_per_second", per_second(o.requests)},
                                   {"ttft_ms", summary(t.ttft_s)},
                                   {"tpot_ms", summary(t.tpot_s)},
                                   {"steps", static_cast<int64_t>(s.steps)},
                                   {"preemptions", static_cast<int64_t>(s.preemptions)},
                                   {"step_schedule_seconds", s.step_schedule_seconds},
                                   {"step_model_seconds", s.step_model_seconds},
                                   {"step_commit_seconds", s.step_commit_seconds},
                                   {"host_share", host_share(s)},
                                   {"ceilings", ceilings_json(costs.ceilings)},
                                   {"decode_ops", ops_json(costs.decode_ops, costs.ceilings)}}))
              << "\n";
    return;
  }
  std::cout << fmt::format("model            {} ({}), {} rank(s), weights {}\n",
                           o.model.model,
                           runner.config().architecture,
                           runner.ranks(),
                           format_bytes(runner.weight_bytes()));
  std::cout << fmt::format("devices          {}\n", costs.devices);
  std::cout << fmt::format("job              {} requests of {} + {} tokens, at most {} at once\n",
                           o.requests,
                           o.prompt_tokens,
                           o.new_tokens,
                           o.concurrency);
  std::cout << fmt::format("took             {}: {:.1f} output tok/s, {:.1f} tok/s in all\n",
                           format_seconds(t.seconds),
                           per_second(t.generated),
                           per_second(t.generated + prompt));
  std::cout << fmt::format("per token        mean {}, p50 {}, p99 {}\n",
                           format_seconds(t.tpot_s.mean),
                           format_seconds(t.tpot_s.p50),
                           format_seconds(t.tpot_s.p99));
  std::cout << fmt::format(
      "engine           {} steps, {} preemptions; {:.1f} % of its time not waiting for the model\n",
      s.steps,
      s.preemptions,
      100.0 * host_share(s));
  std::cout << "\n"
            << ops_table("one decode step, each op alone", costs.decode_ops, costs.ceilings);
}

Status run_bench(const BenchThroughputOptions& options) {
  set_log_level(LogLevel::kWarn);
  TUTTI_TRY(ModelLoadOptions load, load_options(options.model));
  load.max_batch_sequences = options.concurrency;
  load.max_logit_rows = options.concurrency;
  load.max_score_rows = 0;
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(options.model));
  if (load.max_batch_tokens == ModelFlags().max_batch_tokens) {
    load.max_batch_tokens = backend->ranks_share_memory() ? load.max_batch_tokens : 8192;
  }
  load.max_batch_tokens = std::max(load.max_batch_tokens, options.concurrency);
  const int64_t length = options.prompt_tokens + options.new_tokens;
  if (load.context == 0) {
    load.context = ceil_div(length, load.block_size) * load.block_size;
  }
  TUTTI_TRY(std::unique_ptr<RankedModelRunner> runner, load_runner(options.model, *backend, load));
  TUTTI_TRY(const StepCosts costs, measure_steps(*runner, *backend, options));
  const RankedModelRunner& model = *runner;  // the engine keeps it
  Engine engine({.max_waiting = options.requests, .prefix_cache = !options.model.no_prefix_cache},
                std::move(runner));
  TUTTI_TRY(const Throughput result, run_job(engine, options));
  print(options, model, result, costs);
  return ok_status();
}

}  // namespace

int bench_throughput_command(const BenchThroughputOptions& options) {
  const Status status = run_bench(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
