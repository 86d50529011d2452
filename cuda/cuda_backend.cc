#include "cuda/cuda_backend.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/checked.h"
#include "base/units.h"
#include "cuda/ceilings.h"
#include "cuda/cublas.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ranks.h"

namespace tutti::cuda {

namespace {

class CudaBackend final : public Backend {
 public:
  /// `libraries`: what measurements depend on besides the GPUs.
  CudaBackend(GpuGroup gpus, std::string libraries)
      : gpus_(std::move(gpus)), libraries_(std::move(libraries)) {}

  Result<RankChoice> choose_ranks(int tp, const LegalRanks& legal) override {
    return gpus_.choose_ranks(tp, legal);
  }

  std::string describe(const RankChoice& choice) const override { return gpus_.describe(choice); }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    const Result<std::vector<CudaDeviceInfo>> gpus = gpus_.used(ranks);
    TUTTI_CHECK_MSG(gpus.ok(), "{} ranks", ranks);
    std::vector<MemoryPool> pools;
    for (const CudaDeviceInfo& info : *gpus) {
      // It counts what other programs and models have taken by now.
      const CudaDevice gpu(info.index, info.name);
      const int first = narrow<int>(pools.size()) * gpus_.ranks_per_gpu();
      MemoryPool pool{.name = gpu.name(), .free = gpu.free_bytes()};
      pool.ranks.resize(usize(gpus_.ranks_per_gpu()));
      std::iota(pool.ranks.begin(), pool.ranks.end(), first);
      pools.push_back(std::move(pool));
    }
    return pools;
  }

  bool ranks_share_memory() const override { return false; }

  int64_t rank_overhead_bytes() const override { return cuda_rank_overhead_bytes(); }

  Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) override {
    Ceilings all;
    TUTTI_TRY(const std::vector<CudaDeviceInfo> gpus, gpus_.used(choice.ranks));
    for (const CudaDeviceInfo& gpu : gpus) {
      TUTTI_TRY(const Ceilings one, cuda::measure_ceilings(gpu, compute));
      all.read += one.read;
      all.copy += one.copy;
      all.flops += one.flops;
    }
    return all;
  }

  std::string tuning_identity() const override {
    return fmt::format("{}; {}", gpus_.models(), libraries_);
  }

  DType default_compute() const override { return DType::kBF16; }

  Status check_compute(DType act) const override {
    if (act == DType::kF32 || act == DType::kBF16) {
      return ok_status();
    }
    return error(
        StatusCode::kUnsupported, "‹compute› {}: GPUs compute in f32 or bf16", dtype_name(act));
  }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    TUTTI_TRY(const std::vector<CudaDeviceInfo> placement, gpus_.placement(request.ranks));
    CudaRanksOptions options{.placement = placement, .request = request, .peer_access = false};
    if (request.sums != SumsVia::kHost) {
      options.peer_access = gpus_.peers_usable(request.ranks);
    }
    if (request.sums == SumsVia::kPeer && !options.peer_access) {
      return error(StatusCode::kUnavailable,
                   "these GPUs cannot use each other's memory, or ‹p2p› is off; tutti doctor says "
                   "why");
    }
    if (request.sums == SumsVia::kNccl) {
      TUTTI_TRY(options.nccl, NcclLibrary::open(nccl_directories()));
    }
    return make_cuda_ranks(options);
  }

 private:
  GpuGroup gpus_;
  std::string libraries_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_cuda_backend(GpuGroupOptions options) {
  TUTTI_TRY(GpuGroup gpus, GpuGroup::open(std::move(options)));
  // Missing libraries are found now, not at the first matrix product.
  TUTTI_TRY(const std::unique_ptr<CublasLt> cublas, CublasLt::open(cublas_directories()));
  int driver = 0;
  TUTTI_RETURN_IF_ERROR(check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion"));
  return std::unique_ptr<Backend>(
      std::make_unique<CudaBackend>(std::move(gpus),
                                    fmt::format("driver of CUDA {}.{}; {}; build {}",
                                                driver / 1000,
                                                driver % 1000 / 10,
                                                cublas->version(),
                                                TUTTI_BUILD_ID)));
}

}  // namespace tutti::cuda
