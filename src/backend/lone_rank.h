// One rank of a plan of several, alone: its share of a model's weights and work is measured where
// there is a device for one rank only.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace tutti {

/// Collectives of a step: (name, bytes of this rank's part) -> how many.
using CollectiveCounts = std::map<std::pair<std::string, int64_t>, int64_t>;

/// Counts what a rank asks of another communicator, which does it.
class CountingCommunicator final : public Communicator {
 public:
  /// `counts` outlives this.
  CountingCommunicator(std::unique_ptr<Communicator> inner, CollectiveCounts& counts)
      : inner_(std::move(inner)), counts_(counts) {}

  int rank() const override { return inner_->rank(); }

  int size() const override { return inner_->size(); }

  void all_reduce_sum(TensorView x) override;
  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override;
  void exchange_rows(const ExchangeRows& args) override;
  void broadcast(const Broadcast& args) override;

  /// In two operations, whether or not `inner` could do it in one: the same on every group.
  bool all_reduce_add_rms_norm(const AllReduceAddRmsNorm& /*args*/) override { return false; }

  void barrier() override { inner_->barrier(); }

 private:
  std::unique_ptr<Communicator> inner_;
  CollectiveCounts& counts_;
};

/// What a lone rank saw.
struct LoneRankReport {
  CollectiveCounts
      collectives;  ///< since it was cleared; recorded steps count when they are recorded
  /// Distinct experts that each routing chose, while watch_experts was on.
  std::vector<int64_t> experts;
  bool watch_experts = false;  ///< each routing then waits for the device
};

/// A backend whose one rank believes to be rank 0 of `of`. Collectives are counted and move
/// nothing: sums are this rank's part, and what others would bring are copies of its own. Experts
/// are chosen at random and evenly, because made-up weights send most tokens to a few. `report`
/// outlives what the backend makes.
std::unique_ptr<Backend> make_lone_backend(std::unique_ptr<Backend> inner,
                                           int of,
                                           LoneRankReport& report);

}  // namespace tutti
