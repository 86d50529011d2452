#include "loadgen/load_report.h"

#include <array>

#include "base/units.h"
#include "loadgen/statistics.h"

namespace tutti::loadgen {

namespace {

constexpr size_t kWidth = 56;

struct Metric {
  const char* key;    // "ttft"
  const char* title;  // "Time to First Token"
  const char* name;   // "TTFT"
  const std::vector<float>& values;
};

std::array<Metric, 4> metrics(const LoadResult& r) {
  return {{{"ttft", "Time to First Token", "TTFT", r.ttft_ms},
           {"tpot", "Time per Output Token (excl. 1st token)", "TPOT", r.tpot_ms},
           {"itl", "Inter-token Latency", "ITL", r.itl_ms},
           {"e2el", "End-to-end Latency", "E2EL", r.e2el_ms}}};
}

double per_second(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
}

// Where the numbers of output tokens come from.
const char* token_source(const LoadResult& r) {
  return r.without_usage == 0             ? "usage"
         : r.without_usage == r.completed ? "chunks"
                                          : "usage and chunks";
}

const char* input_source(const LoadResult& r, const RequestOptions& requests) {
  return r.without_usage == 0 ? "usage" : requests.token_ids ? "ids sent" : "words sent";
}

double microseconds_per_chunk(double cpu_seconds, const LoadResult& r) {
  return r.chunks > 0 ? cpu_seconds * 1e6 / static_cast<double>(r.chunks) : 0.0;
}

std::string rule(std::string_view title, char fill) {
  const size_t rest = kWidth - title.size();
  return fmt::format(
      "{}{}{}\n", std::string(rest / 2, fill), title, std::string(rest - rest / 2, fill));
}

// Whether more of the input was in the server's cache than requests were asked to share. Of words
// nobody knows how many tokens they are, nor what a chat template puts before them.
bool came_from_cache(const ReportInput& in) {
  const RequestOptions& o = in.requests;
  const auto cached = static_cast<double>(in.result.cached_tokens);
  const auto input = static_cast<double>(in.result.input_tokens);
  const auto shared = static_cast<double>(o.shared_prefix);
  if (o.token_ids) {
    return cached - shared * static_cast<double>(in.result.completed) > input / 10;
  }
  const double share = shared / (shared + static_cast<double>(o.input_length.high()));
  return cached > input * (1 + share) / 2;
}

}  // namespace

std::string report_table(const ReportInput& in) {
  const LoadResult& r = in.result;
  std::string out = rule(" Serving Benchmark Result ", '=');
  const auto text = [&out](std::string_view name, std::string_view value) {
    out += fmt::format("{:<40} {:>15}\n", name, value);
  };
  const auto count = [&text](std::string_view name, int64_t value) {
    text(name, fmt::format("{}", value));
  };
  const auto number = [&text](std::string_view name, double value) {
    text(name, fmt::format("{:.2f}", value));
  };
  count("Successful requests:", r.completed);
  count("Failed requests:", r.failed);
  if (in.options.rate) {
    number("Request rate configured (RPS):", *in.options.rate);
  }
  if (in.options.concurrency > 0) {
    count("Maximum request concurrency:", in.options.concurrency);
  }
  count("Peak concurrent requests:", r.peak_concurrent);
  number("Benchmark duration (s):", r.seconds);
  text("Seed:", fmt::format("{}", in.requests.seed));
  count("Total input tokens:", r.input_tokens);
  if (r.cached_tokens > 0) {
    count("Total cached input tokens:", r.cached_tokens);
  }
  count("Total generated tokens:", r.output_tokens);
  text("Tokens counted from:", token_source(r));
  number("Request throughput (req/s):", per_second(r.completed, r.seconds));
  if (in.slo.any()) {
    number("Request goodput (req/s):", per_second(r.good, r.seconds));
  }
  number("Output token throughput (tok/s):", per_second(r.output_tokens, r.seconds));
  if (in.requests.stream) {
    count("Peak chunk throughput (chunks/s):", r.peak_chunks_per_second);
  }
  number("Total token throughput (tok/s):",
         per_second(r.input_tokens + r.output_tokens, r.seconds));
  text("Client CPU:", format_seconds(r.client_cpu_seconds));
  if (r.chunks > 0) {
    number("Client CPU per chunk (us):", microseconds_per_chunk(r.client_cpu_seconds, r));
  }
  if (in.server) {
    text("Server CPU:", format_seconds(in.server->cpu_seconds));
    if (r.chunks > 0) {
      number("Server CPU per chunk (us):", microseconds_per_chunk(in.server->cpu_seconds, r));
    }
    text("Server memory before:", format_bytes(in.server->resident_before));
    text("Server memory after:", format_bytes(in.server->resident_after));
  }
  for (const Metric& metric : metrics(r)) {
    const Summary s = summarize(metric.values);
    if (s.count == 0) {
      continue;
    }
    out += rule(metric.title, '-');
    const auto line = [&](std::string_view what, double value) {
      number(fmt::format("{} {} (ms):", what, metric.name), value);
    };
    line("Mean", s.mean);
    line("Median", s.p50);
    line("P90", s.p90);
    line("P95", s.p95);
    line("P99", s.p99);
    line("Max", s.max);
  }
  if (!r.errors.empty()) {
    out += rule("Errors", '-');
    for (const auto& [kind, error] : r.errors) {
      count(kind + ":", error.count);
      out += fmt::format("  {}\n", error.example);
    }
  }
  if (came_from_cache(in)) {
    out += rule(" PROMPTS CAME FROM THE CACHE ", '!');
    out += fmt::format(
        "{} of {} input tokens were in the server's cache: it had seen these\nprompts. {}\n",
        r.cached_tokens,
        r.input_tokens,
        in.requests.dataset != nullptr
            ? "A dataset with more prompts than requests sends each once."
            : "Another seed, or none, sends others.");
  }
  return out + rule("", '=');
}

Json report_json(const ReportInput& in) {
  const LoadResult& r = in.result;
  const auto optional = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  Json out = Json::object(
      {{"backend", "openai"},
       {"url", in.url},
       {"endpoint_type",
        in.requests.endpoint == Endpoint::kChat ? "openai-chat" : "openai-completions"},
       {"model_id", in.requests.model},
       {"seed", static_cast<int64_t>(in.requests.seed)},
       {"stream", in.requests.stream},
       {"request_rate", optional(in.options.rate)},
       {"max_concurrency",
        in.options.concurrency > 0 ? Json(in.options.concurrency) : Json(nullptr)},
       {"max_concurrent_requests", r.peak_concurrent},
       {"duration", r.seconds},
       {"completed", r.completed},
       {"failed", r.failed},
       {"total_input_tokens", r.input_tokens},
       {"total_cached_tokens", r.cached_tokens},
       {"total_output_tokens", r.output_tokens},
       {"output_tokens_from", token_source(r)},
       {"input_tokens_from", input_source(r, in.requests)},
       {"total_chunks", r.chunks},
       {"request_throughput", per_second(r.completed, r.seconds)},
       {"request_goodput", in.slo.any() ? Json(per_second(r.good, r.seconds)) : Json(nullptr)},
       {"slo_ms",
        Json::object({{"ttft", optional(in.slo.ttft_ms)},
                      {"tpot", optional(in.slo.tpot_ms)},
                      {"e2el", optional(in.slo.e2el_ms)}})},
       {"output_throughput", per_second(r.output_tokens, r.seconds)},
       {"max_chunks_per_s", r.peak_chunks_per_second},
       {"total_token_throughput", per_second(r.input_tokens + r.output_tokens, r.seconds)},
       {"client_cpu_seconds", r.client_cpu_seconds}});
  JsonObject& object = out.as_object();
  if (in.server) {
    object.set("server_cpu_seconds", in.server->cpu_seconds);
    object.set("server_resident_bytes_before", in.server->resident_before);
    object.set("server_resident_bytes_after", in.server->resident_after);
  }
  for (const Metric& metric : metrics(r)) {
    const Summary s = summarize(metric.values);
    if (s.count == 0) {
      continue;
    }
    const auto set = [&](const char* what, double value) {
      object.set(fmt::format("{}_{}_ms", what, metric.key), value);
    };
    set("mean", s.mean);
    set("median", s.p50);
    set("std", s.stddev);
    set("p90", s.p90);
    set("p95", s.p95);
    set("p99", s.p99);
    set("max", s.max);
  }
  Json errors = Json::object();
  for (const auto& [kind, error] : r.errors) {
    errors.as_object().set(kind,
                           Json::object({{"count", error.count}, {"example", error.example}}));
  }
  object.set("errors", std::move(errors));
  return out;
}

}  // namespace tutti::loadgen
