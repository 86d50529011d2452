// One GPU rank's endpoint in a group: collectives by own kernels, queued on the rank's stream.
#pragma once
#include <optional>

#include "comm/communicator.h"
#include "cuda/comm/peer_group.h"

namespace tutti::cuda {

/// All members throw DeviceError once the group was given up (PeerGroup::health()), or if a launch
/// fails.
class PeerCommunicator final : public Communicator {
 public:
  /// All must outlive this; `stream` is the rank's, on `device`.
  PeerCommunicator(PeerGroup& group, int rank, CudaDevice& device, CudaStream& stream);

  int rank() const override { return rank_; }

  int size() const override { return group_.size(); }

  void all_reduce_sum(TensorView x) override;
  const char* all_reduce_algorithm(int64_t bytes) const override;
  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override;
  void exchange_rows(const ExchangeRows& args) override;
  void broadcast(const Broadcast& args) override;

  /// Takes rows of whole 8-byte lines, up to the size that travels as flagged data.
  bool all_reduce_add_rms_norm(const AllReduceAddRmsNorm& args) override;

  void barrier() override { host_->barrier(); }

  void tune() override;

  std::string tuning() const override { return to_text(thresholds_); }

  Status set_tuning(std::string_view text) override;

  /// The largest message that can travel as flagged data.
  int64_t most_flagged_bytes() const;

  /// For tests and measurements: everything travels this way that can. On all ranks alike.
  void force(std::optional<PeerAlgorithm> algorithm) { forced_ = algorithm; }

 private:
  /// Before every collective: threads have a current device each.
  void enter() const;
  PeerAlgorithm choose(int64_t bytes) const;
  PeerGather columns(TensorView out, ConstTensorView in, std::span<const int64_t> widths) const;
  void gather(const PeerGather& call, const char* op);

  PeerGroup& group_;
  int rank_;
  CudaDevice& device_;
  CudaStream& stream_;
  std::unique_ptr<Communicator> host_;
  PeerThresholds thresholds_;
  std::optional<PeerAlgorithm> forced_;
};

}  // namespace tutti::cuda
