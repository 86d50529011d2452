#include "cuda/cuda_backend.h"

#include <algorithm>

#include "base/units.h"
#include "cuda/ceilings.h"
#include "cuda/cublas.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ranks.h"
#include "cuda/device_probe.h"

namespace tutti::cuda {

namespace {

constexpr int kOldestCapability = 80;  // Ampere: the first with bf16 matrix units

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(std::vector<CudaDeviceInfo> gpus) : gpus_(std::move(gpus)) {}

  std::string describe() const override {
    return gpus_.size() == 1 ? gpus_.front().name
                             : fmt::format("{} x {}", gpus_.size(), gpus_.front().name);
  }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    const int gpus = std::min(static_cast<int>(gpus_.size()), ranks);
    std::vector<MemoryPool> pools;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto place = static_cast<size_t>(rank / std::max(ranks / gpus, 1));
      if (place == pools.size()) {
        // It counts what other programs and models have taken by now.
        const CudaDevice gpu(gpus_[place].index, gpus_[place].name);
        pools.push_back({.name = gpu.name(), .free = gpu.free_bytes(), .ranks = {}});
      }
      pools.back().ranks.push_back(rank);
    }
    return pools;
  }

  bool ranks_share_memory() const override { return false; }

  int64_t rank_overhead_bytes() const override { return cuda_rank_overhead_bytes(); }

  Result<Ceilings> measure_ceilings(DType compute) override {
    return cuda::measure_ceilings(gpus_.front(), compute);
  }

  DType default_compute() const override { return DType::kBF16; }

  Status check_compute(DType act) const override {
    if (act == DType::kF32 || act == DType::kBF16) {
      return ok_status();
    }
    return error(
        StatusCode::kUnsupported, "--compute {}: GPUs compute in f32 or bf16", dtype_name(act));
  }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    // Rank r of n on G GPUs runs on GPU r / (n / G).
    const auto gpus = std::min(static_cast<int>(gpus_.size()), request.ranks);
    if (request.ranks % gpus != 0) {
      return error(StatusCode::kUnsupported,
                   "--tp {}: not a multiple of the {} GPUs in use",
                   request.ranks,
                   gpus);
    }
    std::vector<CudaDeviceInfo> placement;
    for (int rank = 0; rank < request.ranks; ++rank) {
      placement.push_back(gpus_[static_cast<size_t>(rank / (request.ranks / gpus))]);
    }
    return make_cuda_ranks({.placement = placement, .request = request});
  }

 private:
  std::vector<CudaDeviceInfo> gpus_;
};

// The GPUs that were asked for, of those there are.
Result<std::vector<CudaDeviceInfo>> choose(const std::vector<CudaDeviceInfo>& present,
                                           const CudaBackendOptions& options) {
  const int count = static_cast<int>(present.size());
  if (options.gpu_count > count) {
    return error(
        StatusCode::kUnavailable, "--gpus {}: {} GPU(s) are visible", options.gpu_count, count);
  }
  if (options.gpus.empty()) {
    const int take = options.gpu_count > 0 ? options.gpu_count : count;
    return std::vector<CudaDeviceInfo>(present.begin(), present.begin() + take);
  }
  std::vector<CudaDeviceInfo> chosen;
  for (const int id : options.gpus) {
    if (id < 0 || id >= count) {
      return error(StatusCode::kUnavailable,
                   "--gpus: there is no GPU {}; visible are 0 to {}",
                   id,
                   count - 1);
    }
    chosen.push_back(present[static_cast<size_t>(id)]);
  }
  return chosen;
}

}  // namespace

Result<std::unique_ptr<Backend>> make_cuda_backend(const CudaBackendOptions& options) {
  TUTTI_TRY(const std::vector<CudaDeviceInfo> present, probe_cuda_devices());
  TUTTI_TRY(std::vector<CudaDeviceInfo> gpus, choose(present, options));
  for (const CudaDeviceInfo& gpu : gpus) {
    if (gpu.compute_capability < kOldestCapability) {
      return error(StatusCode::kUnavailable,
                   "{} has compute capability {}.{}; tutti needs 8.0 (Ampere) or later",
                   gpu.name,
                   gpu.compute_capability / 10,
                   gpu.compute_capability % 10);
    }
    TUTTI_RETURN_IF_ERROR(check_kernels_run(gpu));
  }
  // Missing libraries are found now, not at the first matrix product.
  TUTTI_RETURN_IF_ERROR(CublasLt::open(cublas_directories()).status());
  return std::unique_ptr<Backend>(std::make_unique<CudaBackend>(std::move(gpus)));
}

}  // namespace tutti::cuda
