#include "loadgen/statistics.h"

#include <algorithm>
#include <cmath>

namespace tutti::loadgen {

double percentile(std::span<const float> sorted, double share) {
  if (sorted.empty()) {
    return 0;
  }
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double low = sorted[below];
  return low + (static_cast<double>(sorted[above]) - low) * (rank - static_cast<double>(below));
}

Summary summarize(std::vector<float> values) {
  Summary out;
  if (values.empty()) {
    return out;
  }
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const float value : values) {
    sum += value;
  }
  out.mean = sum / count;
  double squares = 0;
  for (const float value : values) {
    squares += (value - out.mean) * (value - out.mean);
  }
  out.count = static_cast<int64_t>(values.size());
  out.stddev = std::sqrt(squares / count);
  out.p50 = percentile(values, 0.50);
  out.p90 = percentile(values, 0.90);
  out.p95 = percentile(values, 0.95);
  out.p99 = percentile(values, 0.99);
  out.max = values.back();
  return out;
}

}  // namespace tutti::loadgen
