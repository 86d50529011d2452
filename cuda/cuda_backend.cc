#include "cuda/cuda_backend.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/checked.h"
#include "base/units.h"
#include "comm/self_communicator.h"
#include "cuda/ceilings.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ops.h"

namespace tutti::cuda {

namespace {

// What NVIDIA recommends for Hopper; less excludes fast algorithms.
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
// Code of the kernels and of cuBLASLt's, loaded when first used. Measured, not known.
constexpr int64_t kLibraryBytes = int64_t{128} << 20;
constexpr int64_t kArrivalBytes = kMaxDecodePairs * static_cast<int64_t>(sizeof(int32_t));

class OneRank final : public RankSet {
 public:
  static Result<std::unique_ptr<RankSet>> create(const CudaDeviceInfo& gpu) {
    auto set = std::make_unique<OneRank>();
    RankResources rank;
    auto device = std::make_unique<CudaDevice>(gpu.index, gpu.name);
    TUTTI_TRY(std::unique_ptr<CudaStream> stream, CudaStream::create(gpu.index));
    CudaOpsOptions options{.gpu = gpu, .stream = stream->handle()};
    TUTTI_TRY(options.cublas, CublasLt::open(cublas_directories()));
    TUTTI_TRY(options.workspace,
              Buffer::allocate(*device, kWorkspaceBytes, "workspace of matrix products"));
    TUTTI_TRY(options.decode_partials,
              Buffer::allocate(*device, kDecodePartialBytes, "workspace of attention"));
    TUTTI_TRY(options.decode_arrivals,
              Buffer::allocate(*device, kArrivalBytes, "workspace of attention"));
    TUTTI_RETURN_IF_ERROR(check(
        cudaMemsetAsync(options.decode_arrivals.data(), 0, usize(kArrivalBytes), stream->handle()),
        "cudaMemsetAsync"));
    rank.ops = std::make_unique<CudaOps>(std::move(options));
    rank.device = std::move(device);
    rank.stream = std::move(stream);
    rank.tp = std::make_unique<SelfCommunicator>();
    set->ranks_.push_back(std::move(rank));
    return std::unique_ptr<RankSet>(std::move(set));
  }

  std::vector<RankResources>& ranks() override { return ranks_; }

  void abort(const std::string&) override {}  // nobody waits in a group of one

 private:
  std::vector<RankResources> ranks_;
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(GpuGroup gpus) : gpus_(std::move(gpus)) {}

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

  int64_t rank_overhead_bytes() const override {
    return kWorkspaceBytes + kDecodePartialBytes + kArrivalBytes + kLibraryBytes;
  }

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

  DType default_compute() const override { return DType::kBF16; }

  Status check_compute(DType act) const override {
    if (act == DType::kF32 || act == DType::kBF16) {
      return ok_status();
    }
    return error(
        StatusCode::kUnsupported, "--compute {}: GPUs compute in f32 or bf16", dtype_name(act));
  }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    if (request.ranks != 1) {
      return error(
          StatusCode::kUnsupported,
          "--tp {}: this version runs a model on one GPU; the collectives between GPUs are "
          "not part of it yet. Use --tp 1, or --device cpu",
          request.ranks);
    }
    TUTTI_TRY(const std::vector<CudaDeviceInfo> placement, gpus_.placement(request.ranks));
    return OneRank::create(placement.front());
  }

 private:
  GpuGroup gpus_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_cuda_backend(GpuGroupOptions options) {
  TUTTI_TRY(GpuGroup gpus, GpuGroup::open(std::move(options)));
  // Missing libraries are found now, not at the first matrix product.
  TUTTI_RETURN_IF_ERROR(CublasLt::open(cublas_directories()).status());
  return std::unique_ptr<Backend>(std::make_unique<CudaBackend>(std::move(gpus)));
}

}  // namespace tutti::cuda
