// Ops that tell an observer what each operation must move and compute, around the ones that do it.
#pragma once
#include <cstdint>
#include <string>

#include "ops/ops.h"

namespace tutti {

/// What one call must do at least: every input read once, every output written once.
struct OpCost {
  std::string op;     ///< its name, of products with the weight's shape: "linear 4608x3584"
  int64_t bytes = 0;  ///< of device memory; of a mixture's experts at most one per row
  int64_t flops = 0;  ///< 2 per multiplication and addition of products and attention; else 0
  int64_t expert_flops = 0;  ///< of these, in matrices of which a token takes some
};

/// Wraps every call.
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  virtual void begin() = 0;
  virtual void end(OpCost cost) = 0;
};

/// What attention has to do in one step, which only the host knows.
struct AttentionWork {
  int64_t keys = 0;   ///< summed over sequences, queries included: each is read once
  int64_t pairs = 0;  ///< (query, visible key), summed over queries
};

OpCost cost_of(const OpCall& op, const AttentionWork& work);

class ObservedOps final : public Ops {
 public:
  ObservedOps(Ops& inner, OpObserver& observer, const AttentionWork& work)
      : inner_(inner), observer_(observer), work_(work) {}

  const char* name() const override { return inner_.name(); }

  Status check_compute(DType act) const override { return inner_.check_compute(act); }

  Status supports(const OpCall& op) const override { return inner_.supports(op); }

 private:
  void execute(const OpCall& op) override;

  Ops& inner_;
  OpObserver& observer_;
  AttentionWork work_;
};

}  // namespace tutti
