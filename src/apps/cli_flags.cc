#include "apps/cli_flags.h"

#include "base/option_names.h"

namespace tutti {

namespace {

constexpr const char* kModelHelp =
    "Model: a checkpoint directory, or a name looked up in $TUTTI_HOME/models and the Hugging Face "
    "cache";

std::string check_timeout(const std::string& text) {  // CLI::Range lets "nan" through
  double seconds = 0;
  return CLI::detail::lexical_cast(text, seconds) && seconds >= 0.05 && seconds <= 86400.0
             ? std::string()
             : text + ": wanted seconds from 0.05 to 86400";
}

}  // namespace

void add_model_flags(CLI::App& app, ModelFlags& m, bool positional_required) {
  auto* model = app.add_option("MODEL", m.model, kModelHelp);
  if (positional_required) {
    model->required();
  }
  app.add_option("--device",
                 m.device,
                 "auto, cpu or cuda. auto never falls back from a broken GPU to the CPU")
      ->type_name("TEXT:{auto,cpu,cuda}")
      ->capture_default_str();
  app.add_option("--gpus",
                 m.gpus,
                 "auto (as many as the model can use), all, a number of GPUs, or a list of indices "
                 "and UUIDs such as 0,2,GPU-8932f937; indices are CUDA's, after "
                 "CUDA_VISIBLE_DEVICES")
      ->capture_default_str();
  app.add_option("--tp",
                 m.tp,
                 "Ranks to split the model over: the number of GPUs (default: all that the model "
                 "can use; 1 on the CPU). An impossible number is refused with the legal ones")
      ->check(CLI::Range(1, 64));
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
      ->check(CLI::IsMember({"auto", "off"}));
  app.add_option("--ranks-per-gpu", m.ranks_per_gpu, "Several ranks on each GPU")
      ->capture_default_str()
      ->check(CLI::Range(1, 64))
      ->group("For tests");
  app.add_option("--threads", m.threads, "CPU threads over all ranks (default: every CPU)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--context",
                 m.context,
                 "Tokens of prompt and output together (default: the model's, if it fits)")
      ->check(CLI::Range(int64_t{1}, kMostTokens));
  app.add_option("--kv-memory", m.kv_memory, "Memory of the KV cache, for example 512MiB or 4GiB");
  app.add_option("--compute",
                 m.compute,
                 "Type of activations and KV cache: f32, or bf16 on GPUs (default: bf16 on GPUs, "
                 "f32 on the CPU)")
      ->type_name("TEXT:{f32,bf16}");
  app.add_flag("-q,--quiet", m.quiet, "No progress bar and no information lines");
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
      ->check(CLI::IsMember({"auto", "dummy"}));
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
