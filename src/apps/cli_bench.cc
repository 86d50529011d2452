// Flags of `tutti bench`.
#include <charconv>
#include <functional>

#include "apps/cli_flags.h"
#include "apps/flag_checks.h"

namespace tutti {

namespace {

void add_bench_latency(CLI::App& bench, BenchLatencyOptions& o, std::function<int()>& chosen) {
  auto* cmd = bench.add_subcommand(
      "latency", "Prompt and decode speed of one batch, against the memory bandwidth");
  add_model_flags(*cmd, o.model, true);
  add_load_format(*cmd, o.model);
  cmd->add_option("--prompt-tokens", o.prompt_tokens, "Tokens of each prompt")
      ->capture_default_str()
      ->check(between(1, kMostTokens));
  cmd->add_option("--new-tokens", o.new_tokens, "Tokens generated behind each")
      ->capture_default_str()
      ->check(between(2, 1 << 20));
  cmd->add_option("--batch", o.batch, "Sequences")->capture_default_str()->check(between(1, 1024));
  cmd->add_option("--one-of",
                  o.one_of,
                  "One rank of so many, alone: its share of the work; collectives are counted")
      ->check(between(2, 64));
  for (const char* name : {"temperature", "top_k", "top_p"}) {
    add_parameter_flag(*cmd, name, o.parameters);
  }
  cmd->add_flag("--json", o.json, "Print one JSON object");
  cmd->callback([&] { chosen = [&o] { return bench_latency_command(o); }; });
}

// "1,2,4"; false if it is no such list.
bool parse_rank_counts(const std::string& text, std::vector<int>& ranks) {
  constexpr int kMost = 64;
  ranks.clear();
  const char* at = text.data();
  const char* end = at + text.size();
  for (;;) {
    int count = 0;
    const auto [next, code] = std::from_chars(at, end, count);
    if (code != std::errc() || count < 1 || count > kMost) {
      return false;
    }
    ranks.push_back(count);
    if (next == end) {
      return true;
    }
    if (*next != ',') {
      return false;
    }
    at = next + 1;
  }
}

void add_bench_scaling(CLI::App& bench, BenchScalingOptions& o, std::function<int()>& chosen) {
  auto* cmd = bench.add_subcommand(
      "scaling", "One model on 1, 2, 4, ... GPUs: speed-up, efficiency, and where the time goes");
  cmd->footer(
      "Speed-up and efficiency are of decoding. On the CPU, and with --one-gpu, ranks share what "
      "there "
      "is: 1 is all there is to reach (docs/scaling.md).\n"
      "Examples:\n  tutti bench scaling ./DeepSeek-R1 --svg scaling.svg\n"
      "  tutti bench scaling tiny-r1 --device cpu --ranks 1,2");
  add_model_flags(*cmd, o.model, true);
  add_load_format(*cmd, o.model);
  cmd->add_option_function<std::string>(
         "--ranks",
         [&o](const std::string& text) { parse_rank_counts(text, o.ranks); },
         "Numbers of ranks, such as 1,2,4 (default: up to all GPUs)")
      ->check(
          [](const std::string& text) {
            std::vector<int> ranks;
            return parse_rank_counts(text, ranks)
                       ? std::string()
                       : std::string("wanted numbers from 1 to 64, such as 1,2,4");
          },
          "",
          "ranks");
  cmd->add_flag("--one-gpu", o.one_gpu, "All ranks on the first GPU");
  cmd->add_option("--prompt-tokens", o.prompt_tokens, "Tokens of each prompt")
      ->capture_default_str()
      ->check(between(1, kMostTokens));
  cmd->add_option("--new-tokens", o.new_tokens, "Tokens generated behind each")
      ->capture_default_str()
      ->check(between(2, 1 << 20));
  cmd->add_option("--batch", o.batch, "Sequences")->capture_default_str()->check(between(1, 1024));
  cmd->add_option("--svg", o.svg, "Also draw it into this file")->type_name("FILE");
  cmd->add_flag("--json", o.json, "Print one JSON object (docs/scaling.md)");
  cmd->add_option("--measure", o.measure, "One number of ranks")->check(between(1, 64))->group("");
  cmd->callback([&] { chosen = [&o] { return bench_scaling_command(o); }; });
}

void add_bench_all_reduce(CLI::App& bench, BenchAllReduceOptions& o, std::function<int()>& chosen) {
  auto* cmd = bench.add_subcommand(
      "allreduce", "Sums among ranks, 1 KiB to 256 MiB: by our kernels, through the host, by NCCL");
  cmd->footer(
      "Bytes are one rank's; the rate is 2 (n - 1) / n of them over the time (docs/scaling.md).\n"
      "Examples:\n  tutti bench allreduce\n"
      "  tutti bench allreduce --via peer,nccl --min-bytes 1MiB --json");
  cmd->add_option("--device", o.ranks.device, "auto never falls back from a broken GPU to the CPU")
      ->capture_default_str()
      ->check(one_of({"auto", "cpu", "cuda"}));
  cmd->add_option("--gpus", o.ranks.gpus, "all, a number of GPUs, or a list of indices and UUIDs")
      ->capture_default_str()
      ->check(check_gpus, "", "gpus");
  cmd->add_option("--tp", o.ranks.tp, "Ranks (default: one of each GPU; 2 on the CPU)")
      ->check(between(2, 64));
  cmd->add_option("--ranks-per-gpu", o.ranks.ranks_per_gpu, "Several ranks on each GPU")
      ->capture_default_str()
      ->check(between(1, 64))
      ->group("For tests");
  cmd->add_option("--via",
                  o.via,
                  "peer (kernels that use the GPUs' memory), host (through the host's), nccl; "
                  "several with commas (default: all there are)")
      ->delimiter(',')
      ->check(one_of({"peer", "host", "nccl"}));
  cmd->add_option("--dtype", o.dtype, "bf16 or f32 (default: bf16 on GPUs, f32 on the CPU)")
      ->check(one_of({"bf16", "f32"}));
  cmd->add_option("--min-bytes", o.min_bytes, "The first size; each next one is twice as large")
      ->capture_default_str()
      ->check(check_memory, "", "memory");
  cmd->add_option("--max-bytes", o.max_bytes, "No size is larger, at most 1GiB")
      ->capture_default_str()
      ->check(check_memory, "", "memory");
  cmd->add_flag("--json", o.json, "Print one JSON object (docs/scaling.md)");
  cmd->callback([&] { chosen = [&o] { return bench_all_reduce_command(o); }; });
}

void add_bench_throughput(CLI::App& bench,
                          BenchThroughputOptions& o,
                          std::function<int()>& chosen) {
  auto* cmd = bench.add_subcommand(
      "throughput", "Output rate of an offline job through the engine, without HTTP and text");
  add_model_flags(*cmd, o.model, true);
  add_load_format(*cmd, o.model);
  cmd->add_option("--requests", o.requests, "All submitted at once")
      ->capture_default_str()
      ->check(between(1, 1 << 20));
  cmd->add_option("--concurrency", o.concurrency, "Sequences of one step at most")
      ->capture_default_str()
      ->check(between(1, 4096));
  cmd->add_option("--prompt-tokens", o.prompt_tokens, "Random ids, others for each request")
      ->capture_default_str()
      ->check(between(1, 1 << 20));
  cmd->add_option("--new-tokens", o.new_tokens, "Generated by each request, whatever they are")
      ->capture_default_str()
      ->check(between(1, 1 << 20));
  add_parameter_flag(*cmd, "temperature", o.parameters);
  cmd->add_option("--seed", o.seed, "Same seed, same prompts")->capture_default_str();
  cmd->add_flag("--no-prefix-cache", o.model.no_prefix_cache, "Share no prefixes")
      ->group("For tests");
  cmd->add_flag("--json", o.json, "Print one JSON object");
  cmd->callback([&] { chosen = [&o] { return bench_throughput_command(o); }; });
}

void add_bench_prompts(CLI::App& cmd, BenchServeOptions& o) {
  cmd.add_option("--input-len",
                 o.input_length,
                 "Prompt tokens: 128, uniform:LOW:HIGH, normal:MEAN:STDDEV[:LOW:HIGH] or "
                 "lognormal:MEDIAN:SIGMA[:LOW:HIGH]")
      ->capture_default_str()
      ->group("Prompts");
  cmd.add_option("--output-len", o.output_length, "Most output tokens; same forms")
      ->capture_default_str()
      ->group("Prompts");
  cmd.add_flag("--ignore-eos", o.ignore_eos, "Ask for exactly that many output tokens")
      ->group("Prompts");
  cmd.add_flag("--min-tokens", o.min_tokens, "The same by min_tokens, which some servers prefer")
      ->group("Prompts");
  cmd.add_option("--shared-prefix",
                 o.shared_prefix,
                 "Tokens in front of each prompt that its group has in common")
      ->check(between(0, 1 << 20))
      ->group("Prompts");
  cmd.add_option("--prefix-groups", o.prefix_groups, "Different shared prefixes")
      ->capture_default_str()
      ->check(between(1, 1 << 16))
      ->group("Prompts");
  cmd.add_option("--dataset",
                 o.dataset,
                 "Prompts from a file instead: one per line, or JSON (.json, .jsonl) with prompt, "
                 "messages or ShareGPT's conversations")
      ->type_name("FILE")
      ->group("Prompts");
  cmd.add_option("--prompt-format",
                 o.prompt_format,
                 "ids (exact lengths; the default for completions) or words (for chat)")
      ->check(one_of({"ids", "words"}))
      ->group("Prompts");
  cmd.add_option("--token-ids", o.token_ids, "Range of the random ids, FIRST:LAST")
      ->capture_default_str()
      ->group("Prompts");
  const ValueRange temperature = request_parameter("temperature").range;
  cmd.add_option("--temperature", o.temperature, "Sent with each request (default: the server's)")
      ->check(between(temperature.min, temperature.max))
      ->group("Prompts");
  cmd.add_option("--extra-body", o.extra_body, "JSON object with further fields of each request")
      ->group("Prompts");
  cmd.add_option(
         "--seed",
         o.seed,
         "Same seed, same requests at the same times (default: another each run, so that no "
         "prompt is in the server's cache)")
      ->group("Prompts");
}

void add_bench_serve(CLI::App& bench, BenchServeOptions& o, std::function<int()>& chosen) {
  auto* cmd =
      bench.add_subcommand("serve", "Load an OpenAI endpoint and measure latencies and throughput");
  cmd->footer(
      "Examples:\n"
      "  tutti bench serve --concurrency 32 --requests 500\n"
      "  tutti bench serve --url http://10.0.0.7:8000 --rate 4 --duration 60 --slo "
      "ttft:500,tpot:50\n"
      "  tutti bench serve --endpoint chat --dataset sharegpt.json --requests 1000 --json "
      "out.json");
  cmd->add_option("--url", o.url, "Address of the server")->capture_default_str();
  cmd->add_option("--model", o.model, "Name of the model (default: the one that is served)");
  cmd->add_option("--api-key", o.api_key, "Key of the server (better: the variable TUTTI_API_KEY)");
  cmd->add_option("--endpoint", o.endpoint, "completions or chat")
      ->capture_default_str()
      ->check(one_of({"completions", "chat"}));
  cmd->add_option("--concurrency",
                  o.concurrency,
                  "Requests under way at once (default 1); with --rate the most of them (default: "
                  "no bound)")
      ->check(between(1, 65536));
  cmd->add_option("--rate", o.rate, "Poisson arrivals per second instead of a closed loop")
      ->check(between(1e-6, 1e6));
  cmd->add_option("--requests", o.requests, "Requests to send (default: 100, or until --duration)")
      ->check(between(1, kMostTokens));
  cmd->add_option("--duration", o.duration_seconds, "Seconds after which no request starts")
      ->check(between(0.001, 1e7));
  cmd->add_option("--warmup", o.warmup_requests, "Requests before the measurement")
      ->check(between(0, kMostTokens));
  cmd->add_option(
         "--ramp-up", o.ramp_up_seconds, "Seconds over which the --concurrency connections start")
      ->check(between(0.0, 1e6));
  cmd->add_option("--timeout", o.timeout_seconds, "Seconds after which a request has failed")
      ->capture_default_str()
      ->check(between(0.1, 1e6));
  cmd->add_flag("--no-stream", o.no_stream, "Ask for whole replies: only their full time is known");
  cmd->add_option(
      "--slo", o.slo, "Milliseconds that count as good, as ttft:500,tpot:50,e2el:20000");
  cmd->add_option("--client-threads", o.threads, "Threads of the load generator")
      ->capture_default_str()
      ->check(between(1, 256));
  cmd->add_option("--server-pid",
                  o.server_pid,
                  "Process of a server on this machine: its CPU time and memory are reported")
      ->check(between(1, kMostTokens));
  cmd->add_option("--json", o.json_file, "File to write the figures to; - for standard output")
      ->type_name("FILE");
  cmd->add_flag("-q,--quiet", o.quiet, "No progress line");
  add_bench_prompts(*cmd, o);
  cmd->callback([&] { chosen = [&o] { return bench_serve_command(o); }; });
}

}  // namespace

void add_bench(CLI::App& app, BenchFlags& flags, std::function<int()>& chosen) {
  auto* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  add_bench_latency(*bench, flags.latency, chosen);
  add_bench_scaling(*bench, flags.scaling, chosen);
  add_bench_all_reduce(*bench, flags.all_reduce, chosen);
  add_bench_throughput(*bench, flags.throughput, chosen);
  add_bench_serve(*bench, flags.serve, chosen);
}

}  // namespace tutti
