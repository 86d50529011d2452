#include "cuda/comm/nccl_communicator.h"

#include <algorithm>

#include "base/checked.h"
#include "cuda/cuda_error.h"

namespace tutti::cuda {

Result<std::unique_ptr<NcclGroup>> NcclGroup::create(std::shared_ptr<const NcclLibrary> nccl,
                                                     const std::vector<CudaDeviceInfo>& placement) {
  for (size_t r = 1; r < placement.size(); ++r) {
    for (size_t other = 0; other < r; ++other) {
      if (placement[r].index == placement[other].index) {
        return invalid(
            "NCCL takes one rank of each GPU; got ranks {} and {} on cuda:{}; ‹gpus› "
            "takes several GPUs",
            other,
            r,
            placement[r].index);
      }
    }
  }
  std::unique_ptr<NcclGroup> group(new NcclGroup(std::move(nccl)));
  const NcclLibrary& f = *group->nccl_;
  ncclUniqueId id{};
  TUTTI_RETURN_IF_ERROR(f.check(f.ncclGetUniqueId(&id), "ncclGetUniqueId"));
  std::vector<ncclComm_t> comms(placement.size(), nullptr);
  TUTTI_RETURN_IF_ERROR(f.check(f.ncclGroupStart(), "ncclGroupStart"));
  Status status;
  for (size_t r = 0; r < placement.size() && status.ok(); ++r) {
    status = check(cudaSetDevice(placement[r].index), "cudaSetDevice");
    if (status.ok()) {
      status = f.check(
          f.ncclCommInitRank(
              &comms[r], narrow<int>(ssize(placement)), id, narrow<int>(static_cast<int64_t>(r))),
          "ncclCommInitRank");
    }
  }
  const ncclResult_t ended = f.ncclGroupEnd();
  TUTTI_RETURN_IF_ERROR(status);
  TUTTI_RETURN_IF_ERROR(f.check(ended, "making NCCL's communicators"));
  group->comms_ = std::move(comms);
  return group;
}

NcclGroup::~NcclGroup() {
  std::call_once(ended_, [&] {
    for (ncclComm_t comm : comms_) {
      nccl_->ncclCommDestroy(comm);
    }
  });
}

void NcclGroup::abort() {
  std::call_once(ended_, [&] {
    for (ncclComm_t comm : comms_) {
      nccl_->ncclCommAbort(comm);
    }
  });
}

NcclCommunicator::NcclCommunicator(
    NcclGroup& nccl, PeerGroup& group, int rank, CudaDevice& device, CudaStream& stream)
    : nccl_(nccl),
      group_(group),
      peers_(group, rank, device, stream),
      device_(device),
      stream_(stream) {}

void NcclCommunicator::all_reduce_sum(TensorView x) {
  TUTTI_CHECK(x.contiguous());
  TUTTI_CHECK(x.dtype() == DType::kF32 || x.dtype() == DType::kBF16);
  if (group_.failed()) {
    throw DeviceError(group_.health().message());
  }
  throw_if_failed(cudaSetDevice(device_.index()), "cudaSetDevice");
  const NcclLibrary& f = nccl_.functions();
  const Status status =
      f.check(f.ncclAllReduce(x.raw(),
                              x.raw(),
                              usize(x.numel()),
                              x.dtype() == DType::kF32 ? ncclFloat32 : ncclBfloat16,
                              ncclSum,
                              nccl_.comm(rank()),
                              stream_.handle()),
              "all_reduce_sum");
  if (!status.ok()) {
    throw DeviceError(status.message());
  }
}

}  // namespace tutti::cuda
