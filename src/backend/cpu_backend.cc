#include "backend/cpu_backend.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "comm/self_communicator.h"
#include "comm/thread_communicator.h"
#include "device/cpu_device.h"
#include "ops/cpu/bandwidth_probe.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/ref/ref_ops.h"

namespace tutti {

namespace {

class CpuRankSet final : public RankSet {
 public:
  CpuRankSet(const RankRequest& request, int threads_per_rank, bool reference)
      : group_(request.ranks, request.collective_timeout) {
    for (int r = 0; r < request.ranks; ++r) {
      RankResources rank;
      rank.device = std::make_unique<CpuDevice>();
      rank.stream = rank.device->new_stream();
      rank.ops = reference ? make_ref_ops() : make_cpu_ops({.threads = threads_per_rank});
      rank.tp = group_.endpoint(r);
      ranks_.push_back(std::move(rank));
    }
  }

  std::vector<RankResources>& ranks() override { return ranks_; }

  void abort(const std::string& reason) override { group_.abort(reason); }

  bool interrupt() override {
    group_.interrupt();
    return true;
  }

  void resume() override { group_.resume(); }

  Status health() const override { return group_.health(); }

 private:
  ThreadGroup group_;
  std::vector<RankResources> ranks_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuBackendOptions& options)
      : threads_(options.threads > 0 ? options.threads : available_cpus()),
        reference_(options.reference) {}

  std::string describe(const RankChoice&) const override {
    return fmt::format("cpu ({} thread{}{})",
                       threads_,
                       threads_ == 1 ? "" : "s",
                       reference_ ? ", reference ops" : "");
  }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    MemoryPool pool{.name = "host memory", .free = CpuDevice().free_bytes()};
    pool.ranks.resize(usize(ranks));
    std::iota(pool.ranks.begin(), pool.ranks.end(), 0);
    return {pool};
  }

  bool ranks_share_memory() const override { return true; }

  int64_t rank_overhead_bytes() const override { return 0; }

  // No rate of matrix products: there is nothing but our own to measure.
  Result<Ceilings> measure_ceilings(const RankChoice&, DType) override {
    constexpr int64_t kBytes = int64_t{4} << 30;
    TUTTI_TRY(const MemoryBandwidth bandwidth, measure_bandwidth(threads_, kBytes));
    return Ceilings{.read = bandwidth.read, .copy = bandwidth.copy};
  }

  DType default_compute() const override { return DType::kF32; }

  Status check_compute(DType act) const override {
    if (act == DType::kF32) {
      return ok_status();
    }
    return error(StatusCode::kUnsupported,
                 "‹compute› {}: the CPU computes in f32; leave ‹compute› out, or use ‹device› cuda",
                 act == DType::kBF16 ? "bf16" : dtype_name(act));
  }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    if (request.sums == SumsVia::kPeer || request.sums == SumsVia::kNccl) {
      return invalid(
          "ranks on the CPU sum through the host's memory: ‹via› {} wants GPUs, ‹via› host does "
          "not",
          request.sums == SumsVia::kPeer ? "peer" : "nccl");
    }
    return std::unique_ptr<RankSet>(
        std::make_unique<CpuRankSet>(request, std::max(1, threads_ / request.ranks), reference_));
  }

 private:
  int threads_;
  bool reference_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const CpuBackendOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace tutti
