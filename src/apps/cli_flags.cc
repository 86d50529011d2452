#include "apps/cli_flags.h"

#include "apps/flag_checks.h"
#include "backend/gpu_choice.h"
#include "base/option_names.h"
#include "base/units.h"

namespace tutti {

namespace {

constexpr const char* kModelHelp =
    "Model: a checkpoint directory, or a name looked up in $TUTTI_HOME/models and the Hugging Face "
    "cache";

std::string check_timeout(const std::string& text) {  // CLI::Range lets "nan" through
  double seconds = 0;
  return CLI::detail::lexical_cast(text, seconds) && seconds >= 0.05 && seconds <= 86400.0
             ? std::string()
             : "wanted seconds from 0.05 to 86400";
}

}  // namespace

std::string check_memory(const std::string& text) {
  const Result<int64_t> bytes = parse_bytes(text);
  return bytes.ok() && *bytes > 0 ? "" : "wanted a size above 0, such as 512MiB, 2GiB or 4096";
}

std::string check_gpus(const std::string& text) {
  const Result<GpuChoice> gpus = parse_gpu_choice(text);
  // "--gpus none: wanted …", of which the flag and its value stand there already.
  const std::string message = gpus.ok() ? "" : gpus.status().message();
  const size_t colon = message.find(": ");
  return colon == std::string::npos ? message : message.substr(colon + 2);
}

void add_model_flags(CLI::App& app, ModelFlags& m, bool positional_required) {
  auto* model = app.add_option("MODEL", m.model, kModelHelp);
  if (positional_required) {
    model->required();
  }
  app.add_option("--device", m.device, "auto never falls back from a broken GPU to the CPU")
      ->capture_default_str()
      ->check(one_of({"auto", "cpu", "cuda"}));
  app.add_option("--gpus",
                 m.gpus,
                 "auto (as many as the model can use), all, a number of GPUs, or a list of indices "
                 "and UUIDs such as 0,2,GPU-8932f937; indices are CUDA's, after "
                 "CUDA_VISIBLE_DEVICES")
      ->capture_default_str()
      ->check(check_gpus, "", "gpus");
  app.add_option("--tp",
                 m.tp,
                 "Ranks to split the model over: the number of GPUs (default: all that the model "
                 "can use; 1 on the CPU). An impossible number is refused with the legal ones")
      ->check(between(1, 64));
  app.add_option("--collective-timeout",
                 m.collective_timeout_seconds,
                 "Seconds a rank waits for the others before the model is given up")
      ->capture_default_str()
      ->check(&check_timeout);
  app.add_option("--step-timeout",
                 m.step_timeout_seconds,
                 "Seconds that one step may take before the model is given up")
      ->capture_default_str()
      ->check(&check_timeout);
  app.add_option("--p2p",
                 m.p2p,
                 "auto: GPUs use each other's memory if a test with moved data says that it works; "
                 "off: they exchange data through host memory")
      ->capture_default_str()
      ->check(one_of({"auto", "off"}));
  app.add_option("--ranks-per-gpu", m.ranks_per_gpu, "Several ranks on each GPU")
      ->capture_default_str()
      ->check(between(1, 64))
      ->group("For tests");
  app.add_option("--threads", m.threads, "CPU threads over all ranks (default: every CPU)")
      ->check(between(1, 1024));
  app.add_option("--context",
                 m.context,
                 "Tokens of prompt and output together (default: the model's, if it fits)")
      ->check(between(1, kMostTokens));
  app.add_option("--kv-memory", m.kv_memory, "Memory of the KV cache, for example 512MiB or 4GiB")
      ->check(check_memory, "", "memory");
  app.add_option("--compute",
                 m.compute,
                 "Type of activations and KV cache: f32, or bf16 on GPUs (default: bf16 on GPUs, "
                 "f32 on the CPU)")
      ->check(one_of({"f32", "bf16"}));
  app.add_flag("-q,--quiet",
               m.quiet,
               "No progress bar and no information lines; serve still says when it is ready");
  app.add_option(
         "--mla-form", m.mla_form, "How MLA attention computes: absorbed or expanded (same result)")
      ->type_name("TEXT:{absorbed,expanded}")
      ->capture_default_str()
      ->group("For tests");
  app.add_option("--fault-stall", m.fault_stall, "RANK@JOB: that rank stops before that job")
      ->group("");  // for tests; not in --help
  app.add_flag("--reference-ops", m.reference_ops, "Use the slow reference operations")
      ->group("For tests");
}

void add_load_format(CLI::App& cmd, ModelFlags& m) {
  cmd.add_option(
         "--load-format",
         m.load_format,
         "auto reads the checkpoint; dummy makes weights up, in the formats and shapes that "
         "config.json implies, to measure speed")
      ->capture_default_str()
      ->check(one_of({"auto", "dummy"}));
}

// A flag for the request parameter of that name. `least`: more than the parameter's own least
// value.
CLI::Option* add_parameter_flag(CLI::App& app,
                                const char* name,
                                ParameterFlags& flags,
                                double least) {
  const RequestParameter& parameter = request_parameter(name);
  if (parameter.type == ParameterType::kBool) {
    return app.add_flag_callback(
        as_flag(name), [&] { flags.given.emplace_back(&parameter, true); }, parameter.help);
  }
  const auto check = [&parameter, least](const std::string& text) -> std::string {
    const Result<ParameterValue> value = parse_parameter(parameter, text);
    if (!value.ok()) {
      return value.status().message().substr(std::string_view(parameter.name).size() + 2);
    }
    const auto* integer = std::get_if<int64_t>(&*value);
    return integer != nullptr && static_cast<double>(*integer) < least
               ? fmt::format("got {}, wanted at least {}", text, least)
               : "";
  };
  return app
      .add_option_function<std::string>(
          as_flag(name),
          [&](const std::string& text) {
            flags.given.emplace_back(&parameter, *parse_parameter(parameter, text));
          },
          parameter.help)
      ->check(check, "", "parameter")
      ->type_name(parameter.type == ParameterType::kInteger  ? "INT"
                  : parameter.type == ParameterType::kNumber ? "FLOAT"
                                                             : "TEXT");
}

void add_sampling_flags(CLI::App& app, ParameterFlags& flags) {
  for (const char* name : {"temperature",
                           "top_k",
                           "top_p",
                           "min_p",
                           "presence_penalty",
                           "frequency_penalty",
                           "repetition_penalty",
                           "seed",
                           "min_tokens"}) {
    add_parameter_flag(app, name, flags);
  }
}

}  // namespace tutti
