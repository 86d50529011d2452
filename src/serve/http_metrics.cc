#include "serve/http_metrics.h"

#include <fmt/format.h>

#include "serve/gpu_metrics.h"

namespace tutti {

namespace {

struct EngineMetric {
  MetricInfo info;
  double (*value)(const EngineStats&);
};

template <auto member>
double field(const EngineStats& stats) {
  return static_cast<double>(stats.*member);
}

double kv_usage(const EngineStats& stats) {
  return stats.kv_blocks_total == 0 ? 0.0
                                    : static_cast<double>(stats.kv_blocks_used) /
                                          static_cast<double>(stats.kv_blocks_total);
}

using S = EngineStats;

// Names follow vLLM's, with our prefix, so that its dashboards need one replacement.
constexpr EngineMetric kEngineMetrics[] = {
    // clang-format off
    {{"num_requests_running", "gauge", "model_name", "Sequences that are being generated."}, field<&S::requests_running>},
    {{"num_requests_waiting", "gauge", "model_name", "Sequences that wait for room."}, field<&S::requests_waiting>},
    {{"kv_cache_usage_perc", "gauge", "model_name", "Share of KV blocks in use, 0 to 1."}, kv_usage},
    {{"kv_cache_blocks", "gauge", "model_name", "KV blocks there are."}, field<&S::kv_blocks_total>},
    {{"kv_cache_blocks_cached", "gauge", "model_name", "KV blocks kept only for their content."}, field<&S::kv_blocks_cached>},
    {{"prefix_cache_queries_total", "counter", "model_name", "Prompt tokens looked up in the prefix cache."}, field<&S::prefix_cache_queries>},
    {{"prefix_cache_hits_total", "counter", "model_name", "Prompt tokens found in the prefix cache."}, field<&S::prefix_cache_hits>},
    {{"prompt_tokens_total", "counter", "model_name", "Prompt tokens processed."}, field<&S::prompt_tokens>},
    {{"generation_tokens_total", "counter", "model_name", "Tokens generated."}, field<&S::generated_tokens>},
    {{"num_preemptions_total", "counter", "model_name", "Sequences that lost their KV blocks to others."}, field<&S::preemptions>},
    {{"general_kernel_calls", "gauge", "model_name", "Operations of the steps that were run at load which only a general kernel takes: right but slow."}, field<&S::general_kernel_calls>},
    {{"engine_steps_total", "counter", "model_name", "Model steps."}, field<&S::steps>},
    {{"engine_steps_lost_total", "counter", "model_name", "Model steps that were lost alone: their sequences ended with an error, and the model went on."}, field<&S::steps_lost>},
    // clang-format on
};

constexpr MetricInfo kStepSeconds = {"engine_step_seconds_total",
                                     "counter",
                                     "model_name, phase (schedule, model, commit)",
                                     "Seconds of all steps, by what the engine thread did."};
constexpr MetricInfo kSuccess = {"request_success_total",
                                 "counter",
                                 "model_name, finished_reason (stop, length, abort, error)",
                                 "Choices that ended, by reason."};

// Bounds are vLLM's, and some below them: small models on a CPU are that fast.
constexpr double kFirstTokenBounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                        0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                        20,    40,    80,   160,  640,  2560};
constexpr double kTokenBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                   0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5,
                                   5,     7.5,    10,    20,   40,    80};
constexpr double kRequestBounds[] = {0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1,    1.5,
                                     2,    2.5,  5,   10,  15,  20,  30,   40,
                                     50,   60,   120, 240, 480, 960, 1920, 7680};
constexpr double kLengthBounds[] = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};

struct HistogramMetric {
  MetricInfo info;
  Histogram ModelMetrics::*member;
};

constexpr HistogramMetric kHistograms[] = {
    // clang-format off
    {{"time_to_first_token_seconds", "histogram", "model_name", "From the request's first byte to its first token."}, &ModelMetrics::time_to_first_token},
    {{"inter_token_latency_seconds", "histogram", "model_name", "Between two tokens of a choice."}, &ModelMetrics::inter_token_latency},
    {{"request_time_per_output_token_seconds", "histogram", "model_name", "Mean time of a request's tokens after its first."}, &ModelMetrics::time_per_output_token},
    {{"e2e_request_latency_seconds", "histogram", "model_name", "From the request's first byte to its last token."}, &ModelMetrics::e2e_latency},
    {{"request_prompt_tokens", "histogram", "model_name", "Prompt tokens of a request."}, &ModelMetrics::prompt_tokens},
    {{"request_generation_tokens", "histogram", "model_name", "Generated tokens of a request."}, &ModelMetrics::generation_tokens},
    // clang-format on
};

constexpr MetricInfo kRequests = {
    "http_requests_total", "counter", "route, code", "HTTP requests answered."};
constexpr MetricInfo kRejected = {"http_requests_rejected_total",
                                  "counter",
                                  "reason (the code of the error)",
                                  "HTTP requests answered with an error."};
constexpr MetricInfo kConnections = {"http_connections", "gauge", "", "Open connections."};

struct HttpCounter {
  MetricInfo info;
  std::atomic<uint64_t> HttpMetrics::*member;
};

constexpr HttpCounter kCounters[] = {
    // clang-format off
    {{"http_connections_total", "counter", "", "Connections accepted."}, &HttpMetrics::connections_total},
    {{"http_connections_over_limit_total", "counter", "", "Connections over a limit, answered as probes only."}, &HttpMetrics::connections_over_limit},
    {{"http_disconnects_total", "counter", "", "Clients that left before their reply was whole."}, &HttpMetrics::disconnects},
    {{"http_slow_clients_total", "counter", "", "Replies ended because nobody read them."}, &HttpMetrics::slow_clients},
    {{"http_unknown_fields_total", "counter", "", "Request fields no table knows."}, &HttpMetrics::unknown_fields},
    // clang-format on
};

void append_head(std::string& out, const MetricInfo& info) {
  out += fmt::format(
      "# HELP tutti:{} {}\n# TYPE tutti:{} {}\n", info.name, info.help, info.name, info.type);
}

std::string model_label(const std::string& id) {
  return fmt::format("model_name=\"{}\"", escape_label(id));
}

void append_engines(std::string& out, const ServedModels& models) {
  std::vector<std::pair<std::string, EngineStats>> snapshots;
  for (const auto& model : models.all()) {
    snapshots.emplace_back(model_label(model->info().id), model->stats());
  }
  for (const EngineMetric& metric : kEngineMetrics) {
    append_head(out, metric.info);
    for (const auto& [label, stats] : snapshots) {
      out += fmt::format("tutti:{}{{{}}} {}\n", metric.info.name, label, metric.value(stats));
    }
  }
  append_head(out, kStepSeconds);
  for (const auto& [label, stats] : snapshots) {
    const std::pair<const char*, double> phases[] = {{"schedule", stats.step_schedule_seconds},
                                                     {"model", stats.step_model_seconds},
                                                     {"commit", stats.step_commit_seconds}};
    for (const auto& [phase, seconds] : phases) {
      out +=
          fmt::format("tutti:{}{{{},phase=\"{}\"}} {}\n", kStepSeconds.name, label, phase, seconds);
    }
  }
}

}  // namespace

ModelMetrics::ModelMetrics()
    : time_to_first_token(kFirstTokenBounds),
      inter_token_latency(kTokenBounds),
      time_per_output_token(kTokenBounds),
      e2e_latency(kRequestBounds),
      prompt_tokens(kLengthBounds),
      generation_tokens(kLengthBounds) {}

std::vector<MetricInfo> metric_rows() {
  std::vector<MetricInfo> rows;
  for (const EngineMetric& metric : kEngineMetrics) {
    rows.push_back(metric.info);
  }
  rows.push_back(kStepSeconds);
  rows.push_back(kSuccess);
  for (const HistogramMetric& metric : kHistograms) {
    rows.push_back(metric.info);
  }
  rows.push_back(kRequests);
  rows.push_back(kRejected);
  rows.push_back(kConnections);
  for (const HttpCounter& counter : kCounters) {
    rows.push_back(counter.info);
  }
  const std::vector<MetricInfo> gpus = gpu_metric_rows();
  rows.insert(rows.end(), gpus.begin(), gpus.end());
  return rows;
}

void HttpMetrics::count_request(const char* route, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
}

void HttpMetrics::count_rejected(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  ++rejected_[reason];
}

std::shared_ptr<ModelMetrics> HttpMetrics::model(const std::string& id) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<ModelMetrics>& found = models_[id];
  if (found == nullptr) {
    found = std::make_shared<ModelMetrics>();
  }
  return found;
}

void HttpMetrics::render_histograms(std::string& out) const {
  constexpr const char* kReasons[ModelMetrics::kEnds] = {"stop", "length", "abort", "error"};
  append_head(out, kSuccess);
  for (const auto& [id, metrics] : models_) {
    for (size_t i = 0; i < ModelMetrics::kEnds; ++i) {
      out += fmt::format("tutti:{}{{{},finished_reason=\"{}\"}} {}\n",
                         kSuccess.name,
                         model_label(id),
                         kReasons[i],
                         metrics->ended[i].load());
    }
  }
  for (const HistogramMetric& metric : kHistograms) {
    append_head(out, metric.info);
    for (const auto& [id, metrics] : models_) {
      ((*metrics).*metric.member)
          .render(out, fmt::format("tutti:{}", metric.info.name), model_label(id));
    }
  }
}

void HttpMetrics::render_requests(std::string& out) const {
  append_head(out, kRequests);
  for (const auto& [key, count] : requests_) {
    out += fmt::format(
        "tutti:{}{{route=\"{}\",code=\"{}\"}} {}\n", kRequests.name, key.first, key.second, count);
  }
  append_head(out, kRejected);
  for (const auto& [reason, count] : rejected_) {
    out +=
        fmt::format("tutti:{}{{reason=\"{}\"}} {}\n", kRejected.name, escape_label(reason), count);
  }
}

std::string HttpMetrics::render(const ServedModels& models, const GpuStatus& gpus) const {
  std::string out;
  append_engines(out, models);
  {
    const std::lock_guard lock(mutex_);
    render_histograms(out);
    render_requests(out);
  }
  append_head(out, kConnections);
  out += fmt::format("tutti:{} {}\n", kConnections.name, connections_open.load());
  for (const HttpCounter& counter : kCounters) {
    append_head(out, counter.info);
    out += fmt::format("tutti:{} {}\n", counter.info.name, (this->*counter.member).load());
  }
  append_gpu_metrics(out, gpus);
  return out;
}

}  // namespace tutti
