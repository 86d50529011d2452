// How long sums among ranks take on a backend, without a model.
#pragma once
#include "backend/backend.h"

namespace tutti {

struct SumTimes {
  double small_seconds = 0;  ///< of one of `small_bytes` on each rank, many in a row
  double bytes_per_second =
      0;  ///< that each rank sends, and receives, in a large one: 2 (n - 1) / n
          ///< of the message over its time, which rings and direct sums move
};

/// `ranks` > 1. Messages are f32; `large_bytes` should be far beyond what latencies cost.
Result<SumTimes> time_sums(Backend& backend, int ranks, int64_t small_bytes, int64_t large_bytes);

}  // namespace tutti
