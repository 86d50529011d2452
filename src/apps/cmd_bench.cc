// tutti bench latency: prompt and decode speed of one batch, beside what the memory could deliver.
#include <algorithm>
#include <array>
#include <chrono>
#include <iostream>

#include "apps/common.h"
#include "base/log.h"
#include "base/units.h"

namespace tutti {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWarmSteps = 4;

struct Latency {
  double prefill_seconds = 0;
  double decode_seconds = 0;   // from the first new token to the last
  int64_t bytes_per_step = 0;  // weights and KV read by one decode step, at mid length
  int64_t flops_per_step = 0;
  double read_bandwidth = 0;  // bytes per second; 0 = not measured
};

// B sequences in lock step, driven below the scheduler so that nothing but the model is measured.
class LatencyRun {
 public:
  LatencyRun(RankedModelRunner& runner, const BenchLatencyOptions& options)
      : runner_(runner), o_(options) {
    const int64_t blocks = ceil_div(o_.prompt_tokens + o_.new_tokens, runner.limits().block_size);
    for (int64_t s = 0; s < o_.batch; ++s) {
      for (int64_t b = 0; b < blocks; ++b) {
        blocks_.push_back(narrow<int32_t>(s * blocks + b));
      }
    }
    blocks_each_ = blocks;
    last_.resize(usize(o_.batch));
  }

  /// On a GPU libraries choose their algorithms and kernels are loaded when first used, and steps
  /// are recorded when seen again.
  Status warm_up() {
    TUTTI_RETURN_IF_ERROR(prefill());
    return decode(std::min(o_.new_tokens, kWarmSteps));
  }

  Result<Latency> run() {
    Latency out;
    const auto begin = Clock::now();
    TUTTI_RETURN_IF_ERROR(prefill());
    const auto first = Clock::now();
    TUTTI_RETURN_IF_ERROR(decode(o_.new_tokens));
    out.prefill_seconds = std::chrono::duration<double>(first - begin).count();
    out.decode_seconds = std::chrono::duration<double>(Clock::now() - first).count();
    return out;
  }

 private:
  // Distinct prompts, so that sequences read different rows of everything that is looked up.
  int32_t prompt_id(int64_t sequence, int64_t i) const {
    return narrow<int32_t>((sequence * 7919 + i * 104729 + 13) % runner_.limits().vocab_size);
  }

  // Each sequence has the slot of its number.
  BatchSequence sequence(
      int64_t s, int64_t begin, int64_t context, int64_t count, bool sample) const {
    return {.sequence_id = static_cast<uint64_t>(s) + 1,
            .slot = narrow<int32_t>(s),
            .sample = sample,
            .token_begin = begin,
            .token_count = count,
            .context_before = context,
            .prompt_tokens = o_.prompt_tokens};
  }

  void join(int64_t s, Batch& batch) const {
    BatchJoin join{.slot = narrow<int32_t>(s)};
    join.row.params.temperature = o_.temperature;
    join.row.params.top_k = o_.top_k;
    join.row.params.top_p = o_.top_p;
    join.row.params.seed = static_cast<uint64_t>(s);
    batch.joins.push_back(std::move(join));
    batch.update_blocks(narrow<int32_t>(s),
                        0,
                        std::span(blocks_).subspan(usize(s * blocks_each_), usize(blocks_each_)));
  }

  Status collect() {
    TUTTI_RETURN_IF_ERROR(runner_.collect(output_));
    for (const RowOutput& row : output_.rows) {
      if (row.failure >= 0) {
        return output_.failures[usize(row.failure)];
      }
      last_[usize(static_cast<int64_t>(row.sequence_id) - 1)] =
          output_.tokens[usize(row.token_begin)].token;
    }
    return ok_status();
  }

  Status prefill() {
    for (int64_t s = 0; s < o_.batch; ++s) {
      for (int64_t at = 0; at < o_.prompt_tokens; at += runner_.limits().max_batch_tokens) {
        const int64_t count = std::min(runner_.limits().max_batch_tokens, o_.prompt_tokens - at);
        Batch batch;
        if (at == 0) {
          join(s, batch);
        }
        for (int64_t i = at; i < at + count; ++i) {
          batch.tokens.push_back(prompt_id(s, i));
          batch.positions.push_back(narrow<int32_t>(i));
        }
        batch.sequences.push_back(sequence(s, 0, at, count, at + count == o_.prompt_tokens));
        TUTTI_RETURN_IF_ERROR(runner_.submit(batch));
        TUTTI_RETURN_IF_ERROR(collect());
      }
    }
    return ok_status();
  }

  // Tokens 2 to `tokens` of every sequence, one step ahead of the ranks as the engine is.
  Status decode(int64_t tokens) {
    for (int64_t i = 0; i + 1 < tokens; ++i) {
      Batch& batch = batches_[usize(i) % batches_.size()];
      fill_decode(i, batch);
      TUTTI_RETURN_IF_ERROR(runner_.submit(batch));
      if (i > 0) {
        TUTTI_RETURN_IF_ERROR(collect());
      }
    }
    return tokens > 1 ? collect() : ok_status();
  }

  void fill_decode(int64_t done, Batch& batch) const {
    batch.clear(0);
    const int64_t position = o_.prompt_tokens + done;
    for (int64_t s = 0; s < o_.batch; ++s) {
      batch.tokens.push_back(done == 0 ? last_[usize(s)] : kSampledToken);
      batch.positions.push_back(narrow<int32_t>(position));
      batch.sequences.push_back(sequence(s, s, position, 1, true));
      batch.sequences.back().output_position = done + 1;
    }
  }

  RankedModelRunner& runner_;
  const BenchLatencyOptions& o_;
  std::vector<int32_t> blocks_;
  int64_t blocks_each_ = 0;
  std::vector<int32_t> last_;
  std::array<Batch, 2> batches_;  // of the steps in flight
  StepOutput output_;
};

void print_table(const BenchLatencyOptions& o, const RankedModelRunner& runner, const Latency& l) {
  const double step = l.decode_seconds / static_cast<double>(o.new_tokens - 1);
  const double rate = static_cast<double>(l.bytes_per_step) / step;
  std::cout << fmt::format("model            {} ({}), {} rank(s), weights {}\n",
                           o.model.model,
                           runner.config().architecture,
                           runner.ranks(),
                           format_bytes(runner.weight_bytes()));
  std::cout << fmt::format("prompt           {} x {} tokens in {}: {:.1f} tok/s\n",
                           o.batch,
                           o.prompt_tokens,
                           format_seconds(l.prefill_seconds),
                           static_cast<double>(o.batch * o.prompt_tokens) / l.prefill_seconds);
  std::cout << fmt::format("decode           {} x {} tokens: {:.2f} tok/s, {} per step\n",
                           o.batch,
                           o.new_tokens,
                           static_cast<double>(o.batch) / step,
                           format_seconds(step));
  std::cout << fmt::format("read per step    {} ({} bytes), {:.2f} GB/s; {:.2f} GFLOP\n",
                           format_bytes(l.bytes_per_step),
                           l.bytes_per_step,
                           rate * 1e-9,
                           static_cast<double>(l.flops_per_step) * 1e-9);
  if (l.read_bandwidth > 0) {
    std::cout << fmt::format(
        "read bandwidth   {:.2f} GB/s measured in this run; decode reaches {:.1f} %\n",
        l.read_bandwidth * 1e-9,
        100.0 * rate / l.read_bandwidth);
  }
}

void print_json(const BenchLatencyOptions& o, const RankedModelRunner& runner, const Latency& l) {
  const double step = l.decode_seconds / static_cast<double>(o.new_tokens - 1);
  const double rate = static_cast<double>(l.bytes_per_step) / step;
  Json out = Json::object({{"architecture", runner.config().architecture},
                           {"ranks", runner.ranks()},
                           {"batch", o.batch},
                           {"prompt_tokens", o.prompt_tokens},
                           {"new_tokens", o.new_tokens},
                           {"weight_bytes", runner.weight_bytes()},
                           {"prefill_tokens_per_second",
                            static_cast<double>(o.batch * o.prompt_tokens) / l.prefill_seconds},
                           {"decode_tokens_per_second", static_cast<double>(o.batch) / step},
                           {"bytes_per_step", l.bytes_per_step},
                           {"flops_per_step", l.flops_per_step},
                           {"decode_bytes_per_second", rate},
                           {"read_bandwidth_bytes_per_second", l.read_bandwidth}});
  if (l.read_bandwidth > 0) {
    out.as_object().set("fraction_of_read_bandwidth", rate / l.read_bandwidth);
  }
  std::cout << to_string(out) << "\n";
}

Status bench(const BenchLatencyOptions& options) {
  set_log_level(LogLevel::kWarn);
  TUTTI_TRY(ModelLoadOptions load, load_options(options.model));
  load.max_batch_sequences = options.batch;
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(options.model));
  // What a server would take at once: on the CPU larger steps are no faster.
  const int64_t most = backend->ranks_share_memory() ? 512 : 8192;
  load.max_batch_tokens = std::max(options.batch, std::min(options.prompt_tokens, most));
  load.max_logit_rows = options.batch;
  load.max_score_rows = 0;
  const int64_t length = options.prompt_tokens + options.new_tokens;
  if (load.context == 0) {
    load.context = ceil_div(length, load.block_size) * load.block_size;
  }
  TUTTI_TRY(const std::unique_ptr<RankedModelRunner> runner,
            load_runner(options.model, *backend, load));
  if (runner->limits().num_blocks < ceil_div(length, load.block_size) * options.batch ||
      length > load.context) {
    return invalid("{} sequences of {} tokens do not fit: the KV cache has {} blocks of {} tokens",
                   options.batch,
                   length,
                   runner->limits().num_blocks,
                   load.block_size);
  }
  LatencyRun run(*runner, options);
  if (!backend->ranks_share_memory()) {
    TUTTI_RETURN_IF_ERROR(run.warm_up());
  }
  TUTTI_TRY(Latency latency, run.run());
  const int64_t middle = options.prompt_tokens + options.new_tokens / 2;
  latency.bytes_per_step =
      runner->decode_weight_bytes() + runner->kv_bytes_per_token() * middle * options.batch;
  latency.flops_per_step = 2 * runner->decode_weight_elements() * options.batch;
  TUTTI_TRY(latency.read_bandwidth, backend->measure_read_bandwidth());
  if (options.json) {
    print_json(options, *runner, latency);
  } else {
    print_table(options, *runner, latency);
  }
  return ok_status();
}

}  // namespace

int bench_latency_command(const BenchLatencyOptions& options) {
  const Status status = bench(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
