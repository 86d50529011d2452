#include "apps/cli.h"

#include <cmath>
#include <functional>
#include <set>

#include "apps/cli_docs.h"
#include "apps/cli_flags.h"
#include "apps/flag_checks.h"
#include "apps/options.h"
#include "apps/typed_command.h"
#include "apps/version.h"
#include "base/log_event.h"
#include "base/option_names.h"
#include "serve/limit_table.h"

namespace tutti {

namespace {

constexpr int kUsageExit = 64;  // sysexits.h EX_USAGE, as for other invalid arguments

// Everything a parse fills; one object so that the callbacks' references stay valid.
struct Commands {
  RunOptions run;
  ServeOptions serve;
  ScoreOptions score;
  GenerateOptions generate;
  TokenizeOptions tokenize;
  TokenizeOptions detokenize;
  TemplateOptions chat_template;
  CheckPeersOptions check_peers;
  DoctorOptions doctor;
  TopOptions top;
  VersionOptions version;
  CalibrateOptions calibrate;
  PlanOptions plan;
  ModelsOptions models;
  BenchFlags bench;
  ManageFlags manage;
  DocsFlags docs;
  std::function<int()> chosen;
};

void add_run(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("run", "Answer one prompt, or chat in the terminal");
  cmd->footer(
      "Examples:\n  tutti run                          chat with tiny-r1, the model that ships "
      "with tutti\n"
      "  tutti run tiny-r1 \"What is 3+4?\"   answer once\n"
      "  tutti run ./DeepSeek-R1            a checkpoint directory, split over all GPUs");
  add_model_flags(*cmd, c.run.model, false);
  cmd->add_option("PROMPT", c.run.prompt, "Question; without one a chat starts");
  cmd->add_option("--system", c.run.system, "System message");
  cmd->add_option("--tools",
                  c.run.tools,
                  "JSON file: array of tools in OpenAI's form. Calls are shown; in a chat you type "
                  "what the tool returns")
      ->type_name("FILE");
  add_parameter_flag(*cmd, "max_tokens", c.run.parameters, 1);
  add_sampling_flags(*cmd, c.run.parameters);
  cmd->callback([&c] { c.chosen = [&c] { return run_command(c.run); }; });
}

void add_limit_flags(CLI::App& app, ServeOptions& options) {
  for (const LimitRow& row : limit_rows()) {
    const auto check = [&row](const std::string& text) -> std::string {
      double value = 0;
      if (!CLI::detail::lexical_cast(text, value)) {
        return "wanted a number";
      }
      const bool whole = row.unit == LimitRow::Unit::kSeconds || value == std::floor(value);
      return whole && value >= row.min && value <= row.max
                 ? ""
                 : fmt::format("wanted {} from {} to {}",
                               row.unit == LimitRow::Unit::kSeconds ? "a number" : "an integer",
                               format_limit(row.min),
                               format_limit(row.max));
    };
    app.add_option_function<double>(
           as_flag(row.name),
           [&row, &options](const double& value) {
             set_limit(row, value, options.limits, options.request_limits);
           },
           spell_options(row.what, &as_flag))
        ->check(check, "", "limit")
        ->type_name(row.unit == LimitRow::Unit::kSeconds ? "SECONDS"
                    : row.unit == LimitRow::Unit::kBytes ? "BYTES"
                                                         : "COUNT")
        ->default_str(format_limit(limit_value(row, options.limits, options.request_limits)))
        ->group("Limits");
  }
}

std::string check_host(const std::string& text) {
  if (text.find("//") != std::string::npos) {
    return "wanted an address such as 127.0.0.1, without scheme and path";
  }
  const size_t colon = text.find(':');
  const bool one = colon != std::string::npos && text.find(':', colon + 1) == std::string::npos;
  return one ? fmt::format("wanted an address alone; the port is --port {}", text.substr(colon + 1))
             : "";
}

// A variable of the shell that is not set would leave the server open.
std::string check_key(const std::string& text) {
  return text.empty() ? "is empty; give a key such as the output of: openssl rand -hex 24" : "";
}

// Of a server with a model, whoever its clients are.
void add_engine_flags(CLI::App& cmd, ServeOptions& options) {
  cmd.add_option("--served-model-name", options.served_model_name, "Name of the model in the API");
  cmd.add_option(
         "--max-batch-sequences", options.model.max_batch_sequences, "Sequences that run at once")
      ->capture_default_str()
      ->check(between(1, 4096));
  cmd.add_option("--max-batch-tokens",
                 options.model.max_batch_tokens,
                 "Tokens of one step, prompts and outputs together")
      ->capture_default_str()
      ->check(between(1, 65536));
  cmd.add_flag("--no-prefix-cache",
               options.model.no_prefix_cache,
               "Compute every prompt whole, also what an earlier one began with");
  cmd.add_flag("--no-store",
               options.no_store,
               "Keep no responses of /v1/responses (otherwise 30 days, in $TUTTI_HOME)");
  cmd.add_option("--log-format", options.log_format, "text, or json: one object a line")
      ->capture_default_str()
      ->check(one_of({"text", "json"}));
  cmd.add_option("--log-level",
                 options.log_level,
                 "Least level that is logged: debug, info, warning, error")
      ->capture_default_str()
      ->check(one_of({"debug", "info", "warning", "error"}));
  add_limit_flags(cmd, options);
}

// What was typed, without the model and what is the gateway's own business.
std::vector<std::vector<std::string>> typed_engine_flags(const CLI::App& cmd) {
  const std::set<std::string> own{"host",
                                  "port",
                                  "api-key",
                                  "allowed-origins",
                                  "allowed-hosts",
                                  "tls-cert",
                                  "tls-key",
                                  "insecure",
                                  "supervise",
                                  "models",
                                  "empty",
                                  "state",
                                  "served-model-name"};
  std::vector<std::vector<std::string>> out;
  for (const CLI::Option* option : cmd.get_options()) {
    if (option->count() == 0 || option->get_positional() ||
        own.contains(option->get_lnames().front())) {
      continue;
    }
    out.push_back({"--" + option->get_lnames().front()});
    if (option->get_items_expected_min() > 0) {
      out.back().push_back(option->results().front());
    }
  }
  return out;
}

// The model, or the models: there is one way to say it. And a certificate has a key.
void check_serve(const ServeOptions& options) {
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    throw CLI::ValidationError("--tls-cert and --tls-key go together; give both");
  }
  const char* flag = options.empty ? "--empty" : "-f";
  if (options.empty && !options.models_file.empty()) {
    throw CLI::ValidationError("--empty and -f contradict each other; a file may have no models");
  }
  if (options.many() && !options.model.model.empty()) {
    throw CLI::ValidationError(fmt::format(
        "MODEL and {} contradict each other; {}",
        flag,
        options.empty ? "tutti serve --empty serves none at first, and tutti launch MODEL adds one"
                      : "a model of its own is one of the file"));
  }
  if (options.many() && !options.served_model_name.empty()) {
    throw CLI::ValidationError(
        fmt::format("--served-model-name and {} contradict each other", flag));
  }
}

void add_serve(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("serve", "Serve a model over HTTP with an OpenAI-compatible API");
  cmd->footer(
      "Then, for example:\n  curl http://127.0.0.1:9997/v1/chat/completions -H 'Content-Type: "
      "application/json' \\\n"
      "    -d '{\"model\":\"tiny-r1\",\"messages\":[{\"role\":\"user\",\"content\":\"What is "
      "3+4?\"}]}'");
  add_model_flags(*cmd, c.serve.model, false);
  add_load_format(*cmd, c.serve.model);
  cmd->add_option("--host", c.serve.host, "Address to listen on")
      ->capture_default_str()
      ->check(check_host, "", "host");
  cmd->add_option("--port", c.serve.port, "Port to listen on; 0 takes a free one")
      ->capture_default_str()
      ->check(between(0, 65535));
  cmd->add_option("--api-key",
                  c.serve.api_key,
                  "Key that clients must send (better: the variable TUTTI_API_KEY)")
      ->check(check_key, "", "key");
  cmd->add_option(
      "--allowed-origins",
      c.serve.allowed_origins,
      "Origins of the web pages that may use the server, separated by commas; * for all");
  cmd->add_option("--allowed-hosts",
                  c.serve.allowed_hosts,
                  "Names that requests may call the server by, separated by commas; * for all");
  cmd->add_option("--tls-cert", c.serve.tls_certificate, "Serve HTTPS with this certificate (PEM)")
      ->type_name("FILE");
  cmd->add_option("--tls-key", c.serve.tls_key, "The certificate's key (PEM)")->type_name("FILE");
  cmd->add_flag(
      "--insecure", c.serve.insecure, "Allow listening beyond this machine without a key");
  cmd->add_flag("--supervise",
                c.serve.supervise,
                "Run the model in a process of its own, which is started again if it crashes");
  cmd->add_option("-f,--models",
                  c.serve.models_file,
                  "Serve the models of this file (YAML), each in processes of its own")
      ->type_name("FILE");
  cmd->add_flag("--empty", c.serve.empty, "Serve no model at first; tutti launch adds some");
  cmd->add_option("--state",
                  c.serve.state,
                  "Where launches are kept over a restart (default: $TUTTI_HOME/state.db)")
      ->type_name("FILE");
  add_engine_flags(*cmd, c.serve);
  cmd->callback([&c, cmd] {
    check_serve(c.serve);
    c.serve.engine_flags = typed_engine_flags(*cmd);
    c.chosen = [&c] { return serve_command(c.serve); };
  });
}

// Not for people: tutti serve --supervise starts it as a child.
void add_engine(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("engine-process", "Serve a model to a gateway");
  cmd->group("");
  add_model_flags(*cmd, c.serve.model, false);
  add_load_format(*cmd, c.serve.model);
  add_engine_flags(*cmd, c.serve);
  cmd->add_option("--socket", c.serve.socket, "Unix socket to listen on")->required();
  cmd->callback([&c] { c.chosen = [&c] { return serve_command(c.serve); }; });
}

void add_score(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("score", "Write the logits of given token ids as a NumPy file");
  add_model_flags(*cmd, c.score.model, true);
  cmd->add_option("--ids-file",
                  c.score.ids_file,
                  "Token ids separated by commas or spaces; - for standard input")
      ->type_name("FILE")
      ->required();
  cmd->add_option(
         "--logits-out", c.score.logits_out, "File to write: float32 [tokens, vocab] (.npy)")
      ->type_name("FILE")
      ->required();
  cmd->add_option(
         "--chunk", c.score.chunk, "Tokens per step; 1 runs the decode path for every token")
      ->check(between(1, kMostTokens));
  cmd->callback([&c] { c.chosen = [&c] { return score_command(c.score); }; });
}

void add_generate(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand(
      "generate", "Continue given token ids; greedy unless sampling flags are given");
  add_model_flags(*cmd, c.generate.model, true);
  cmd->add_option("--ids-file",
                  c.generate.ids_file,
                  "Token ids separated by commas or spaces; - for standard input")
      ->type_name("FILE")
      ->required();
  add_parameter_flag(*cmd, "max_tokens", c.generate.parameters, 1)->default_str("128");
  add_parameter_flag(*cmd, "ignore_eos", c.generate.parameters);
  cmd->add_flag("--json", c.generate.json, "Print {\"ids\":…,\"text\":…,\"finish_reason\":…}");
  add_sampling_flags(*cmd, c.generate.parameters);
  cmd->callback([&c] { c.chosen = [&c] { return generate_command(c.generate); }; });
}

void add_text_tools(CLI::App& app, Commands& c) {
  auto* tokenize = app.add_subcommand("tokenize", "Token ids of each line of a file");
  tokenize->add_option("MODEL", c.tokenize.model, "Directory with tokenizer.json, or a model name")
      ->required();
  tokenize
      ->add_option("--file",
                   c.tokenize.file,
                   "UTF-8 text, - for standard input; one output line per input line")
      ->type_name("FILE")
      ->required();
  tokenize->add_flag("--jsonl", c.tokenize.jsonl, "Each input line is one JSON string");
  tokenize->add_flag("--no-bos", c.tokenize.no_bos, "Add no beginning and end tokens");
  tokenize->callback([&c] { c.chosen = [&c] { return tokenize_command(c.tokenize); }; });

  auto* detokenize =
      app.add_subcommand("detokenize", "Text of each line of token ids: the inverse of tokenize");
  detokenize
      ->add_option("MODEL", c.detokenize.model, "Directory with tokenizer.json, or a model name")
      ->required();
  detokenize
      ->add_option(
          "--file", c.detokenize.file, "One line of ids per output line; - for standard input")
      ->type_name("FILE")
      ->required();
  detokenize->add_flag("--jsonl", c.detokenize.jsonl, "Write each text as one JSON string");
  detokenize->add_flag(
      "--no-bos", c.detokenize.no_bos, "Leave out the beginning and end tokens that tokenize adds");
  detokenize->add_flag("--skip-special", c.detokenize.skip_special, "Leave out all special tokens");
  detokenize->callback([&c] { c.chosen = [&c] { return detokenize_command(c.detokenize); }; });

  auto* tmpl = app.add_subcommand("template", "Print the prompt that a chat becomes, exactly");
  tmpl->add_option(
          "MODEL", c.chat_template.model, "Directory with the chat template, or a model name")
      ->required();
  tmpl->add_option("--messages",
                   c.chat_template.messages,
                   "JSON file: array of messages; - for standard input")
      ->type_name("FILE")
      ->required();
  tmpl->add_option("--tools", c.chat_template.tools, "JSON file: array of tools")
      ->type_name("FILE");
  tmpl->add_option("--kwargs", c.chat_template.kwargs, "JSON file: further template variables")
      ->type_name("FILE");
  tmpl->add_flag("--no-generation-prompt",
                 c.chat_template.no_generation_prompt,
                 "Do not open the assistant's turn");
  tmpl->callback([&c] { c.chosen = [&c] { return template_command(c.chat_template); }; });
}

void add_doctor(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand(
      "doctor", "Say what this machine has, what is wrong with it, and what to do");
  cmd->footer(
      "docs/doctor.md lists the checks. The file of --dump is one JSON object (docs/inventory.md); "
      "what could not be known is null, with the reason under \"errors\". It names no host and no "
      "user, and --inventory reads it anywhere.\n"
      "Exit code: 0 if all is well, 1 for warnings, 2 for errors.\n"
      "Examples:\n  tutti doctor\n  tutti doctor deepseek-r1 --json\n  tutti doctor --dump "
      "box.json\n"
      "  tutti doctor --inventory box.json");
  cmd->add_option("MODEL", c.doctor.model, "Also say whether this model is whole and fits");
  cmd->add_flag("--json", c.doctor.json, "One JSON object (docs/doctor.md)");
  cmd->add_flag("--quick", c.doctor.quick, "Move no data between GPUs");
  cmd->add_flag("--speed", c.doctor.speed, "Measure each GPU beside the others; a second each");
  cmd->add_option("--inventory", c.doctor.inventory, "Instead of this machine: a file of --dump")
      ->type_name("FILE");
  cmd->add_option("--dump",
                  c.doctor.dump,
                  "Write what the machine has to a file, for bug reports; - for standard output")
      ->type_name("FILE");
  cmd->add_option("--ask", c.doctor.ask, "What cuda or nvml alone shows")
      ->check(one_of({"cuda", "nvml", "speed"}))
      ->group("");
  cmd->callback([&c] { c.chosen = [&c] { return doctor_command(c.doctor); }; });
}

void add_top(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("top", "Show the GPUs as they work: a live table");
  cmd->footer(
      "q or Ctrl-C ends it. * stands before GPUs that the server of --url uses.\n"
      "Examples:\n  tutti top\n  tutti top --url http://127.0.0.1:9997\n  tutti top --once --json "
      "> "
      "gpus.json\n  tutti top --file gpus.json");
  auto* url = cmd->add_option(
      "--url", c.top.url, "Ask a server, which also tells what it noticed (default: the driver)");
  cmd->add_option("--file", c.top.file, "Show what --once --json wrote")
      ->type_name("FILE")
      ->excludes(url);
  cmd->add_option(
      "--api-key", c.top.api_key, "Key of the server (better: the variable TUTTI_API_KEY)");
  cmd->add_flag("--once", c.top.once, "One look, not a live table");
  cmd->add_flag("--json", c.top.json, "With --once: one JSON object (docs/top.md)");
  cmd->add_option("--interval", c.top.interval_seconds, "Seconds between two looks")
      ->capture_default_str()
      ->check(between(0.1, 3600.0));
  cmd->add_option("--columns", c.top.columns, "Width of the table (default: the terminal's)")
      ->check(between(20, 1000));
  cmd->callback([&c] { c.chosen = [&c] { return top_command(c.top); }; });
}

void add_version(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("version", "Say which version this is, of what build");
  cmd->add_flag("--json",
                c.version.json,
                "One JSON object: build, CUDA, NCCL, weight formats, architectures");
  cmd->callback([&c] { c.chosen = [&c] { return version_command(c.version); }; });
}

void add_calibrate(CLI::App& app, Commands& c) {
  auto* cmd =
      app.add_subcommand("calibrate", "Measure this machine's GPUs for plans; some ten seconds");
  cmd->footer(
      "Reads memory, multiplies matrices and decodes with a made-up model of 3 GB on one GPU of "
      "each kind, and on two together where there are two. Kept in the cache of $TUTTI_HOME under "
      "GPU, driver, power limit and build; tutti plan, serve and run use it.\n"
      "Example:\n  tutti calibrate");
  cmd->add_flag("--json", c.calibrate.json, "One JSON object (docs/planning.md)");
  cmd->callback([&c] { c.chosen = [&c] { return calibrate_command(c.calibrate); }; });
}

// Not for people: loading a model over several GPUs starts it as a child.
void add_check_peers(CLI::App& app, Commands& c) {
  auto* cmd = app.add_subcommand("check-peers", "Test whether GPUs can use each other's memory");
  cmd->group("");
  cmd->add_option("--pairs", c.check_peers.pairs, "Pairs to test, such as 0:1,1:0")->required();
  cmd->add_option("--pretend", c.check_peers.pretend, "Behave as a machine would, without GPUs")
      ->check(one_of(
          {"ok", "unsupported", "wrong", "error", "hang", "crash", "hang-together", "failed"}));
  cmd->add_option(
      "--pretend-pairs", c.check_peers.pretend_pairs, "The pairs that do (default: all)");
  cmd->callback([&c] { c.chosen = [&c] { return check_peers_command(c.check_peers); }; });
}

void add_hardware(CLI::App& cmd, std::string& hardware, std::string& inventory) {
  cmd.add_option("--hardware",
                 hardware,
                 "Instead of this machine: H200, 8xH200, 2x8xH100-80GB (hosts x GPUs), 2x4090+L4");
  cmd.add_option("--inventory",
                 inventory,
                 "Instead of this machine: a file of doctor --dump; - for standard input")
      ->type_name("FILE");
}

void add_plan(CLI::App& app, Commands& c) {
  auto* plan = app.add_subcommand(
      "plan", "Say which GPUs a model takes, what fits and how fast it will be; nothing is loaded");
  plan->footer(
      "Examples:\n  tutti plan deepseek-r1                      on this machine\n"
      "  tutti plan deepseek-r1 --hardware 8xH200    on another one\n"
      "  tutti plan ./DeepSeek-R1 --context 65536 --concurrency 8 --json\n"
      "Exit code: 0 if it fits, 69 if not.");
  plan->add_option("MODEL",
                   c.plan.model,
                   "A checkpoint directory, or a name of the catalogue (tutti models), with "
                   ":FORMAT behind it for another format than the first")
      ->required();
  add_hardware(*plan, c.plan.hardware, c.plan.inventory);
  plan->add_option("--for", c.plan.goal, "What the plan is best for")
      ->capture_default_str()
      ->check(one_of({"latency", "throughput", "balanced"}));
  plan->add_option("--context", c.plan.context, "Tokens of a sequence (default: the model's)")
      ->check(between(1, kMostTokens));
  plan->add_option("--concurrency", c.plan.concurrency, "Sequences at once")
      ->check(between(1, 65536));
  plan->add_flag("--json", c.plan.json, "One JSON object (docs/planning.md)");
  plan->callback([&c] { c.chosen = [&c] { return plan_command(c.plan); }; });

  auto* models =
      app.add_subcommand("models", "List the models that plans know, and what fits here");
  models->add_option(
      "WORD", c.models.word, "Only models that have it in a name, for example qwen3");
  add_hardware(*models, c.models.hardware, c.models.inventory);
  models->add_flag("--json", c.models.json, "One JSON object, with formats and other names");
  models->callback([&c] { c.chosen = [&c] { return models_command(c.models); }; });
}

int usage_error(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return kUsageExit;
}

}  // namespace

int run_cli(int argc, char** argv) {
  CLI::App app(
      "tutti serves large language models over all GPUs of a machine; without GPUs it runs on the "
      "CPU.");
  app.name("tutti");
  app.set_version_flag("--version", fmt::format("tutti {}", program_version()));
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Commands commands;
  add_run(app, commands);
  add_serve(app, commands);
  add_score(app, commands);
  add_generate(app, commands);
  add_text_tools(app, commands);
  add_manage(app, commands.manage, commands.chosen);
  add_bench(app, commands.bench, commands.chosen);
  add_doctor(app, commands);
  add_top(app, commands);
  add_calibrate(app, commands);
  add_plan(app, commands);
  add_version(app, commands);
  add_check_peers(app, commands);
  add_engine(app, commands);
  add_docs(app, commands.docs, commands.chosen);
  set_log_option_spelling(&as_flag);
  const std::vector<std::string> typed = typed_arguments(argc, argv);
  const TypedCommand command = typed_command(app, typed);
  if (command.words == typed.size() && !names_of_commands(*command.app).empty()) {
    return usage_error(command.app->help(command.name.empty() ? "" : "tutti"));
  }
  const Result<std::vector<std::string>> args = translated_arguments(command, typed);
  if (!args.ok()) {
    const std::string& message = args.status().message();
    return usage_error(message.starts_with("tutti") ? message : "tutti: " + message);
  }
  try {
    app.parse(
        std::vector<std::string>(args->rbegin(), args->rend()));  // it takes them from the end
  } catch (const CLI::ExtrasError&) {
    return usage_error(unexpected_word(command, app, *args));
  } catch (const CLI::ParseError& e) {
    return e.get_exit_code() == 0
               ? app.exit(e)
               : usage_error(fmt::format(
                     "tutti {}: {}; tutti {} --help", command.name, e.what(), command.name));
  }
  return commands.chosen();
}

}  // namespace tutti
