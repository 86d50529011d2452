#include "engine/ranks/op_timer.h"

#include <algorithm>

namespace tutti {

namespace {

constexpr size_t kEmpty = 16;  // measurements of nothing, first in every pass
constexpr double kHoldSeconds = 0.02;

}  // namespace

Timer& OpTimer::timer(size_t i) {
  while (timers_.size() <= i) {
    timers_.push_back(rank_.device.new_timer());
  }
  return *timers_[i];
}

Status OpTimer::start_pass() {
  pass_.clear();
  TUTTI_RETURN_IF_ERROR(rank_.device.pause(rank_.stream, kHoldSeconds));
  for (size_t i = 0; i < kEmpty; ++i) {
    TUTTI_RETURN_IF_ERROR(timer(i).start(rank_.stream));
    TUTTI_RETURN_IF_ERROR(timer(i).stop(rank_.stream));
  }
  return ok_status();
}

void OpTimer::keep(Status status) {
  if (status_.ok()) {
    status_ = std::move(status);
  }
}

void OpTimer::begin() {
  keep(timer(kEmpty + pass_.size()).start(rank_.stream));
}

void OpTimer::end(OpCost cost) {
  keep(timer(kEmpty + pass_.size()).stop(rank_.stream));
  pass_.push_back({std::move(cost)});
}

Result<double> OpTimer::empty_seconds() const {
  std::vector<double> empty;
  for (size_t i = 0; i < kEmpty; ++i) {
    TUTTI_TRY(const double seconds, timers_[i]->seconds());
    empty.push_back(seconds);
  }
  std::sort(empty.begin(), empty.end());
  return empty[kEmpty / 2];
}

Status OpTimer::finish_pass() {
  TUTTI_RETURN_IF_ERROR(rank_.stream.synchronize());
  TUTTI_RETURN_IF_ERROR(status_);
  TUTTI_TRY(const double empty, empty_seconds());
  for (size_t i = 0; i < pass_.size(); ++i) {
    TUTTI_TRY(const double seconds, timers_[kEmpty + i]->seconds());
    pass_[i].seconds = std::max(0.0, seconds - empty);
  }
  if (best_.empty()) {
    best_ = pass_;
    return ok_status();
  }
  TUTTI_CHECK_EQ(best_.size(), pass_.size());
  for (size_t i = 0; i < pass_.size(); ++i) {
    best_[i].seconds = std::min(best_[i].seconds, pass_[i].seconds);
  }
  return ok_status();
}

std::vector<OpTiming> OpTimer::timings() const {
  std::vector<OpTiming> out;
  for (const Call& call : best_) {
    auto at = std::find_if(
        out.begin(), out.end(), [&](const OpTiming& t) { return t.op == call.cost.op; });
    if (at == out.end()) {
      at = out.insert(out.end(), {.op = call.cost.op});
    }
    ++at->calls;
    at->seconds += call.seconds;
    at->bytes += call.cost.bytes;
    at->flops += call.cost.flops;
    at->expert_flops += call.cost.expert_flops;
  }
  return out;
}

}  // namespace tutti
