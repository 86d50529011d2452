// The ranks of a group on GPUs: for each a device, a stream, the operations with their workspaces,
// and an endpoint of the group.
#pragma once
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "cuda/comm/nccl_library.h"
#include "cuda/device_probe.h"

namespace tutti::cuda {

struct CudaRanksOptions {
  /// The GPU of each rank. Several ranks may share one, which is for tests: they take turns.
  std::vector<CudaDeviceInfo> placement;
  RankRequest request;
  /// Whether GPUs may write into each other's memory; if not, what they exchange goes through the
  /// host's. Also for ranks that share a GPU.
  bool peer_access = true;
  /// For sums by it; its `placement` then has a GPU for each rank.
  std::shared_ptr<const NcclLibrary> nccl{};
};

/// Memory of its GPU that one rank takes for workspaces, code of kernels and its mailbox, at most.
int64_t cuda_rank_overhead_bytes();

/// kOutOfMemory, kDevice and kUnavailable name the GPU or the library.
Result<std::unique_ptr<RankSet>> make_cuda_ranks(const CudaRanksOptions& options);

}  // namespace tutti::cuda
