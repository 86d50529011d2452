#include "apps/sum_timer.h"

#include <algorithm>
#include <chrono>

#include "backend/rank_group.h"
#include "base/checked.h"
#include "device/device.h"
#include "tensor/tensor_view.h"

namespace tutti {

namespace {

constexpr int kSmallSums = 100;
constexpr int kLargeSums = 4;
constexpr int kPasses = 3;  // the shortest counts: whatever else the machine did

// Seconds of one sum, by rank 0's clock.
Result<double> sums(RankHandles& rank, int64_t bytes, int count) {
  using Clock = std::chrono::steady_clock;
  const int64_t size = std::max<int64_t>(1, bytes / 4);
  TUTTI_TRY(const Tensor x, Tensor::empty(rank.device, DType::kF32, {size}, "timing of sums"));
  rank.parallel.tp.all_reduce_sum(x.view());  // kernels are loaded when they are first used
  TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < count; ++i) {
      rank.parallel.tp.all_reduce_sum(x.view());
    }
    TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count() / count;
    best = pass == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

}  // namespace

Result<SumTimes> time_sums(Backend& backend, int ranks, int64_t small_bytes, int64_t large_bytes) {
  TUTTI_TRY(const std::unique_ptr<RankGroup> group,
            RankGroup::start(backend, {.request = {.ranks = ranks}}));
  SumTimes times;
  double large = 0;
  TUTTI_RETURN_IF_ERROR(group->run([&](RankHandles& rank) -> Status {
    TUTTI_TRY(const double small, sums(rank, small_bytes, kSmallSums));
    TUTTI_TRY(const double whole, sums(rank, large_bytes, kLargeSums));
    if (rank.rank == 0) {
      times.small_seconds = small;
      large = whole;
    }
    return ok_status();
  }));
  const double moved = 2.0 * (ranks - 1) / ranks * static_cast<double>(large_bytes);
  times.bytes_per_second = large > 0 ? moved / large : 0;
  return times;
}

}  // namespace tutti
