// What happened to one request inside the model: times for the histograms, counts for its log line.
// Filled where pieces arrive, so a slow client does not look like a slow model.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/language_model.h"
#include "serve/http_metrics.h"

namespace tutti {

class GenerationWatch {
 public:
  using Clock = std::chrono::steady_clock;

  struct Request {
    std::string model;
    Clock::time_point begun;
    int32_t generations = 1;    ///< one per prompt
    int32_t choices = 1;        ///< of all prompts
    int64_t prompt_tokens = 0;  ///< of all prompts
  };

  GenerationWatch(std::shared_ptr<ModelMetrics> metrics, Request request);

  // From the sinks, on the model's delivery thread.
  void on_delta(const GenerationDelta& delta);
  void on_done(const GenerationUsage& usage);
  /// `unfinished`: choices of this generation that had not ended.
  void on_error(const Status& status, int32_t unfinished);

  struct Facts {
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;  ///< known at the end only
    int64_t generated_tokens = 0;
    std::optional<double> first_token_seconds;  ///< since the request began
    double decode_seconds = 0.0;                ///< from the first token to the last
    std::string finish;  ///< of the choice that ended last; "" while none has
  };

  Facts facts() const;

  const std::string& model() const { return request_.model; }

 private:
  const std::shared_ptr<ModelMetrics> metrics_;
  const Request request_;
  mutable std::mutex mutex_;
  std::vector<Clock::time_point> last_;  // token of each choice; zero before its first
  Clock::time_point first_token_{};
  Clock::time_point last_token_{};
  int32_t open_;
  int64_t seen_tokens_ = 0;
  GenerationUsage usage_;
  bool failed_ = false;
  std::string finish_;
};

}  // namespace tutti
