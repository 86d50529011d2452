// tutti calibrate: what plans would otherwise take from data sheets, measured on this machine.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include <unistd.h>

#include "apps/common.h"
#include "apps/lockstep_run.h"
#include "apps/machine_inventory.h"
#include "apps/options.h"
#include "apps/version.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "plan/calibration.h"

namespace tutti {

namespace {

constexpr int kNothingExit = 69;  // sysexits.h EX_UNAVAILABLE: there is no GPU to measure
constexpr int64_t kManySequences = 64;
constexpr int64_t kPromptTokens = 32;
constexpr int64_t kNewTokens = 96;
constexpr int kLayers = 24;

// Of the model that is measured: deep enough that what a step costs once does not show; 2.9 GB in
// bf16.
Json model_config() {
  return Json::object({{"architectures", Json::array({"LlamaForCausalLM"})},
                       {"model_type", "llama"},
                       {"hidden_size", 2048},
                       {"intermediate_size", 8192},
                       {"num_hidden_layers", kLayers},
                       {"num_attention_heads", 16},
                       {"num_key_value_heads", 4},
                       {"head_dim", 128},
                       {"vocab_size", 32768},
                       {"max_position_embeddings", 2048},
                       {"rms_norm_eps", 1e-5},
                       {"rope_theta", 10000.0},
                       {"tie_word_embeddings", false},
                       {"hidden_act", "silu"},
                       {"torch_dtype", "bfloat16"}});
}

// A directory that is gone when this is.
class ModelDirectory {
 public:
  static Result<ModelDirectory> make() {
    std::string path = (std::filesystem::temp_directory_path() / "tutti-calibrate-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
      return error(StatusCode::kUnavailable,
                   "{}: cannot make a directory for the model that is measured; set TMPDIR to one "
                   "that can be written to",
                   path);
    }
    ModelDirectory made(path);
    std::ofstream file(join_path(path, "config.json"));
    file << to_string(model_config());
    file.close();
    return file ? Result<ModelDirectory>(std::move(made))
                : error(StatusCode::kUnavailable, "{}/config.json: cannot be written", path);
  }

  ~ModelDirectory() {
    if (!path_.empty()) {
      std::error_code ignored;
      std::filesystem::remove_all(path_, ignored);
    }
  }

  ModelDirectory(ModelDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}

  ModelDirectory& operator=(ModelDirectory&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit ModelDirectory(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

// What was measured with one set of GPUs.
struct Measured {
  double one = 0;  ///< seconds of a decode step
  double many = 0;
  double bytes = 0;  ///< read by one
  Ceilings ceilings;
};

Result<double> step_seconds(RankedModelRunner& runner, int64_t batch) {
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    LockstepRun run(runner,
                    {.prompt_tokens = kPromptTokens,
                     .new_tokens = kNewTokens,
                     .batch = batch,
                     .sampling = {.temperature = 0.0F}});
    TUTTI_RETURN_IF_ERROR(run.check());
    TUTTI_RETURN_IF_ERROR(run.warm_up());
    TUTTI_TRY(const LockstepRun::Times times, run.run());
    const double step = times.decode_seconds / static_cast<double>(kNewTokens - 1);
    best = pass == 0 ? step : std::min(best, step);
  }
  return best;
}

// gpus: as --gpus takes them.
Result<Measured> measure(const std::string& directory, const std::string& gpus, int ranks) {
  ModelFlags flags;
  flags.model = directory;
  flags.device = "cuda";
  flags.gpus = gpus;
  flags.tp = ranks;
  flags.load_format = "dummy";
  flags.quiet = true;
  TUTTI_TRY(ModelLoadOptions load, load_options(flags));
  load.max_batch_sequences = kManySequences;
  load.max_batch_tokens = kManySequences * kPromptTokens;
  load.max_logit_rows = kManySequences;
  load.max_score_rows = 0;
  load.context = kPromptTokens + kNewTokens;
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(flags));
  TUTTI_TRY(const std::unique_ptr<RankedModelRunner> runner,
            load_runner(flags, *backend, std::move(load)));
  Measured m;
  TUTTI_TRY(m.one, step_seconds(*runner, 1));
  TUTTI_TRY(m.many, step_seconds(*runner, kManySequences));
  m.bytes = static_cast<double>(runner->decode_weights().bytes);
  TUTTI_TRY(m.ceilings, backend->measure_ceilings(runner->rank_choice(), runner->compute()));
  return m;
}

Calibration calibration_of(const Measured& m, const PlanGpu& gpu) {
  Calibration c;
  c.rates = gpu.rates;
  // Products of e4m3 are not measured: the same share of the data sheet as those of bf16.
  c.rates.fp8_flops *= m.ceilings.flops / c.rates.bf16_flops;
  c.rates.bf16_flops = m.ceilings.flops;
  c.rates.read = m.ceilings.read;
  c.rates.measured = true;
  set_layer_costs({.one = m.one,
                   .many = m.many,
                   .rows = static_cast<double>(kManySequences),
                   .layers = kLayers,
                   .bytes = m.bytes},
                  c.rates);
  return c;
}

// A sum among two ranks: what a step takes beyond half the bytes and the layers' own costs.
double sum_seconds(const Measured& two, const Calibration& c) {
  constexpr double kSums = 2.0 * kLayers + 2;
  const double compute = two.bytes / 2 / c.rates.read +
                         kLayers * (c.rates.layer_seconds + c.rates.layer_row_seconds / 2);
  return std::max(0.0, (two.one - compute) / kSums);
}

Json to_json(const PlanGpu& gpu, const Calibration& c) {
  return Json::object({{"gpu", gpu.name},
                       {"read_bytes_per_second", c.rates.read},
                       {"bf16_flops_per_second", c.rates.bf16_flops},
                       {"fp8_flops_per_second", c.rates.fp8_flops},
                       {"layer_seconds", c.rates.layer_seconds},
                       {"layer_row_seconds", c.rates.layer_row_seconds},
                       {"sum_ranks", c.sum_ranks > 1 ? Json(c.sum_ranks) : Json()},
                       {"sum_seconds", c.sum_ranks > 1 ? Json(c.sum_seconds) : Json()}});
}

std::string to_line(const PlanGpu& gpu, const Calibration& c) {
  std::string line = fmt::format(
      "{}: reads {:.0f} GB/s, multiplies {:.0f} TFLOP/s in bf16; a layer costs {:.1f} us beside "
      "its "
      "bytes, and {:.2f} us for each sequence",
      gpu.name,
      c.rates.read * 1e-9,
      c.rates.bf16_flops * 1e-12,
      c.rates.layer_seconds * 1e6,
      c.rates.layer_row_seconds * 1e6);
  if (c.sum_ranks > 1) {
    line += fmt::format("; a sum of {} GPUs {:.1f} us", c.sum_ranks, c.sum_seconds * 1e6);
  }
  return line + "\n";
}

const Gpu* by_uuid(const Inventory& inventory, const std::string& uuid) {
  for (const Gpu& gpu : inventory.gpus) {
    if (gpu.uuid == uuid) {
      return &gpu;
    }
  }
  return nullptr;
}

Result<int> calibrate(const CalibrateOptions& options) {
  set_log_level(LogLevel::kWarn);
  const Inventory inventory = this_inventory();
  const Machine machine = machine_of(inventory, 1, "");
  const std::string kept = join_path(read_environment().home, "cache");
  TUTTI_TRY(const ModelDirectory model, ModelDirectory::make());
  std::set<std::string> done;
  JsonArray gpus;
  // What else runs on a GPU slows what is measured there.
  const std::vector<size_t> order = machine.emptiest_first(machine.usable());
  for (size_t i = 0; i < order.size(); ++i) {
    const PlanGpu& gpu = machine.gpus[order[i]];
    const Gpu* known = by_uuid(inventory, gpu.uuid);
    if (known == nullptr || !gpu.index) {
      continue;  // a part of a divided GPU
    }
    const std::string identity = calibration_identity(*known, inventory, program_version());
    if (!done.insert(identity).second) {
      continue;
    }
    TUTTI_TRY(const Measured alone, measure(model.path(), fmt::format("{},", *gpu.index), 1));
    Calibration c = calibration_of(alone, gpu);
    // Another one of its kind.
    for (size_t j = i + 1; j < order.size(); ++j) {
      const PlanGpu& other = machine.gpus[order[j]];
      if (other.index && other.name == gpu.name) {
        TUTTI_TRY(const Measured two,
                  measure(model.path(), fmt::format("{},{}", *gpu.index, *other.index), 2));
        c.sum_ranks = 2;
        c.sum_seconds = sum_seconds(two, c);
        break;
      }
    }
    TuningCache cache(kept, identity);
    keep_calibration(c, cache);
    TUTTI_RETURN_IF_ERROR(cache.save());
    gpus.push_back(to_json(gpu, c));
    if (!options.json) {
      std::cout << to_line(gpu, c);
    }
  }
  if (options.json) {
    std::cout << to_string(Json::object({{"schema", 1}, {"gpus", Json(gpus)}})) << "\n";
  } else if (gpus.empty()) {
    std::cerr << "calibrate: there is no GPU here that a model may use; tutti plan MODEL says why, "
                 "and plans for the CPU need no measurement\n";
  } else {
    std::cout << "kept in " << kept << "; tutti plan uses it\n";
  }
  return gpus.empty() ? kNothingExit : 0;
}

}  // namespace

int calibrate_command(const CalibrateOptions& options) {
  const Result<int> code = calibrate(options);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace tutti
