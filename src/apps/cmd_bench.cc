// tutti bench latency: prompt and decode speed of one batch, beside what the hardware could
// deliver.
#include <algorithm>
#include <cmath>
#include <iostream>

#include "apps/common.h"
#include "apps/lockstep_run.h"
#include "apps/op_table.h"
#include "backend/lone_rank.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"

namespace tutti {

namespace {

struct Latency {
  LockstepRun::Times times;
  int64_t bytes_per_step = 0;  // weights and KV read by one decode step, at mid length
  int64_t flops_per_step = 0;
  std::string devices;  // used, and left out
  Ceilings ceilings;
  std::vector<OpTiming> prompt_ops;  // of one step
  std::vector<OpTiming> decode_ops;
  int64_t prompt_flops = 0;  // of all prompts; 0 where one takes several steps
  int64_t memory_after = 0;  // device memory taken by the end of the run; 0: not known
  LoneRankReport lone;       // of one decode step, with --one-of
};

// Assumed of each collective among GPUs of one host; 2.85 us were measured between two H200s
// (bench/results/2026-11-30-two-gpus.md).
constexpr double kCollectiveSeconds = 5e-6;

int64_t collective_count(const LoneRankReport& report) {
  int64_t sum = 0;
  for (const auto& [what, count] : report.collectives) {
    sum += count;
  }
  return sum;
}

double mean_experts(const LoneRankReport& report) {
  int64_t sum = 0;
  for (const int64_t experts : report.experts) {
    sum += experts;
  }
  return report.experts.empty()
             ? 0.0
             : static_cast<double>(sum) / static_cast<double>(report.experts.size());
}

// What each of `ranks` equal ranks has of the machine.
Ceilings share_of(Ceilings all, int ranks) {
  all.read /= ranks;
  all.copy /= ranks;
  all.flops /= ranks;
  return all;
}

double step_seconds(const BenchLatencyOptions& o, const Latency& l) {
  return l.times.decode_seconds / static_cast<double>(o.new_tokens - 1);
}

double prompt_rate(const BenchLatencyOptions& o, const Latency& l) {
  return static_cast<double>(o.batch * o.prompt_tokens) / l.times.prefill_seconds;
}

double prompt_flops_rate(const Latency& l) {
  return static_cast<double>(l.prompt_flops) / l.times.prefill_seconds;
}

// What all ranks together would deliver if collectives took as long as assumed.
double predicted_rate(const BenchLatencyOptions& o, const Latency& l) {
  return static_cast<double>(o.batch) /
         (step_seconds(o, l) + static_cast<double>(collective_count(l.lone)) * kCollectiveSeconds);
}

void print_lone(const BenchLatencyOptions& o, const Latency& l) {
  std::cout << fmt::format("\nrank 0 of {}      alone; not done in a decode step:\n", o.one_of);
  for (const auto& [what, count] : l.lone.collectives) {
    std::cout << fmt::format("  {:>4} x {} of {} bytes\n", count, what.first, what.second);
  }
  if (!l.lone.experts.empty()) {
    std::cout << fmt::format("experts          chosen evenly: {:.1f} distinct ones of {} layers\n",
                             mean_experts(l.lone),
                             l.lone.experts.size() / kProfilePasses);
  }
  std::cout << fmt::format(
      "predicted        {:.1f} tok/s, with {:.0f} us for each collective (assumed)\n",
      predicted_rate(o, l),
      kCollectiveSeconds * 1e6);
}

void print_table(const BenchLatencyOptions& o, const RankedModelRunner& runner, const Latency& l) {
  const double step = step_seconds(o, l);
  const double rate = static_cast<double>(l.bytes_per_step) / step;
  std::cout << fmt::format("model            {} ({}), {} rank(s), weights {}\n",
                           o.model.model,
                           runner.config().architecture,
                           runner.ranks(),
                           format_bytes(runner.weight_bytes()));
  std::cout << fmt::format("devices          {}\n", l.devices);
  std::cout << fmt::format("prompt           {} x {} tokens in {}: {:.1f} tok/s\n",
                           o.batch,
                           o.prompt_tokens,
                           format_seconds(l.times.prefill_seconds),
                           prompt_rate(o, l));
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
  std::cout << fmt::format(
      "memory reads     {:.2f} GB/s measured in this run; decode reaches {:.1f} %\n",
      l.ceilings.read * 1e-9,
      100.0 * rate / l.ceilings.read);
  std::cout << fmt::format("memory copies    {:.2f} GB/s read and written\n",
                           l.ceilings.copy * 1e-9);
  if (l.ceilings.flops > 0) {
    std::cout << fmt::format("matrix products  {:.1f} TFLOP/s", l.ceilings.flops * 1e-12);
    if (l.prompt_flops > 0) {
      std::cout << fmt::format("; the prompt reaches {:.1f} ({:.1f} %)",
                               prompt_flops_rate(l) * 1e-12,
                               100.0 * prompt_flops_rate(l) / l.ceilings.flops);
    }
    std::cout << "\n";
  }
  if (l.memory_after > 0) {
    const MemoryPlan& m = runner.memory();
    std::cout << fmt::format("device memory    planned {}, {} after loading, {} at the end\n",
                             format_bytes(m.planned()),
                             format_bytes(m.measured),
                             format_bytes(l.memory_after));
  }
  if (o.one_of > 0) {
    print_lone(o, l);
  }
  const Ceilings rank = share_of(l.ceilings, runner.ranks());
  const char* of = runner.ranks() == 1 ? "each op alone" : "ops of one rank";
  std::cout << "\n" << ops_table(fmt::format("one prompt step, {}", of), l.prompt_ops, rank);
  std::cout << "\n" << ops_table(fmt::format("one decode step, {}", of), l.decode_ops, rank);
}

Json lone_json(const BenchLatencyOptions& o, const Latency& l) {
  JsonArray collectives;
  for (const auto& [what, count] : l.lone.collectives) {
    collectives.push_back(
        Json::object({{"name", what.first}, {"bytes", what.second}, {"count", count}}));
  }
  return Json::object({{"of", o.one_of},
                       {"collectives", std::move(collectives)},
                       {"assumed_seconds_per_collective", kCollectiveSeconds},
                       {"predicted_tokens_per_second", predicted_rate(o, l)},
                       {"layers_with_experts", ssize(l.lone.experts.size()) / kProfilePasses},
                       {"mean_distinct_experts", mean_experts(l.lone)}});
}

Json memory_json(const MemoryPlan& m, int64_t after) {
  return Json::object({{"planned", m.planned()},
                       {"weights", m.weights},
                       {"kv_cache", m.kv},
                       {"activations", m.activations},
                       {"overhead", m.overhead},
                       {"after_loading", m.measured},
                       {"after_run", after}});
}

void print_json(const BenchLatencyOptions& o, const RankedModelRunner& runner, const Latency& l) {
  const double step = step_seconds(o, l);
  const double rate = static_cast<double>(l.bytes_per_step) / step;
  Json out = Json::object({{"architecture", runner.config().architecture},
                           {"ranks", runner.ranks()},
                           {"devices", l.devices},
                           {"batch", o.batch},
                           {"prompt_tokens", o.prompt_tokens},
                           {"new_tokens", o.new_tokens},
                           {"weight_bytes", runner.weight_bytes()},
                           {"load_seconds", runner.load_seconds()},
                           {"prefill_tokens_per_second", prompt_rate(o, l)},
                           {"decode_tokens_per_second", static_cast<double>(o.batch) / step},
                           {"bytes_per_step", l.bytes_per_step},
                           {"flops_per_step", l.flops_per_step},
                           {"decode_bytes_per_second", rate},
                           {"fraction_of_read_bandwidth", rate / l.ceilings.read},
                           {"ceilings", ceilings_json(l.ceilings)}});
  JsonObject& members = out.as_object();
  if (l.prompt_flops > 0) {
    members.set("prefill_flops_per_second", prompt_flops_rate(l));
    if (l.ceilings.flops > 0) {
      members.set("fraction_of_matmul_rate", prompt_flops_rate(l) / l.ceilings.flops);
    }
  }
  if (l.memory_after > 0) {
    members.set("device_memory", memory_json(runner.memory(), l.memory_after));
  }
  if (o.one_of > 0) {
    members.set("one_of", lone_json(o, l));
  }
  const Ceilings rank = share_of(l.ceilings, runner.ranks());
  members.set("prompt_ops", ops_json(l.prompt_ops, rank));
  members.set("decode_ops", ops_json(l.decode_ops, rank));
  std::cout << to_string(out) << "\n";
}

// Share of the routed experts that one token uses, by what the products of a decode step of one
// rank compute; 0: there are none.
double expert_share(const RankWorker::DecodeWeights& weights,
                    int ranks,
                    int64_t batch,
                    const std::vector<OpTiming>& decode_ops) {
  int64_t flops = 0;
  for (const OpTiming& t : decode_ops) {
    flops += t.expert_flops;
  }
  const double all =
      2.0 * static_cast<double>(weights.expert_elements) * static_cast<double>(batch);
  return all > 0 ? std::min(1.0, static_cast<double>(flops) * ranks / all) : 0.0;
}

// What one decode step reads and computes; of experts, those that tokens reach if all are equally
// likely.
void set_step_work(const RankedModelRunner& runner,
                   const BenchLatencyOptions& o,
                   Latency& latency) {
  const RankWorker::DecodeWeights weights = runner.decode_weights();
  const double used = expert_share(weights, runner.ranks(), o.batch, latency.decode_ops);
  const double reached = 1.0 - std::pow(1.0 - used, static_cast<double>(o.batch));
  const int64_t middle = o.prompt_tokens + o.new_tokens / 2;
  latency.bytes_per_step = weights.bytes +
                           std::llround(static_cast<double>(weights.expert_bytes) * reached) +
                           runner.kv_bytes_per_token() * middle * o.batch;
  latency.flops_per_step =
      2 * o.batch *
      (weights.elements + std::llround(static_cast<double>(weights.expert_elements) * used));
}

Status measure(RankedModelRunner& runner,
               Backend& backend,
               const BenchLatencyOptions& o,
               Latency& latency) {
  LockstepRun run(runner,
                  {.prompt_tokens = o.prompt_tokens,
                   .new_tokens = o.new_tokens,
                   .batch = o.batch,
                   .vocab = o.one_of > 0 ? runner.limits().vocab_size / o.one_of : 0,
                   .sampling = o.parameters.sampling({.temperature = 0.0F})});
  TUTTI_RETURN_IF_ERROR(run.check());
  if (!backend.ranks_share_memory()) {
    TUTTI_RETURN_IF_ERROR(run.warm_up());
  }
  TUTTI_TRY(latency.times, run.run());
  if (!backend.ranks_share_memory()) {
    for (const MemoryPool& pool : backend.memory_pools(runner.ranks())) {
      if (pool.name == runner.memory().pool) {
        latency.memory_after = runner.memory().free - pool.free;
      }
    }
  }
  TUTTI_TRY(latency.prompt_ops, run.profile_prompt());
  latency.lone.collectives.clear();
  TUTTI_TRY(latency.decode_ops, run.profile_decode());
  if (o.one_of > 0) {
    CollectiveCounts once = latency.lone.collectives;
    for (auto& [what, count] : once) {
      count /= kProfilePasses;
    }
    latency.lone.watch_experts = true;
    TUTTI_RETURN_IF_ERROR(run.profile_decode().status());
    latency.lone.watch_experts = false;
    latency.lone.collectives = std::move(once);
  }
  set_step_work(runner, o, latency);
  // The operations are those of one rank; the others have as many.
  if (run.prompt_step_tokens() == o.prompt_tokens) {
    for (const OpTiming& t : latency.prompt_ops) {
      latency.prompt_flops += t.flops * o.batch * runner.ranks();
    }
  }
  latency.devices = describe_devices(backend, runner);
  TUTTI_TRY(latency.ceilings, backend.measure_ceilings(runner.rank_choice(), runner.compute()));
  return ok_status();
}

// What to type instead, where only this command knows it.
Status with_remedy(Status status, const BenchLatencyOptions& o) {
  const std::string path = o.model.model;
  const bool weights = o.model.load_format == "auto" && status.code() == StatusCode::kNotFound &&
                       file_exists(path + "/config.json");
  const bool large = status.code() == StatusCode::kOutOfMemory;
  if (weights) {
    return error(status.code(),
                 "{}; or measure its shape with made-up weights: --load-format dummy",
                 status.message());
  }
  if (large) {
    return error(status.code(),
                 "{}. A rank of more alone takes less: --load-format dummy --one-of {}; tutti plan "
                 "{} --hardware 8xH200 says what holds the model",
                 status.message(),
                 o.one_of > 0 ? 2 * o.one_of : 8,
                 path.empty() ? "MODEL" : path);
  }
  constexpr std::string_view kRanks = "‹tp›";
  if (o.one_of > 0 && status.message().starts_with(kRanks)) {
    return error(status.code(), "‹one_of›{}", status.message().substr(kRanks.size()));
  }
  return status;
}

Status bench(const BenchLatencyOptions& options) {
  set_log_level(LogLevel::kWarn);
  TUTTI_TRY(ModelLoadOptions load, load_options(options.model));
  load.max_batch_sequences = options.batch;
  TUTTI_TRY(std::unique_ptr<Backend> backend, choose_backend(options.model));
  Latency latency;
  if (options.one_of > 0) {
    if (load.format != LoadFormat::kDummy) {
      return invalid("--one-of {}: needs made-up weights; add --load-format dummy", options.one_of);
    }
    if (options.model.tp > 1) {
      return invalid("--one-of {}: is the number of ranks, of which one runs; leave --tp {} out",
                     options.one_of,
                     options.model.tp);
    }
    backend = make_lone_backend(std::move(backend), options.one_of, latency.lone);
    load.one_of = options.one_of;
    load.ranks = 1;
  }
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
  TUTTI_RETURN_IF_ERROR(measure(*runner, *backend, options, latency));
  if (options.json) {
    print_json(options, *runner, latency);
  } else {
    print_table(options, *runner, latency);
  }
  return ok_status();
}

}  // namespace

int bench_latency_command(const BenchLatencyOptions& options) {
  const Status status = with_remedy(bench(options), options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
