#include "loader/partition.h"

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

}  // namespace tutti
