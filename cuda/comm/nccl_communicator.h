// Sums by NCCL. Everything else goes as among PeerCommunicators, whose group it shares: NCCL is the
// yardstick for sums (tutti bench allreduce), and the way between hosts later on.
#pragma once
#include <memory>
#include <vector>

#include "cuda/comm/nccl_library.h"
#include "cuda/comm/peer_communicator.h"

namespace tutti::cuda {

/// The communicators of all ranks. Must outlive the recorded steps with their sums: NCCL waits for
/// those when it ends.
class NcclGroup {
 public:
  /// kInvalidArgument for two ranks on one GPU, which NCCL does not take; kDevice if NCCL fails.
  static Result<std::unique_ptr<NcclGroup>> create(std::shared_ptr<const NcclLibrary> nccl,
                                                   const std::vector<CudaDeviceInfo>& placement);
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  const NcclLibrary& functions() const { return *nccl_; }

  ncclComm_t comm(int rank) const { return comms_[static_cast<size_t>(rank)]; }

  /// Ends all waiting on the devices. Any thread.
  void abort();

 private:
  explicit NcclGroup(std::shared_ptr<const NcclLibrary> nccl) : nccl_(std::move(nccl)) {}

  std::shared_ptr<const NcclLibrary> nccl_;
  std::vector<ncclComm_t> comms_;
  std::once_flag ended_;
};

class NcclCommunicator final : public Communicator {
 public:
  /// All must outlive this; `stream` is the rank's, on `device`.
  NcclCommunicator(
      NcclGroup& nccl, PeerGroup& group, int rank, CudaDevice& device, CudaStream& stream);

  int rank() const override { return peers_.rank(); }

  int size() const override { return peers_.size(); }

  void all_reduce_sum(TensorView x) override;

  const char* all_reduce_algorithm(int64_t /*bytes*/) const override { return "nccl"; }

  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    peers_.all_gather_columns(out, in, widths);
  }

  void exchange_rows(const ExchangeRows& args) override { peers_.exchange_rows(args); }

  void broadcast(const Broadcast& args) override { peers_.broadcast(args); }

  void barrier() override { peers_.barrier(); }

 private:
  NcclGroup& nccl_;
  PeerGroup& group_;
  PeerCommunicator peers_;
  CudaDevice& device_;
  CudaStream& stream_;
};

}  // namespace tutti::cuda
