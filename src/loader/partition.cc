#include "loader/partition.h"

#include <algorithm>

namespace tutti {

Result<Range> Partition::exact(int64_t units, const std::string& what) const {
  if (units % ranks_ != 0) {
    return invalid("{} ({}) cannot be split evenly over {} ranks", what, units, ranks_);
  }
  return balanced_range(units, rank_, ranks_);
}

Result<Range> Partition::shared(int64_t units, const std::string& what) const {
  if (units >= ranks_) {
    return exact(units, what);
  }
  if (units < 1 || ranks_ % units != 0) {
    return invalid(
        "{} ({}) can neither be split nor shared evenly over {} ranks", what, units, ranks_);
  }
  return Range{rank_ / (ranks_ / units), 1};
}

Result<Range> Partition::balanced(int64_t units, const std::string& what) const {
  if (units < ranks_) {
    return invalid("{} ({}) is smaller than the number of ranks ({})", what, units, ranks_);
  }
  return balanced_range(units, rank_, ranks_);
}

Result<Range> Partition::balanced_weights(int64_t units, const std::string& what) const {
  for (const int64_t unit : {weights_.preferred, weights_.whole}) {
    const int64_t count = (units + unit - 1) / unit;
    if (count >= ranks_) {
      const Range range = balanced_range(count, rank_, ranks_);
      const int64_t begin = range.begin * unit;
      return Range{begin, std::min(range.end() * unit, units) - begin};
    }
  }
  if (weights_.whole == 1) {
    return balanced(units, what);
  }
  return invalid(
      "{} ({}) has fewer than {} units of {}, which the format of the weights does not let "
      "be cut, one for each rank",
      what,
      units,
      ranks_,
      weights_.whole);
}

}  // namespace tutti
