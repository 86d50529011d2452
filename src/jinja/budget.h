// Limits of one template, and the error that ends its parsing or rendering.
// TemplateError is thrown inside src/jinja only; Template::parse and Template::render turn it into
// a Status.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/status.h"

namespace tutti::jinja {

struct Limits {
  int64_t max_source_bytes = int64_t{1} << 20;
  int64_t max_nodes = 200'000;  ///< parsed expressions and statements
  int max_depth = 200;          ///< nesting of the source
  int max_call_depth = 1000;    ///< nested evaluations, across macro calls
  /// Evaluated nodes, plus copied bytes / 64. A step takes some 30 ns.
  int64_t max_steps = 1'000'000;
  /// A large input may take more: see Budget::grant().
  int64_t max_granted_steps = 6'000'000;
  /// Output plus intermediate values alive at one time.
  int64_t max_bytes = int64_t{8} << 20;
  int64_t max_granted_bytes = int64_t{56} << 20;
};

/// Nesting of lists and dicts; JSON requests are parsed with the same bound.
constexpr int kMaxValueDepth = 256;

/// Line of an error that the template itself raised: its message stands alone.
constexpr int kRaisedByTemplate = -1;

struct TemplateError {
  StatusCode code = StatusCode::kInvalidArgument;
  std::string message;
  int line = 0;  ///< 0: filled in where it is caught
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError{
      StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...), 0};
}

/// Counts what one rendering used.
class Budget {
 public:
  explicit Budget(const Limits& limits)
      : limits_(limits), allowed_steps_(limits.max_steps), allowed_bytes_(limits.max_bytes) {}

  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  void step(int64_t n = 1) {
    steps_ += n;
    if (steps_ > allowed_steps_) [[unlikely]] {
      fail("the template ran longer than its limit of {} steps", allowed_steps_);
    }
  }

  /// Allows more steps and memory for an input of this many values and bytes of text: what a
  /// template does with each message is bounded, what it does without any reason is not.
  void grant(int64_t values, int64_t bytes) {
    constexpr int64_t kStepsPerValue = 100;
    constexpr int64_t kBytesPerStep = 4;
    allowed_steps_ = std::min(allowed_steps_ + values * kStepsPerValue + bytes / kBytesPerStep,
                              limits_.max_steps + limits_.max_granted_steps);
    constexpr int64_t kBytesPerValue = 256;
    constexpr int64_t kCopies = 4;  // of a text alive at one time
    allowed_bytes_ = std::min(allowed_bytes_ + values * kBytesPerValue + bytes * kCopies,
                              limits_.max_bytes + limits_.max_granted_bytes);
  }

  /// Work that is cheap per unit: copying or scanning `bytes`.
  void scan(size_t bytes) { step(static_cast<int64_t>(bytes / 64)); }

  void charge(size_t bytes) {
    bytes_ += static_cast<int64_t>(bytes);
    if (bytes_ > allowed_bytes_) [[unlikely]] {
      bytes_ -= static_cast<int64_t>(bytes);
      fail("the template's output and intermediate values passed the limit of {} bytes",
           allowed_bytes_);
    }
  }

  /// Refuses to collect this many values before they are collected and charged.
  void check_item_count(size_t count) const {
    constexpr size_t kItemBytes = 48;  // at least sizeof(Value)
    if (static_cast<int64_t>(count) > allowed_bytes_ / 2 / static_cast<int64_t>(kItemBytes)) {
      fail("a list of {} items is over the template's memory limit", count);
    }
  }

  void release(size_t bytes) noexcept { bytes_ -= static_cast<int64_t>(bytes); }

  int64_t steps() const { return steps_; }

  const Limits& limits() const { return limits_; }

 private:
  Limits limits_;
  int64_t allowed_steps_;
  int64_t allowed_bytes_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

/// Bytes held against a budget for as long as the object lives. Constants of a template and values
/// borrowed from the request hold none.
class LiveBytes {
 public:
  LiveBytes() = default;

  explicit LiveBytes(Budget& budget) : budget_(&budget) {}

  LiveBytes(LiveBytes&& other) noexcept
      : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}

  LiveBytes& operator=(LiveBytes&&) = delete;

  ~LiveBytes() {
    if (budget_ != nullptr) {
      budget_->release(bytes_);
    }
  }

  void add(size_t bytes) {
    if (budget_ != nullptr) {
      budget_->charge(bytes);
      bytes_ += bytes;
    }
  }

 private:
  Budget* budget_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tutti::jinja
