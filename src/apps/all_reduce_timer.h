// How long sums of one size take among ranks, one after the other, and whether they are right.
#pragma once
#include <optional>
#include <string>

#include "backend/rank_group.h"
#include "tensor/dtype.h"

namespace tutti {

struct AllReduceCase {
  int64_t bytes = 0;  ///< of one rank's tensor
  DType dtype = DType::kBF16;
  bool fused = false;     ///< with the sum into a residual and its norm, in one kernel
  bool in_graph = false;  ///< recorded, as decode steps are
};

struct AllReduceTimes {
  std::string algorithm;      ///< Communicator::all_reduce_algorithm
  double median_seconds = 0;  ///< of one sum, by rank 0's device, over launches of many in a row
  double p99_seconds = 0;
  bool correct = false;  ///< on this rank, every element of a first sum
};

/// All ranks call it at the same time. Nothing where this case does not exist: the fused kernel
/// does not take the size, or the device records nothing.
Result<std::optional<AllReduceTimes>> time_all_reduce(RankHandles& rank, const AllReduceCase& c);

/// Of a link's rate what a sum used, whichever way it went: 2 (n - 1) / n of the bytes over the
/// time (the "bus bandwidth" of NCCL's tests).
double bus_rate(int64_t bytes, int ranks, double seconds);

}  // namespace tutti
