// Mean and percentiles of measured values.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tutti::loadgen {

struct Summary {
  int64_t count = 0;
  double mean = 0;
  double stddev = 0;  ///< of the population
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double max = 0;
};

/// Linear interpolation between the closest ranks (type 7 of Hyndman and Fan 1996, the default of
/// NumPy). `sorted` ascending; `share` in [0, 1]. 0 for no values.
double percentile(std::span<const float> sorted, double share);

/// All zero for no values.
Summary summarize(std::vector<float> values);

}  // namespace tutti::loadgen
