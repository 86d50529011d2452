// The only place that divides by the number of ranks.
#pragma once
#include <cstdint>
#include <string>

#include "base/status.h"
#include "tensor/weight_format.h"

namespace tutti {

struct Range {
  int64_t begin = 0;
  int64_t count = 0;

  int64_t end() const { return begin + count; }

  bool operator==(const Range&) const = default;
};

/// Which part of a split dimension one rank of a group owns.
class Partition {
 public:
  /// `weights`: of the format that the checkpoint's weights are in.
  Partition(int rank, int ranks, const WeightUnits& weights = {})
      : rank_(rank), ranks_(ranks), weights_(weights) {}

  /// Whole units that must divide evenly, as attention heads do: rank r owns units [r*n/R,
  /// (r+1)*n/R).
  Result<Range> exact(int64_t units, const std::string& what) const;

  /// As exact, but with fewer units than ranks each unit is shared by R/n consecutive ranks (KV
  /// heads).
  Result<Range> shared(int64_t units, const std::string& what) const;

  /// Anything with at least one unit per rank; counts differ by at most one (vocabulary, MLP
  /// width).
  Result<Range> balanced(int64_t units, const std::string& what) const;

  /// As balanced, for a dimension that weights are cut along: in units of their format, of which
  /// the last may be smaller.
  Result<Range> balanced_weights(int64_t units, const std::string& what) const;

  /// The range `balanced` gives to another rank; for gathering columns of unequal width.
  static Range balanced_range(int64_t units, int rank, int ranks) {
    const int64_t begin = units * rank / ranks;
    return {begin, units * (rank + 1) / ranks - begin};
  }

  int ranks() const { return ranks_; }

 private:
  int rank_;
  int ranks_;
  WeightUnits weights_;
};

}  // namespace tutti
