// How long each operation of a step takes, alone: timers around every one, so that none overlaps
// its neighbours as recorded steps let them.
#pragma once
#include <memory>
#include <vector>

#include "backend/rank_group.h"
#include "ops/observed_ops.h"

namespace tutti {

/// Steps that one profile runs; the first loads what is loaded when first used.
inline constexpr int kProfilePasses = 4;

/// All calls of one kind in one step.
struct OpTiming {
  std::string op;
  int64_t calls = 0;
  double seconds = 0;
  int64_t bytes = 0;
  int64_t flops = 0;
  int64_t expert_flops = 0;  ///< as OpCost's
};

class OpTimer final : public OpObserver {
 public:
  explicit OpTimer(RankHandles& rank) : rank_(rank) {}

  /// Before the operations of a step: holds the stream, so that they are queued long before they
  /// run and no time passes waiting for the host.
  Status start_pass();

  void begin() override;
  void end(OpCost cost) override;

  /// Waits for the step. Times are less what an empty measurement shows; of equal passes the
  /// shortest counts.
  Status finish_pass();

  /// By operation, in the order of their first calls.
  std::vector<OpTiming> timings() const;

 private:
  struct Call {
    OpCost cost;
    double seconds = 0;
  };

  Timer& timer(size_t i);
  void keep(Status status);
  Result<double> empty_seconds() const;

  RankHandles& rank_;
  std::vector<std::unique_ptr<Timer>> timers_;  // of the calls of a pass, in order; reused
  std::vector<Call> pass_;
  std::vector<Call> best_;
  Status status_;  // of timers
};

}  // namespace tutti
