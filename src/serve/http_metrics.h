// Counters of the HTTP server and the Prometheus text of /metrics. Thread-safe.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "serve/served_models.h"

namespace tutti {

class HttpMetrics {
 public:
  /// `route` is a path of the route table, so that clients cannot invent label values.
  void count_request(const char* route, int status);

  std::atomic<int64_t> connections_open{0};
  std::atomic<uint64_t> connections_total{0};
  std::atomic<uint64_t> connections_refused{0};  ///< over a connection limit
  std::atomic<uint64_t> disconnects{0};          ///< clients that left before their reply was whole
  std::atomic<uint64_t> slow_clients{0};         ///< replies ended because nobody read them
  std::atomic<uint64_t> unknown_fields{0};       ///< request fields in no table

  /// Prometheus text format 0.0.4.
  std::string render(const ServedModels& models) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
};

}  // namespace tutti
