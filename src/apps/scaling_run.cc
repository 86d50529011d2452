#include "apps/scaling_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>

#include "apps/common.h"
#include "apps/lockstep_run.h"
#include "apps/sum_timer.h"
#include "base/checked.h"
#include "base/json_fields.h"
#include "inventory/nvml_source.h"
#include "watch/gpu_sampler.h"

namespace tutti {

namespace {

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

}  // namespace

Result<ScalingFigures> measure_scaling(const BenchScalingOptions& o, Hardware hardware, int ranks) {
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
  ScalingFigures out;
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

std::string figures_line(const ScalingFigures& figures) {
  const ScalingRun& run = figures.run;
  return to_string(
      Json::object({{"gpus", JsonArray(run.gpus.begin(), run.gpus.end())},
                    {"ranks", run.ranks},
                    {"prefill", run.prefill_tokens_per_second},
                    {"decode", run.decode_tokens_per_second},
                    {"total", run.step.total},
                    {"compute", run.step.compute},
                    {"communication", run.step.communication},
                    {"host", run.step.host},
                    {"busy", JsonArray(run.gpu_busy.begin(), run.gpu_busy.end())},
                    {"link_rate", figures.link_rate ? Json(*figures.link_rate) : Json()}}));
}

Result<ScalingFigures> parse_figures(std::string_view line) {
  TUTTI_TRY(const Json json, parse_json(line));
  if (!json.is_object()) {
    return invalid("no figures: {}", line);
  }
  FieldReader reader(json.as_object(), "figures");
  ScalingFigures figures;
  ScalingRun& run = figures.run;
  run.ranks = static_cast<int>(reader.optional_int("ranks", {.min = 1, .max = 1024}).value_or(1));
  const auto number = [&](const char* name) { return reader.optional_number(name).value_or(0); };
  run.prefill_tokens_per_second = number("prefill");
  run.decode_tokens_per_second = number("decode");
  run.step = {.total = number("total"),
              .compute = number("compute"),
              .communication = number("communication"),
              .host = number("host")};
  figures.link_rate = reader.optional_number("link_rate");
  TUTTI_RETURN_IF_ERROR(reader.status());
  for (const auto& [name, take] :
       {std::pair<const char*, std::function<void(const Json&)>>(
            "gpus", [&](const Json& item) { run.gpus.push_back(item.as_int()); }),
        std::pair<const char*, std::function<void(const Json&)>>(
            "busy", [&](const Json& item) { run.gpu_busy.push_back(item.as_number()); })}) {
    const Json* list = json.find(name);
    if (list == nullptr || !list->is_array()) {
      return invalid("figures.{}: wanted an array", name);
    }
    for (const Json& item : list->as_array()) {
      if (!item.is_int() && !(item.is_number() && std::string_view(name) == "busy")) {
        return invalid("figures.{}: wanted numbers", name);
      }
      take(item);
    }
  }
  return figures;
}

}  // namespace tutti
