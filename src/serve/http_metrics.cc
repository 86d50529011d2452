#include "serve/http_metrics.h"

#include <vector>

#include <fmt/format.h>

namespace tutti {

namespace {

struct ModelMetric {
  const char* name;
  const char* type;
  const char* help;
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

// Names follow vLLM's, with our prefix, so that its dashboards need one replacement.
constexpr ModelMetric kModelMetrics[] = {
    {"num_requests_running",
     "gauge",
     "Sequences that are being generated.",
     field<&EngineStats::requests_running>},
    {"num_requests_waiting",
     "gauge",
     "Sequences that wait for room.",
     field<&EngineStats::requests_waiting>},
    {"kv_cache_usage_perc", "gauge", "Share of KV blocks in use, 0 to 1.", kv_usage},
    {"kv_cache_blocks", "gauge", "KV blocks there are.", field<&EngineStats::kv_blocks_total>},
    {"prompt_tokens_total",
     "counter",
     "Prompt tokens processed.",
     field<&EngineStats::prompt_tokens>},
    {"generation_tokens_total",
     "counter",
     "Tokens generated.",
     field<&EngineStats::generated_tokens>},
    {"request_success_total",
     "counter",
     "Requests that finished.",
     field<&EngineStats::requests_finished>},
    {"request_cancelled_total",
     "counter",
     "Requests that were cancelled.",
     field<&EngineStats::requests_cancelled>},
    {"request_failed_total",
     "counter",
     "Requests that ended with an error.",
     field<&EngineStats::requests_failed>},
    {"engine_steps_total", "counter", "Model steps.", field<&EngineStats::steps>},
    {"num_preemptions_total",
     "counter",
     "Sequences that lost their KV blocks to others.",
     field<&EngineStats::preemptions>},
};

std::string escape_label(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

void append_head(std::string& out, const char* name, const char* type, const char* help) {
  out += fmt::format("# HELP tutti:{} {}\n# TYPE tutti:{} {}\n", name, help, name, type);
}

void append_models(std::string& out, const ServedModels& models) {
  struct Snapshot {
    std::string label;
    EngineStats stats;
  };

  std::vector<Snapshot> snapshots;
  for (const ServedModel& served : models.all()) {
    snapshots.push_back({escape_label(served.model->info().id), served.model->stats()});
  }
  for (const ModelMetric& metric : kModelMetrics) {
    append_head(out, metric.name, metric.type, metric.help);
    for (const Snapshot& snapshot : snapshots) {
      out += fmt::format("tutti:{}{{model_name=\"{}\"}} {}\n",
                         metric.name,
                         snapshot.label,
                         metric.value(snapshot.stats));
    }
  }
}

}  // namespace

void HttpMetrics::count_request(const char* route, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
}

std::string HttpMetrics::render(const ServedModels& models) const {
  std::string out;
  append_models(out, models);
  append_head(out, "http_requests_total", "counter", "HTTP requests answered.");
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, count] : requests_) {
      out += fmt::format("tutti:http_requests_total{{route=\"{}\",code=\"{}\"}} {}\n",
                         key.first,
                         key.second,
                         count);
    }
  }
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    append_head(out, name, "counter", help);
    out += fmt::format("tutti:{} {}\n", name, value);
  };
  append_head(out, "http_connections", "gauge", "Open connections.");
  out += fmt::format("tutti:http_connections {}\n", connections_open.load());
  counter("http_connections_total", "Connections accepted.", connections_total.load());
  counter(
      "http_connections_refused_total", "Connections over a limit.", connections_refused.load());
  counter("http_disconnects_total",
          "Clients that left before their reply was whole.",
          disconnects.load());
  counter(
      "http_slow_clients_total", "Replies ended because nobody read them.", slow_clients.load());
  counter("http_unknown_fields_total", "Request fields no table knows.", unknown_fields.load());
  return out;
}

}  // namespace tutti
