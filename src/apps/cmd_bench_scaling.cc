// tutti bench scaling: one model on 1, 2, 4, ... ranks, and where the time goes.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>

#include <unistd.h>

#include "apps/common.h"
#include "apps/lockstep_run.h"
#include "apps/machine_inventory.h"
#include "apps/scaling_report.h"
#include "apps/sum_timer.h"
#include "backend/select.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/option_names.h"
#include "inventory/nvml_source.h"
#include "plan/link_promise.h"
#include "watch/gpu_sampler.h"

namespace tutti {

namespace {

constexpr int kMostRanks = 8;

// Samples how busy GPUs are on a thread, for as long as it lives.
class BusyMeter {
 public:
  BusyMeter() {
    thread_ = std::thread([this] {
      Result<std::unique_ptr<GpuSampler>> sampler = GpuSampler::open(nvml_names());
      while (sampler.ok() && !stop_.load()) {
        for (const GpuReading& gpu : (*sampler)->read()) {
          if (gpu.busy) {
            seen_[gpu.index].push_back(*gpu.busy);
          }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
    });
  }

  ~BusyMeter() { end(); }

  BusyMeter(const BusyMeter&) = delete;
  BusyMeter& operator=(const BusyMeter&) = delete;

  /// Of each GPU that did anything, by its number: the mean of the upper half of what was seen,
  /// since GPUs idle before and after the steps.
  std::vector<double> take() {
    end();
    std::vector<double> busy;
    for (auto& [gpu, shares] : seen_) {
      std::sort(shares.begin(), shares.end(), std::greater<>());
      const size_t half = std::max<size_t>(1, shares.size() / 2);
      double sum = 0;
      for (size_t i = 0; i < half; ++i) {
        sum += shares[i];
      }
      const double mean = sum / static_cast<double>(half);
      if (mean > 0.01) {
        busy.push_back(mean);
      }
    }
    return busy;
  }

 private:
  void end() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  std::atomic<bool> stop_{false};
  std::map<int64_t, std::vector<double>> seen_;  // the thread's until it has ended
  std::thread thread_;
};

Hardware hardware_of(const BenchScalingOptions& o) {
  if (o.model.device == "cpu" || !nvidia_device_present("/")) {
    return Hardware::kCpu;
  }
  return o.one_gpu ? Hardware::kOneGpu : Hardware::kGpus;
}

// How ranks are asked for on this hardware.
ModelFlags flags_of(const BenchScalingOptions& o, Hardware hardware, int ranks) {
  ModelFlags flags = o.model;
  flags.tp = ranks;
  flags.quiet = true;
  switch (hardware) {
    case Hardware::kCpu:
      flags.device = "cpu";
      break;
    case Hardware::kOneGpu:
      flags.gpus = "1";
      flags.ranks_per_gpu = ranks;
      break;
    case Hardware::kGpus:
      flags.gpus = std::to_string(ranks);
      break;
  }
  return flags;
}

std::vector<int> rank_counts(const BenchScalingOptions& o,
                             Hardware hardware,
                             const Inventory& inventory) {
  if (!o.ranks.empty()) {
    std::vector<int> counts = o.ranks;
    std::sort(counts.begin(), counts.end());
    counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
    return counts;
  }
  const int64_t most =
      hardware == Hardware::kGpus ? std::max<int64_t>(1, inventory.counts.cuda.value_or(1)) : 4;
  std::vector<int> counts;
  for (int ranks = 1; ranks <= std::min<int64_t>(most, kMostRanks); ranks *= 2) {
    counts.push_back(ranks);
  }
  return counts;
}

double seconds_of(const std::vector<OpTiming>& ops) {
  double sum = 0;
  for (const OpTiming& op : ops) {
    sum += op.seconds;
  }
  return sum;
}

int64_t of_config(const HfConfig& config, std::string_view key) {
  const Json* value = config.json.find(key);
  return value != nullptr && value->is_int() ? value->as_int() : 0;
}

// After attention and after the MLP of each layer, and of the embedding and the logits.
int64_t sums_of_a_step(const HfConfig& config) {
  return 2 * of_config(config, "num_hidden_layers") + 2;
}

struct Figures {
  ScalingRun run;
  std::optional<double> link_rate;
};

Result<Figures> measure(const BenchScalingOptions& o, Hardware hardware, int ranks) {
  const ModelFlags flags = flags_of(o, hardware, ranks);
  TUTTI_TRY(ModelLoadOptions load, load_options(flags));
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(flags));
  const int64_t most = backend->ranks_share_memory() ? 512 : 8192;
  load.max_batch_sequences = o.batch;
  load.max_batch_tokens = std::max(o.batch, std::min(o.prompt_tokens, most));
  load.max_logit_rows = o.batch;
  load.max_score_rows = 0;
  const int64_t length = o.prompt_tokens + o.new_tokens;
  load.context = ceil_div(length, load.block_size) * load.block_size;
  Figures out;
  out.run.ranks = ranks;
  int64_t sum_bytes = 0;
  int64_t sums = 0;
  double compute = 0;
  LockstepRun::Times times;
  {
    TUTTI_TRY(const std::unique_ptr<RankedModelRunner> runner,
              load_runner(flags, *backend, std::move(load)));
    LockstepRun run(*runner,
                    {.prompt_tokens = o.prompt_tokens,
                     .new_tokens = o.new_tokens,
                     .batch = o.batch,
                     .sampling = {.temperature = 0.0F}});
    TUTTI_RETURN_IF_ERROR(run.check());
    TUTTI_RETURN_IF_ERROR(run.warm_up());
    BusyMeter busy;
    TUTTI_TRY(times, run.run());
    if (hardware != Hardware::kCpu) {
      out.run.gpu_busy = busy.take();
    }
    TUTTI_TRY(const std::vector<OpTiming> ops, run.profile_decode());
    compute = seconds_of(ops);
    sum_bytes = o.batch * of_config(runner->config(), "hidden_size") * 4;
    sums = sums_of_a_step(runner->config());
    if (hardware == Hardware::kGpus) {
      for (const MemoryPool& pool : backend->memory_pools(ranks)) {
        if (pool.name.starts_with("cuda:")) {
          out.run.gpus.push_back(std::atoll(pool.name.c_str() + 5));
        }
      }
    } else if (hardware == Hardware::kOneGpu) {
      out.run.gpus = {0};
    }
  }
  const double step = times.decode_seconds / static_cast<double>(o.new_tokens - 1);
  double communication = 0;
  if (ranks > 1) {
    // Large enough for the rate of links; on the CPU a few MB show it.
    const int64_t large = hardware == Hardware::kCpu ? int64_t{4} << 20 : int64_t{64} << 20;
    TUTTI_TRY(const SumTimes measured, time_sums(*backend, ranks, sum_bytes, large));
    communication = measured.small_seconds * static_cast<double>(sums);
    out.link_rate = measured.bytes_per_second;
  }
  out.run.prefill_tokens_per_second =
      static_cast<double>(o.batch * o.prompt_tokens) / times.prefill_seconds;
  out.run.decode_tokens_per_second = static_cast<double>(o.batch) / step;
  out.run.step = split_step(step, compute, communication);
  return out;
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file ? ok_status() : invalid("--svg {}: cannot be written", path);
}

Status bench(const BenchScalingOptions& o) {
  set_log_level(LogLevel::kWarn);
  const Hardware hardware = hardware_of(o);
  const Inventory inventory = this_inventory();
  Scaling scaling{.model = display_name(o.model.model),
                  .hardware = hardware,
                  .cpus = inventory.host.cpus.value_or(1),
                  .batch = o.batch,
                  .prompt_tokens = o.prompt_tokens,
                  .new_tokens = o.new_tokens};
  Status first_failure;
  for (const int ranks : rank_counts(o, hardware, inventory)) {
    if (!o.json && isatty(STDERR_FILENO) == 1) {
      std::fprintf(stderr, "measuring %d rank%s\n", ranks, ranks == 1 ? "" : "s");
    }
    Result<Figures> figures = measure(o, hardware, ranks);
    if (figures.ok()) {
      scaling.runs.push_back(std::move(figures->run));
      if (figures->link_rate) {
        scaling.measured_bytes_per_second = figures->link_rate;
      }
      continue;
    }
    if (figures.status().code() == StatusCode::kNotFound) {
      return std::move(figures).status();  // no such model: the same for every number of ranks
    }
    first_failure = first_failure.ok() ? figures.status() : first_failure;
    scaling.runs.push_back(
        {.ranks = ranks, .failure = spell_options(figures.status().message(), &as_flag)});
  }
  if (hardware == Hardware::kGpus && !scaling.runs.empty()) {
    scaling.promised_bytes_per_second = promised_rate(inventory, scaling.runs.back().gpus);
  }
  if (std::none_of(scaling.runs.begin(), scaling.runs.end(), [](const ScalingRun& run) {
        return run.ran();
      })) {
    return first_failure;
  }
  if (!o.svg.empty()) {
    TUTTI_RETURN_IF_ERROR(write_file(o.svg, scaling_svg(scaling)));
  }
  std::cout << (o.json ? to_string(scaling_json(scaling)) + "\n" : scaling_text(scaling));
  return ok_status();
}

}  // namespace

int bench_scaling_command(const BenchScalingOptions& options) {
  const Status status = bench(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
