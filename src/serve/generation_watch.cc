#include "serve/generation_watch.h"

#include <algorithm>

namespace tutti {

namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

GenerationWatch::GenerationWatch(std::shared_ptr<ModelMetrics> metrics, Request request)
    : metrics_(std::move(metrics)),
      request_(std::move(request)),
      last_(static_cast<size_t>(request_.choices)),
      open_(request_.generations) {}

void GenerationWatch::on_delta(const GenerationDelta& delta) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  if (delta.finish && *delta.finish != FinishReason::kCancelled) {
    const bool stop = *delta.finish == FinishReason::kStop;
    metrics_->count_end(stop ? ModelMetrics::End::kStop : ModelMetrics::End::kLength);
    finish_ = to_string(*delta.finish);
  }
  if (delta.tokens.empty()) {
    return;
  }
  const size_t tokens = delta.tokens.size();
  seen_tokens_ += static_cast<int64_t>(tokens);
  if (first_token_ == Clock::time_point()) {
    first_token_ = now;
    metrics_->time_to_first_token.observe(seconds(now - request_.begun));
  }
  Clock::time_point& last = last_[static_cast<size_t>(delta.choice)];
  if (last != Clock::time_point()) {
    metrics_->inter_token_latency.observe(seconds(now - last) / static_cast<double>(tokens),
                                          tokens);
  }
  last = now;
  last_token_ = now;
}

void GenerationWatch::on_done(const GenerationUsage& usage) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  usage_.cached_prompt_tokens += usage.cached_prompt_tokens;
  usage_.completion_tokens += usage.completion_tokens;
  if (--open_ > 0 || failed_) {
    return;
  }
  metrics_->e2e_latency.observe(seconds(now - request_.begun));
  metrics_->prompt_tokens.observe(static_cast<double>(request_.prompt_tokens));
  metrics_->generation_tokens.observe(static_cast<double>(usage_.completion_tokens));
  const int64_t later = usage_.completion_tokens - request_.choices;
  if (later > 0) {
    // Choices run side by side: each has its share of the later tokens.
    metrics_->time_per_output_token.observe(seconds(last_token_ - first_token_) * request_.choices /
                                            static_cast<double>(later));
  }
}

void GenerationWatch::on_error(const Status& status, int32_t unfinished) {
  const bool abort = status.code() == StatusCode::kCancelled;
  const std::lock_guard lock(mutex_);
  --open_;
  failed_ = true;
  for (int32_t i = 0; i < unfinished; ++i) {
    metrics_->count_end(abort ? ModelMetrics::End::kAbort : ModelMetrics::End::kError);
  }
  finish_ = mapping(status.code()).name;
}

GenerationWatch::Facts GenerationWatch::facts() const {
  const std::lock_guard lock(mutex_);
  Facts facts;
  facts.prompt_tokens = request_.prompt_tokens;
  facts.cached_tokens = usage_.cached_prompt_tokens;
  facts.generated_tokens = std::max(seen_tokens_, usage_.completion_tokens);
  if (first_token_ != Clock::time_point()) {
    facts.first_token_seconds = seconds(first_token_ - request_.begun);
    facts.decode_seconds = seconds(last_token_ - first_token_);
  }
  facts.finish = finish_;
  return facts;
}

}  // namespace tutti
