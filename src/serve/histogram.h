// A Prometheus histogram that many threads fill and any thread prints.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tutti {

class Histogram {
 public:
  /// Upper bounds of the buckets, ascending; +Inf is added. They must outlive the histogram.
  explicit Histogram(std::span<const double> bounds);

  void observe(double value, uint64_t times = 1);

  /// The _bucket, _sum and _count lines. `labels`: `a="b",c="d"`.
  void render(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::span<const double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;  // [bounds + 1], not cumulative
  std::atomic<double> sum_{0.0};
};

/// Backslash, double quote and newline, as the text format wants them in label values.
std::string escape_label(std::string_view text);

}  // namespace tutti
