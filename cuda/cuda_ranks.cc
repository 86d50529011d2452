#include "cuda/cuda_ranks.h"

#include "base/checked.h"
#include "comm/self_communicator.h"
#include "cuda/comm/nccl_communicator.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ops.h"
#include "plan/cuda_memory.h"

namespace tutti::cuda {

namespace {

// What NVIDIA recommends for Hopper; less excludes fast algorithms.
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
// Code of the kernels and of cuBLASLt's, loaded when first used. Measured, not known.
constexpr int64_t kLibraryBytes = int64_t{128} << 20;
constexpr int64_t kArrivalBytes = kMaxDecodePairs * static_cast<int64_t>(sizeof(int32_t));
static_assert(kWorkspaceBytes + kDecodePartialBytes + kArrivalBytes + kLibraryBytes ==
                  kCudaWorkspaceBytes,
              "plans (src/plan/cuda_memory.h) count something else");

// All of a rank but its communicator.
Result<RankResources> make_rank(const CudaDeviceInfo& gpu, TuningCache* tuning) {
  RankResources rank;
  auto device = std::make_unique<CudaDevice>(gpu.index, gpu.name);
  TUTTI_TRY(std::unique_ptr<CudaStream> stream, CudaStream::create(gpu.index));
  CudaOpsOptions options{.gpu = gpu, .stream = stream->handle()};
  TUTTI_TRY(options.cublas, CublasLt::open(cublas_directories(), tuning));
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
  return rank;
}

class OneRank final : public RankSet {
 public:
  explicit OneRank(RankResources rank) {
    rank.tp = std::make_unique<SelfCommunicator>();
    ranks_.push_back(std::move(rank));
  }

  std::vector<RankResources>& ranks() override { return ranks_; }

  void abort(const std::string&) override {}  // nobody waits in a group of one

 private:
  std::vector<RankResources> ranks_;
};

class PeerRanks final : public RankSet {
 public:
  /// nccl: for sums by it, or nullptr.
  PeerRanks(std::unique_ptr<PeerGroup> group,
            std::unique_ptr<NcclGroup> nccl,
            std::vector<RankResources> ranks)
      : group_(std::move(group)), nccl_(std::move(nccl)), ranks_(std::move(ranks)) {
    for (size_t i = 0; i < ranks_.size(); ++i) {
      const int rank = static_cast<int>(i);
      auto& device = static_cast<CudaDevice&>(*ranks_[i].device);
      auto& stream = static_cast<CudaStream&>(*ranks_[i].stream);
      if (nccl_) {
        ranks_[i].tp = std::make_unique<NcclCommunicator>(*nccl_, *group_, rank, device, stream);
      } else {
        ranks_[i].tp = std::make_unique<PeerCommunicator>(*group_, rank, device, stream);
      }
    }
  }

  // Freeing memory waits for the device, where a kernel may be waiting for a rank that is gone.
  ~PeerRanks() override { group_->abandon(); }

  std::vector<RankResources>& ranks() override { return ranks_; }

  void abort(const std::string& reason) override {
    group_->abort(reason);
    if (nccl_) {
      nccl_->abort();
    }
  }

  std::string describe() const override {
    return group_->describe() +
           (nccl_ ? fmt::format(", sums by NCCL {}", nccl_->functions().version()) : std::string());
  }

  Status health() const override { return group_->health(); }

 private:
  // Behind the ranks that use them.
  std::unique_ptr<PeerGroup> group_;
  std::unique_ptr<NcclGroup> nccl_;
  std::vector<RankResources> ranks_;
};

}  // namespace

int64_t cuda_rank_overhead_bytes() {
  return kWorkspaceBytes + kDecodePartialBytes + kArrivalBytes + kLibraryBytes +
         peer_mailbox_bytes(kMaxPeers);
}

Result<std::unique_ptr<RankSet>> make_cuda_ranks(const CudaRanksOptions& options) {
  TUTTI_CHECK_EQ(options.request.ranks, static_cast<int>(options.placement.size()));
  if (options.placement.size() == 1) {
    TUTTI_TRY(RankResources rank, make_rank(options.placement.front(), options.request.tuning));
    return std::unique_ptr<RankSet>(std::make_unique<OneRank>(std::move(rank)));
  }
  TUTTI_TRY(std::unique_ptr<PeerGroup> group,
            PeerGroup::create({.placement = options.placement,
                               .peer_access = options.peer_access,
                               .timeout = options.request.collective_timeout}));
  std::unique_ptr<NcclGroup> nccl;
  if (options.nccl) {
    TUTTI_TRY(nccl, NcclGroup::create(options.nccl, options.placement));
  }
  std::vector<RankResources> ranks;
  for (const CudaDeviceInfo& gpu : options.placement) {
    TUTTI_TRY(RankResources rank, make_rank(gpu, options.request.tuning));
    ranks.push_back(std::move(rank));
  }
  return std::unique_ptr<RankSet>(
      std::make_unique<PeerRanks>(std::move(group), std::move(nccl), std::move(ranks)));
}

}  // namespace tutti::cuda
