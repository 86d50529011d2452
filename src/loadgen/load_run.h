// Loads an endpoint with requests and measures the replies.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loadgen/request_maker.h"
#include "loadgen/target.h"

namespace tutti::loadgen {

using http::Clock;

struct LoadOptions {
  /// Closed loop: each of this many connections sends its next request when a reply has ended.
  /// With a rate: at most so many requests at once, others wait for their turn; 0 = no bound.
  int64_t concurrency = 1;
  std::optional<double> rate;    ///< Poisson arrivals, requests per second
  int64_t requests = 0;          ///< 0 = no bound
  double duration_seconds = 0;   ///< no request starts later; 0 = no bound
  double ramp_up_seconds = 0;    ///< closed loop: connections start evenly over this time
  double timeout_seconds = 600;  ///< of one request
  int threads = 1;
};

/// Service level objectives in milliseconds; a request that meets all of them is good.
struct Slo {
  std::optional<double> ttft_ms;
  std::optional<double> tpot_ms;
  std::optional<double> e2el_ms;

  bool any() const { return ttft_ms || tpot_ms || e2el_ms; }

  /// "ttft:500,tpot:50,e2el:20000"
  static Result<Slo> parse(const std::string& text);
};

/// Sees every piece of text. Called on the client's threads, for one request in order.
class ChunkObserver {
 public:
  virtual ~ChunkObserver() = default;
  virtual void on_text(int64_t request, std::string_view text, Clock::time_point arrival) = 0;
};

struct ErrorCount {
  int64_t count = 0;
  std::string example;  ///< what was said the first time
};

struct LoadResult {
  double seconds = 0;  ///< from the first request's start to the last one's end
  double client_cpu_seconds = 0;
  int64_t completed = 0;
  int64_t failed = 0;
  std::map<std::string, ErrorCount> errors;
  int64_t good = 0;  ///< completed requests that met the SLO
  int64_t input_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t output_tokens = 0;
  int64_t chunks = 0;         ///< events with text, of completed requests
  int64_t without_usage = 0;  ///< completed replies that did not say how many tokens they hold
  int64_t peak_concurrent = 0;
  int64_t peak_chunks_per_second = 0;  ///< of whole seconds of the run
  std::vector<float> ttft_ms;          ///< streams with text; these of completed requests
  std::vector<float> tpot_ms;          ///< streams with at least two tokens
  std::vector<float> e2el_ms;
  std::vector<float> itl_ms;  ///< gaps between chunks, of all streams
};

struct LoadProgress {
  int64_t completed = 0;
  int64_t failed = 0;
  int64_t running = 0;
  int64_t chunks = 0;
};

class LoadRun {
 public:
  /// Borrowed objects must outlive the run.
  LoadRun(const Target& target,
          const RequestMaker& requests,
          const LoadOptions& options,
          const Slo& slo = {},
          ChunkObserver* observer = nullptr);
  ~LoadRun();
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  /// Errors: the host is unknown, too few file descriptors.
  Status start();

  LoadProgress progress() const;
  bool done() const;

  /// Ends the requests under way, which then count neither as completed nor as failed. Any thread.
  void stop();

  /// Waits until all threads are done.
  LoadResult join();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti::loadgen
