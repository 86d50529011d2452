// Flags of the commands that manage a running server; those of launch are Xinference's too.
#include "apps/cli_flags.h"
#include "apps/flag_checks.h"

namespace tutti {

namespace {

void add_server(CLI::App& cmd, ManageOptions& options) {
  cmd.add_option("-e,--endpoint",
                 options.endpoint,
                 "The server (default: TUTTI_ENDPOINT, else http://127.0.0.1:9997)");
  cmd.add_option("--api-key", options.api_key, "Its key (better: the variable TUTTI_API_KEY)");
}

std::string check_gpu_count(const std::string& text) {
  if (text == "auto" || text == "none") {
    return "";
  }
  int count = 0;
  return CLI::detail::lexical_cast(text, count) && count >= 1 && count <= 1024
             ? ""
             : "wanted auto, none or a number of GPUs";
}

std::string check_gpu_list(const std::string& text) {
  for (const std::string& one : CLI::detail::split(text, ',')) {
    int index = 0;
    if (one.empty() || !CLI::detail::lexical_cast(one, index) || index < 0 || index > 1023) {
      return "wanted numbers of GPUs with commas between, such as 0,1";
    }
  }
  return "";
}

void add_launch(CLI::App& app, LaunchOptions& o, std::function<int()>& chosen) {
  auto* cmd = app.add_subcommand("launch", "Have a running server serve one more model");
  cmd->footer(
      "The server is one of tutti serve --empty, -f or --supervise. Flags of Xinference's launch "
      "are taken; those that change nothing here are named.\n"
      "Examples:\n  tutti launch tiny-r1\n  tutti launch ./DeepSeek-R1 --uid r1 --replica 2");
  cmd->add_option("MODEL", o.model, "A directory or a name, as the server finds it");
  cmd->add_option("-n,--model-name", o.model, "The same");
  cmd->add_option("--model-path", o.model_path, "A directory, which goes before the name");
  cmd->add_option("-u,--uid,--model-uid", o.uid, "Its name in the API (default: the model's)");
  cmd->add_option("-r,--replica", o.replicas, "Engines of it, each with all its weights")
      ->capture_default_str()
      ->check(between(1, 64));
  cmd->add_option("--n-gpu", o.n_gpu, "auto: all that help; none: the CPU; a number: so many")
      ->check(check_gpu_count, "", "count");
  cmd->add_option("--gpu-idx", o.gpu_idx, "Exactly these GPUs: 0,1")
      ->check(check_gpu_list, "", "list");
  cmd->add_option("--device", o.device, "auto, cpu or cuda")
      ->check(one_of({"auto", "cpu", "cuda"}));
  cmd->add_option("--tp", o.tp, "Ranks to split it over")->check(between(1, 64));
  cmd->add_option("--context", o.context, "Tokens of prompt and output together")
      ->check(between(1, kMostTokens));
  cmd->add_option("--kv-memory", o.kv_memory, "Memory of its KV cache, for example 4GiB");
  cmd->add_option("--unload-after",
                  o.unload_after,
                  "Seconds without requests after which it is unloaded until the next one")
      ->check(between(1, int64_t{30} * 24 * 3600));
  cmd->add_flag("--no-wait", o.no_wait, "Return before it is ready");
  for (const auto& [flag, value] : {std::pair("--model-engine", &o.engine),
                                    std::pair("--model-type", &o.type),
                                    std::pair("--model-format", &o.format),
                                    std::pair("--size-in-billions", &o.size),
                                    std::pair("--quantization", &o.quantization)}) {
    cmd->add_option(flag, *value, "Of Xinference; its files say it")->group("Without effect");
  }
  add_server(*cmd, o.server);
  cmd->callback([&] { chosen = [&] { return launch_command(o); }; });
}

void add_one(CLI::App& app,
             const char* name,
             const char* what,
             ManageAction action,
             ManageOptions& o,
             std::function<int()>& chosen) {
  auto* cmd = app.add_subcommand(name, what);
  if (action == ManageAction::kLogs || action == ManageAction::kTerminate) {
    cmd->add_option("UID", o.uid, "Name of the model in the API");
    cmd->add_option("--model-uid", o.uid, "The same");
  } else {
    cmd->add_flag("--json", o.json, "As JSON");
  }
  add_server(*cmd, o);
  cmd->callback([&o, &chosen, action] {
    o.action = action;
    chosen = [&o] { return manage_command(o); };
  });
}

void add_keys(CLI::App& app, KeyOptions& o, std::function<int()>& chosen) {
  auto* cmd = app.add_subcommand("key", "Make, list and remove API keys of a running server");
  cmd->require_subcommand(1);
  const auto one = [&](const char* name, const char* what, KeyAction action) {
    auto* sub = cmd->add_subcommand(name, what);
    if (action == KeyAction::kList) {
      sub->add_flag("--json", o.server.json, "As JSON");
    } else {
      sub->add_option("NAME", o.name, "What the key is called")->required();
    }
    add_server(*sub, o.server);
    sub->callback([&o, &chosen, action] {
      o.action = action;
      chosen = [&o] { return key_command(o); };
    });
    return sub;
  };
  const int64_t most = int64_t{1} << 40;
  auto* add = one("add", "Make a key and print it", KeyAction::kAdd);
  add->footer(
      "It is shown once: the server keeps its digest. Once there are keys, every request wants "
      "one.\n"
      "Examples:\n  tutti key add operator --scope manage,inference\n"
      "  tutti key add team --requests-per-minute 60 --tokens-per-minute 100000");
  add->add_option("--scope",
                  o.scopes,
                  "inference (the default), manage, metrics, or several with commas between");
  add->add_option("--requests-per-minute", o.requests_per_minute, "So many; without it all")
      ->check(between(1, most));
  add->add_option("--tokens-per-minute",
                  o.tokens_per_minute,
                  "Of prompts and answers, about so many; without it all")
      ->check(between(1, most));
  add->add_option("--expires-in", o.expires_in, "Seconds; without it the key lasts")
      ->check(between(1, int64_t{10} * 366 * 24 * 3600));
  auto* rotate = one("rotate", "Make another key of that name and print it", KeyAction::kRotate);
  rotate->add_option("--grace", o.grace, "Seconds that the old key goes on")
      ->check(between(0, int64_t{10} * 366 * 24 * 3600));
  one("remove", "Take a key away", KeyAction::kRemove);
  one("list", "List names, scopes and limits", KeyAction::kList);
}

}  // namespace

void add_manage(CLI::App& app, ManageFlags& flags, std::function<int()>& chosen) {
  add_launch(app, flags.launch, chosen);
  add_keys(app, flags.key, chosen);
  add_one(app,
          "list",
          "List the models of a running server",
          ManageAction::kList,
          flags.manage,
          chosen);
  add_one(app,
          "ps",
          "List its engines: states, processes, crashes",
          ManageAction::kPs,
          flags.manage,
          chosen);
  add_one(app,
          "logs",
          "Print the last lines that a model's engines wrote",
          ManageAction::kLogs,
          flags.manage,
          chosen);
  add_one(app,
          "terminate",
          "Have it serve a model no longer",
          ManageAction::kTerminate,
          flags.manage,
          chosen);
}

}  // namespace tutti
