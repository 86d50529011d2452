#include "apps/common.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <unistd.h>

#include "apps/model_parts.h"
#include "backend/select.h"
#include "base/check.h"
#include "base/file.h"
#include "base/known_failures.h"
#include "base/log.h"
#include "base/option_names.h"
#include "base/units.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

std::optional<std::string> env_if_set(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread starts
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string env(const char* name) {
  return env_if_set(name).value_or("");
}

// "1@200": rank 1, before its job 200.
Result<RankStall> parse_stall(const std::string& text) {
  const char* end = text.data() + text.size();
  RankStall stall;
  const auto rank = std::from_chars(text.data(), end, stall.rank);
  const bool marked = rank.ec == std::errc() && rank.ptr != end && *rank.ptr == '@';
  const auto job = marked ? std::from_chars(rank.ptr + 1, end, stall.job) : rank;
  if (!marked || job.ec != std::errc() || job.ptr != end) {
    return invalid("--fault-stall {}: wanted RANK@JOB, for example 1@200", text);
  }
  return stall;
}

void draw_progress(const LoadProgress& p) {
  constexpr int kWidth = 30;
  const double share =
      p.total > 0 ? static_cast<double>(p.done) / static_cast<double>(p.total) : 1.0;
  const int filled = static_cast<int>(share * kWidth);
  std::fprintf(stderr,
               "\rloading [%s%s] %3d%%  %s of %s ",
               std::string(static_cast<size_t>(filled), '#').c_str(),
               std::string(static_cast<size_t>(kWidth - filled), '.').c_str(),
               static_cast<int>(share * 100),
               format_bytes(p.done).c_str(),
               format_bytes(p.total).c_str());
  if (p.done >= p.total) {
    std::fputc('\n', stderr);
  }
}

}  // namespace

bool ParameterFlags::any_sampling() const {
  return std::any_of(
      given.begin(), given.end(), [](const auto& flag) { return is_sampling(*flag.first); });
}

SamplingParams ParameterFlags::sampling(SamplingParams base) const {
  GenerationRequest request;
  request.sampling = base;
  apply(request);
  return request.sampling;
}

void ParameterFlags::apply(GenerationRequest& request) const {
  for (const auto& [parameter, value] : given) {
    const Status status = set_parameter(*parameter, value, request);
    TUTTI_CHECK(status.ok());
  }
}

int fail(const Status& status) {
  const bool machine =
      status.code() == StatusCode::kDevice || status.code() == StatusCode::kUnavailable;
  const std::string text = machine ? explain_failure(status.message()) : status.message();
  std::fprintf(stderr, "tutti: %s\n", spell_options(text, &as_flag).c_str());
  return mapping(status.code()).exit_code;
}

Environment read_environment() {
  Environment e;
  e.user_home = env("HOME");
  e.home = env("TUTTI_HOME");
  if (e.home.empty()) {
    e.home = join_path(e.user_home, ".tutti");
  }
  e.hf_cache = hub_cache(&env);
  e.xinference_home = env("XINFERENCE_HOME");
  if (const std::string state = env("XDG_STATE_HOME"); !state.empty()) {
    e.state = join_path(state, "tutti");
  } else if (!e.user_home.empty()) {
    e.state = join_path(e.user_home, ".local/state/tutti");
  }
  e.runtime = env("XDG_RUNTIME_DIR");
  if (e.runtime.empty()) {
    e.runtime = "/tmp";
  }
  e.terminal = env("TERM");
  e.colour = env("NO_COLOR").empty() && e.terminal != "dumb";
  std::error_code ec;
  e.program = fs::read_symlink("/proc/self/exe", ec).parent_path().string();
  e.api_key = env("TUTTI_API_KEY");
  e.endpoint = env("TUTTI_ENDPOINT");
  if (e.endpoint.empty()) {
    e.endpoint = env("XINFERENCE_ENDPOINT");
  }
  e.visible_devices = env_if_set("CUDA_VISIBLE_DEVICES");
  return e;
}

std::map<std::string, std::string> all_variables() {
  std::map<std::string, std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

namespace {

// Flags that mean nothing without GPUs.
Status check_flags_of_gpus(const ModelFlags& flags, DeviceChoice device) {
  // With --device cuda, that there is no GPU is all there is to say: select_backend() does.
  if (device == DeviceChoice::kCuda ||
      (device != DeviceChoice::kCpu && nvidia_device_present("/"))) {
    return ok_status();
  }

  struct Flag {
    const char* name;
    std::string value;
    const char* unset;
  };

  for (const Flag& flag : {Flag{"--gpus", flags.gpus, "auto"},
                           Flag{"--ranks-per-gpu", std::to_string(flags.ranks_per_gpu), "1"},
                           Flag{"--p2p", flags.p2p, "auto"}}) {
    if (flag.value != flag.unset) {
      return error(StatusCode::kUnavailable,
                   "{} {}: {}; leave {} out to run on the CPU",
                   flag.name,
                   flag.value,
                   device == DeviceChoice::kCpu ? "contradicts --device cpu"
                                                : "this machine shows no NVIDIA GPU (no "
                                                  "/dev/nvidia0 and no loaded driver); in a "
                                                  "container start it with --gpus all",
                   flag.name);
    }
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<Backend>> choose_backend(const ModelFlags& flags) {
  TUTTI_TRY(const DeviceChoice device, parse_device_choice(flags.device));
  TUTTI_TRY(const GpuChoice gpus, parse_gpu_choice(flags.gpus));
  TUTTI_RETURN_IF_ERROR(check_flags_of_gpus(flags, device));
  return select_backend({.device = device,
                         .gpus = gpus,
                         .ranks_per_gpu = flags.ranks_per_gpu,
                         .peer_access = flags.p2p != "off",
                         .visible_devices = read_environment().visible_devices,
                         .program = kThisProgram,
                         .cpu = {.threads = flags.threads, .reference = flags.reference_ops},
                         .plugin_paths = default_plugin_paths()});
}

Result<ModelLoadOptions> load_options(const ModelFlags& flags) {
  ModelLoadOptions options;
  TUTTI_TRY(options.directory, find_listed_model(flags.model, read_environment()));
  TUTTI_RETURN_IF_ERROR(check_model_directory(options.directory));
  if (flags.load_format != "dummy") {
    TUTTI_RETURN_IF_ERROR(check_download(options.directory));
  }
  options.ranks = flags.tp;
  options.cache_directory = join_path(read_environment().home, "cache");
  options.collective_timeout =
      std::chrono::milliseconds(std::llround(flags.collective_timeout_seconds * 1000));
  options.step_timeout = std::chrono::milliseconds(std::llround(flags.step_timeout_seconds * 1000));
  if (!flags.fault_stall.empty()) {
    TUTTI_TRY(options.stall, parse_stall(flags.fault_stall));
  }
  options.context = flags.context;
  if (!flags.kv_memory.empty()) {
    TUTTI_TRY(options.kv_memory, parse_bytes(flags.kv_memory));
    if (options.kv_memory == 0) {
      return invalid("--kv-memory {}: wanted more than 0 bytes", flags.kv_memory);
    }
  }
  if (!flags.compute.empty()) {
    if (flags.compute != "f32" && flags.compute != "bf16") {
      return invalid("--compute {}: wanted f32 or bf16", flags.compute);
    }
    options.compute = flags.compute == "f32" ? DType::kF32 : DType::kBF16;
  }
  options.format = flags.load_format == "dummy" ? LoadFormat::kDummy : LoadFormat::kCheckpoint;
  options.max_batch_tokens = flags.max_batch_tokens;
  options.max_batch_sequences = flags.max_batch_sequences;
  options.max_logit_rows = flags.max_batch_sequences;
  // Logits of a large vocabulary take 0.6 MB a row; prompts with log-probabilities are few.
  options.max_score_rows = std::min<int64_t>(64, flags.max_batch_tokens);
  if (flags.mla_form != "absorbed" && flags.mla_form != "expanded") {
    return invalid("--mla-form {}: wanted absorbed or expanded", flags.mla_form);
  }
  options.model.mla_form = flags.mla_form == "expanded" ? MlaForm::kExpanded : MlaForm::kAbsorbed;
  return options;
}

std::string describe_devices(const Backend& backend, const RankedModelRunner& runner) {
  const RankChoice& choice = runner.rank_choice();
  return backend.describe(choice) +
         (choice.left_out.empty() ? "" : "; " + spell_options(choice.left_out, &as_flag));
}

Result<std::unique_ptr<RankedModelRunner>> load_runner(const ModelFlags& flags,
                                                       Backend& backend,
                                                       ModelLoadOptions options) {
  if (!options.progress && !flags.quiet && isatty(STDERR_FILENO) == 1) {
    options.progress = &draw_progress;
  }
  Result<std::unique_ptr<RankedModelRunner>> loaded = RankedModelRunner::load(backend, options);
  if (!loaded.ok() && loaded.status().message().ends_with("is the download complete?")) {
    return with_download(loaded.status(), options.directory);
  }
  return loaded;
}

namespace {

Status id_outside(const std::string& path, int64_t id, size_t position, int64_t vocab_size) {
  return invalid("{}: id {} at position {} is outside the vocabulary of {}",
                 input_name(path),
                 id,
                 position,
                 vocab_size);
}

}  // namespace

Status check_ids(const std::string& path, std::span<const int32_t> ids, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= vocab_size) {
      return id_outside(path, ids[i], i, vocab_size);
    }
  }
  return ok_status();
}

Result<std::vector<int32_t>> read_ids(const std::string& path, int64_t vocab_size) {
  Result<std::string> read = read_input(path);
  if (read.status().code() == StatusCode::kNotFound) {
    return error(StatusCode::kNotFound,
                 "{}; tutti tokenize MODEL --file FILE > {} makes one of a text",
                 read.status().message(),
                 path);
  }
  TUTTI_TRY(const std::string text, std::move(read));
  std::vector<int32_t> ids;
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t') {
      ++i;
      continue;
    }
    size_t end = i;
    int64_t value = 0;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') {
      // Held just above the largest id, so that any number of digits is refused by its value.
      value = std::min<int64_t>(value * 10 + (text[end++] - '0'), int64_t{INT32_MAX} + 1);
    }
    if (end == i || (end < text.size() &&
                     std::string_view(", \n\r\t").find(text[end]) == std::string_view::npos)) {
      return invalid("{}: byte {} is no token id; wanted numbers separated by commas or spaces",
                     input_name(path),
                     end);
    }
    if (value >= vocab_size) {
      return id_outside(path, value, ids.size(), vocab_size);
    }
    ids.push_back(static_cast<int32_t>(value));
    i = end;
  }
  if (ids.empty()) {
    return invalid("{}: holds no token ids", input_name(path));
  }
  return ids;
}

}  // namespace tutti
