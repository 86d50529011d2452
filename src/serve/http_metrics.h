// Counters of the HTTP server and the Prometheus text of /metrics. Thread-safe.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "serve/histogram.h"
#include "serve/served_models.h"
#include "watch/gpu_status.h"

namespace tutti {

/// One line of the table in docs/serving.md.
struct MetricInfo {
  const char* name;  ///< without the prefix "tutti:"
  const char* type;  ///< counter, gauge or histogram
  const char* labels;
  const char* help;
};

/// Every metric there is, in the order of /metrics.
std::vector<MetricInfo> metric_rows();

/// How the requests of one model went.
struct ModelMetrics {
  enum class End { kStop, kLength, kAbort, kError };
  static constexpr size_t kEnds = 4;

  ModelMetrics();

  Histogram time_to_first_token;
  Histogram inter_token_latency;
  Histogram time_per_output_token;
  Histogram e2e_latency;
  Histogram prompt_tokens;
  Histogram generation_tokens;
  std::array<std::atomic<uint64_t>, kEnds> ended{};

  void count_end(End end) { ++ended[static_cast<size_t>(end)]; }
};

class HttpMetrics {
 public:
  /// `route` is a path of the route table, so that clients cannot invent label values.
  void count_request(const char* route, int status);
  /// `reason` is an ApiError::code, for the same reason.
  void count_rejected(const std::string& reason);

  /// Those of a model that is served; made at first use.
  std::shared_ptr<ModelMetrics> model(const std::string& id);

  std::atomic<int64_t> connections_open{0};
  std::atomic<uint64_t> connections_total{0};
  std::atomic<uint64_t> connections_over_limit{0};  ///< answered as probes only
  std::atomic<uint64_t> disconnects{0};     ///< clients that left before their reply was whole
  std::atomic<uint64_t> slow_clients{0};    ///< replies ended because nobody read them
  std::atomic<uint64_t> unknown_fields{0};  ///< request fields in no table

  /// Prometheus text format 0.0.4.
  std::string render(const ServedModels& models, const GpuStatus& gpus) const;

 private:
  void render_histograms(std::string& out) const;
  void render_requests(std::string& out) const;

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  std::map<std::string, uint64_t> rejected_;
  std::map<std::string, std::shared_ptr<ModelMetrics>> models_;
};

}  // namespace tutti
