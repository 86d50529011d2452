#include "engine/ranks/load_check.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/checked.h"
#include "base/log.h"
#include "base/units.h"

namespace tutti {

namespace {

constexpr int64_t kToleranceBytes = 400'000'000;  // of a rank
constexpr double kTolerance = 0.03;

// Numbers of elements: messages of these sizes travel in different ways.
constexpr std::array<int64_t, 3> kSizes{1024, int64_t{1} << 16, int64_t{1} << 20};

// Small whole numbers: their sums are exact in every order.
float part(int rank, int64_t i) {
  return static_cast<float>((rank + 1) * (1 + i % 7));
}

float sum(int ranks, int64_t i) {
  const int64_t of_ranks = int64_t{ranks} * (ranks + 1) / 2;
  return static_cast<float>(of_ranks * (1 + i % 7));
}

Status add_up(RankHandles& rank, int64_t size) {
  const int ranks = rank.parallel.tp.size();
  TUTTI_TRY(const Tensor x, Tensor::empty(rank.device, DType::kF32, {size}, "check of sums"));
  TUTTI_TRY(const HostBuffer host,
            HostBuffer::allocate(rank.device, x.view().bytes(), "check of sums"));
  auto* values = static_cast<float*>(host.data());
  for (int64_t i = 0; i < size; ++i) {
    values[i] = part(rank.rank, i);
  }
  TUTTI_RETURN_IF_ERROR(
      rank.device.copy_from_host(x.view().raw(), values, x.view().bytes(), rank.stream));
  TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
  rank.parallel.tp.all_reduce_sum(x.view());
  TUTTI_RETURN_IF_ERROR(
      rank.device.copy_to_host(values, x.view().raw(), x.view().bytes(), rank.stream));
  TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
  for (int64_t i = 0; i < size; ++i) {
    if (values[i] != sum(ranks, i)) {
      return error(StatusCode::kDevice,
                   "a sum over {} ranks of {} numbers is wrong: rank {} ({}) has {} at {}, wanted "
                   "{}; with ‹p2p› off they exchange data through host memory",
                   ranks,
                   size,
                   rank.rank,
                   rank.device.name(),
                   values[i],
                   i,
                   sum(ranks, i));
    }
  }
  return ok_status();
}

}  // namespace

Status check_shares(const std::vector<MemoryPlan>& plans) {
  for (const MemoryPlan& plan : plans) {
    const auto share = static_cast<int64_t>(kTolerance * static_cast<double>(plan.planned()));
    const int64_t tolerance = std::max(share, kToleranceBytes * plan.ranks);
    const int64_t least = plan.planned() - plan.overhead - tolerance;
    if (plan.held < least || plan.held > plan.planned() + tolerance) {
      return error(StatusCode::kDevice,
                   "{} holds {} of this model, planned were {} (weights {}, KV cache {}, "
                   "activations {}, workspaces {}): {}",
                   plan.pool,
                   format_bytes(plan.held),
                   format_bytes(plan.planned()),
                   format_bytes(plan.weights),
                   format_bytes(plan.kv),
                   format_bytes(plan.activations),
                   format_bytes(plan.overhead),
                   plan.held < least ? "its share of the model is not there"
                                     : "more than its share of the model is there");
    }
    if (std::abs(plan.measured - plan.planned()) > tolerance) {
      log_warn(
          "{}: {} less is free than before loading, planned were {}: other programs use its memory "
          "too",
          plan.pool,
          format_bytes(plan.measured),
          format_bytes(plan.planned()));
    }
  }
  return ok_status();
}

Status check_sums(RankGroup& group) {
  if (group.size() == 1) {
    return ok_status();
  }
  for (const int64_t size : kSizes) {
    TUTTI_RETURN_IF_ERROR(group.run([size](RankHandles& rank) { return add_up(rank, size); }));
  }
  return group.health();
}

}  // namespace tutti
