#include "cuda/cuda_backend.h"

#include <algorithm>

#include "base/units.h"
#include "comm/self_communicator.h"
#include "cuda/ceilings.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ops.h"
#include "cuda/device_probe.h"

namespace tutti::cuda {

namespace {

constexpr int kOldestCapability = 80;  // Ampere: the first with bf16 matrix units
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
  explicit CudaBackend(std::vector<CudaDeviceInfo> gpus) : gpus_(std::move(gpus)) {}

  std::string describe() const override {
    return gpus_.size() == 1 ? gpus_.front().name
                             : fmt::format("{} x {}", gpus_.size(), gpus_.front().name);
  }

  std::vector<MemoryPool> memory_pools(int) const override {
    // It counts what other programs and models have taken by now.
    const CudaDevice gpu(gpus_.front().index, gpus_.front().name);
    return {{.name = gpu.name(), .free = gpu.free_bytes(), .ranks = {0}}};
  }

  bool ranks_share_memory() const override { return false; }

  int64_t rank_overhead_bytes() const override {
    return kWorkspaceBytes + kDecodePartialBytes + kArrivalBytes + kLibraryBytes;
  }

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
    if (request.ranks != 1) {
      return error(
          StatusCode::kUnsupported,
          "--tp {}: this version runs a model on one GPU; the collectives between GPUs are "
          "not part of it yet. Use --tp 1, or --device cpu",
          request.ranks);
    }
    return OneRank::create(gpus_.front());
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
