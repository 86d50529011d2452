// tutti bench serve: a load generator for any OpenAI endpoint.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <random>
#include <thread>

#include <unistd.h>

#include "apps/collector.h"
#include "apps/common.h"
#include "loadgen/load_report.h"
#include "loadgen/process_stats.h"

namespace tutti {

namespace {

using loadgen::Endpoint;
using loadgen::LoadOptions;
using loadgen::LoadProgress;
using loadgen::LoadResult;
using loadgen::LoadRun;
using loadgen::RequestMaker;
using loadgen::RequestOptions;
using loadgen::Target;

constexpr int64_t kDefaultRequests = 100;
constexpr std::chrono::milliseconds kPoll{50};
constexpr auto kRedraw = std::chrono::milliseconds(500);

Status parse_id_range(const std::string& text, RequestOptions& out) {
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, out.first_token_id);
  const bool colon = first.ec == std::errc() && first.ptr != end && *first.ptr == ':';
  const auto last = colon ? std::from_chars(first.ptr + 1, end, out.last_token_id) : first;
  if (!colon || last.ec != std::errc() || last.ptr != end || out.first_token_id < 0 ||
      out.first_token_id > out.last_token_id || out.last_token_id > INT32_MAX) {
    return invalid("--token-ids {}: wanted FIRST:LAST, for example 32:255", text);
  }
  return ok_status();
}

Result<std::string> find_served_model(const Target& target) {
  TUTTI_TRY(const std::vector<std::string> ids, loadgen::list_models(target));
  if (ids.empty()) {
    return error(StatusCode::kUnavailable,
                 "{} serves no model yet; wait until it is ready, or give --model",
                 target.url());
  }
  return ids.front();
}

Result<RequestOptions> request_options(const BenchServeOptions& o, const Target& target) {
  RequestOptions out;
  out.endpoint = o.endpoint == "chat" ? Endpoint::kChat : Endpoint::kCompletions;
  const bool chat = out.endpoint == Endpoint::kChat;
  if (chat && o.prompt_format == "ids") {
    return invalid("--prompt-format ids: a chat takes no token ids; use --endpoint completions");
  }
  out.token_ids = o.prompt_format.empty() ? !chat : o.prompt_format == "ids";
  out.stream = !o.no_stream;
  out.shared_prefix = o.shared_prefix;
  out.prefix_groups = o.prefix_groups;
  out.ignore_eos = o.ignore_eos;
  out.min_tokens = o.min_tokens;
  out.temperature = o.temperature;
  out.seed = o.seed ? *o.seed : std::random_device()();
  TUTTI_RETURN_IF_ERROR(parse_id_range(o.token_ids, out));
  TUTTI_TRY(out.input_length, loadgen::LengthDistribution::parse("--input-len", o.input_length));
  TUTTI_TRY(out.output_length, loadgen::LengthDistribution::parse("--output-len", o.output_length));
  if (!o.extra_body.empty()) {
    auto extra = parse_json(o.extra_body);
    if (!extra.ok()) {
      return std::move(extra).status().with_context("--extra-body");
    }
    if (!extra->is_object()) {
      return invalid("--extra-body: wanted a JSON object, got {}", extra->type_name());
    }
    out.extra = extra->as_object();
  }
  if (!o.dataset.empty()) {
    TUTTI_TRY(auto entries, loadgen::read_dataset(o.dataset));
    out.dataset = std::make_shared<const std::vector<loadgen::DatasetEntry>>(std::move(entries));
    out.token_ids = false;
  }
  out.model = o.model;
  if (out.model.empty()) {
    TUTTI_TRY(out.model, find_served_model(target));
  }
  return out;
}

LoadOptions load_options(const BenchServeOptions& o) {
  const bool unbounded = o.requests == 0 && o.duration_seconds == 0;
  return {.concurrency = o.concurrency.value_or(o.rate ? 0 : 1),
          .rate = o.rate,
          .requests = unbounded ? kDefaultRequests : o.requests,
          .duration_seconds = o.duration_seconds,
          .ramp_up_seconds = o.ramp_up_seconds,
          .timeout_seconds = o.timeout_seconds,
          .threads = o.threads};
}

/// One line on a terminal, drawn over and over.
class ProgressLine {
 public:
  ProgressLine(const LoadOptions& options, bool quiet)
      : options_(options), shown_(!quiet && isatty(STDERR_FILENO) == 1) {}

  ~ProgressLine() {
    if (drawn_) {
      std::fputs("\r\033[K", stderr);
    }
  }

  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void draw(const LoadProgress& p) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || now - last_ < kRedraw) {
      return;
    }
    const double elapsed = std::chrono::duration<double>(now - last_).count();
    const double rate = static_cast<double>(p.chunks - last_chunks_) / elapsed;
    const std::string of =
        options_.requests > 0 ? fmt::format(" of {}", options_.requests) : std::string();
    const std::string line =
        fmt::format("{:.0f} s: {}{} requests done, {} running, {} failed, {:.0f} chunks/s",
                    std::chrono::duration<double>(now - begin_).count(),
                    p.completed + p.failed,
                    of,
                    p.running,
                    p.failed,
                    drawn_ ? rate : 0.0);
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    drawn_ = true;
    last_ = now;
    last_chunks_ = p.chunks;
  }

 private:
  const LoadOptions& options_;
  const bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = begin_;
  int64_t last_chunks_ = 0;
};

/// Ctrl-C ends the run early; what was measured is still reported.
Result<LoadResult> run(const Target& target,
                       const RequestMaker& requests,
                       const LoadOptions& options,
                       const loadgen::Slo& slo,
                       bool quiet) {
  LoadRun load(target, requests, options, slo);
  TUTTI_RETURN_IF_ERROR(load.start());
  {
    ProgressLine line(options, quiet);
    while (!load.done()) {
      std::this_thread::sleep_for(kPoll);
      line.draw(load.progress());
      if (InterruptGuard::count() > 0) {
        load.stop();
      }
    }
  }
  return load.join();
}

Status warm_up(const BenchServeOptions& o, const Target& target, RequestOptions requests) {
  if (o.warmup_requests == 0) {
    return ok_status();
  }
  requests.seed ^= uint64_t{1} << 63;  // other prompts: the measurement must not find them cached
  const RequestMaker maker(target, std::move(requests));
  LoadOptions options = load_options(o);
  options.rate.reset();
  options.concurrency = std::clamp<int64_t>(o.concurrency.value_or(1), 1, o.warmup_requests);
  options.requests = o.warmup_requests;
  options.duration_seconds = 0;
  options.ramp_up_seconds = 0;
  TUTTI_TRY(const LoadResult result, run(target, maker, options, {}, true));
  if (result.completed == 0 && !result.errors.empty()) {
    const auto& [kind, first] = *result.errors.begin();
    return error(StatusCode::kUnavailable,
                 "all {} warm-up requests failed ({}): {}",
                 result.failed,
                 kind,
                 first.example);
  }
  return ok_status();
}

Status write_json(const std::string& path, const Json& json) {
  if (path == "-") {
    std::cout << to_string(json) << "\n";
    return ok_status();
  }
  std::ofstream file(path);
  file << to_string(json) << "\n";
  file.close();
  if (!file) {
    return error(StatusCode::kInvalidArgument, "--json {}: cannot write this file", path);
  }
  return ok_status();
}

Result<bool> bench_serve(const BenchServeOptions& o) {
  TUTTI_TRY(Target target, Target::parse(o.url));
  target.api_key = o.api_key.empty() ? read_environment().api_key : o.api_key;
  TUTTI_TRY(const loadgen::Slo slo, loadgen::Slo::parse(o.slo));
  if (o.no_stream && (slo.ttft_ms || slo.tpot_ms)) {
    return invalid("--slo {}: without a stream only e2el is known; leave --no-stream out", o.slo);
  }
  TUTTI_TRY(const RequestOptions requests, request_options(o, target));
  const InterruptGuard interrupts;
  TUTTI_RETURN_IF_ERROR(warm_up(o, target, requests));
  const RequestMaker maker(target, requests);
  const LoadOptions options = load_options(o);
  loadgen::ProcessStats before;
  if (o.server_pid > 0) {
    TUTTI_TRY(before, loadgen::process_stats(o.server_pid));
  }
  TUTTI_TRY(const LoadResult result, run(target, maker, options, slo, o.quiet));
  loadgen::ReportInput report{.result = result,
                              .options = options,
                              .requests = requests,
                              .slo = slo,
                              .url = target.url(),
                              .server = {}};
  if (o.server_pid > 0) {
    TUTTI_TRY(const loadgen::ProcessStats after, loadgen::process_stats(o.server_pid));
    report.server = loadgen::ServerUse{.cpu_seconds = after.cpu_seconds - before.cpu_seconds,
                                       .resident_before = before.resident_bytes,
                                       .resident_after = after.resident_bytes};
  }
  if (o.json_file != "-") {
    std::cout << loadgen::report_table(report);
  }
  if (!o.json_file.empty()) {
    TUTTI_RETURN_IF_ERROR(write_json(o.json_file, loadgen::report_json(report)));
  }
  return result.failed == 0 && result.completed > 0;
}

}  // namespace

int bench_serve_command(const BenchServeOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);  // a server that closes is a failed request, not our end
  const Result<bool> clean = bench_serve(options);
  if (!clean.ok()) {
    return fail(clean.status());
  }
  return *clean ? 0 : 1;  // some requests failed: the table says which
}

}  // namespace tutti
