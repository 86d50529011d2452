// A backend whose ranks get other ops than it made: wrong ones, rounding ones.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace tutti::testing {

class WrappedBackend final : public Backend {
 public:
  /// Gives what takes the place of rank.ops, of which it becomes the owner.
  using Wrap = std::function<std::unique_ptr<Ops>(RankResources& rank)>;

  WrappedBackend(std::unique_ptr<Backend> inner, Wrap wrap)
      : inner_(std::move(inner)), wrap_(std::move(wrap)) {}

  Result<RankChoice> choose_ranks(int tp, const LegalRanks& legal) override {
    return inner_->choose_ranks(tp, legal);
  }

  std::string describe(const RankChoice& choice) const override { return inner_->describe(choice); }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    return inner_->memory_pools(ranks);
  }

  bool ranks_share_memory() const override { return inner_->ranks_share_memory(); }

  int64_t rank_overhead_bytes() const override { return inner_->rank_overhead_bytes(); }

  Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) override {
    return inner_->measure_ceilings(choice, compute);
  }

  DType default_compute() const override { return inner_->default_compute(); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    TUTTI_TRY(std::unique_ptr<RankSet> set, inner_->make_ranks(request));
    for (RankResources& rank : set->ranks()) {
      rank.ops = wrap_(rank);
    }
    return set;
  }

 private:
  std::unique_ptr<Backend> inner_;
  Wrap wrap_;
};

}  // namespace tutti::testing
