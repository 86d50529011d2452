// What stands in front of other operations in tests, which derive from it and pass on what they do
// not change.
#pragma once
#include <memory>
#include <utility>

#include "ops/ops.h"

namespace tutti::testing {

class ForwardingOps : public Ops {
 public:
  explicit ForwardingOps(std::unique_ptr<Ops> inner) : inner_(std::move(inner)) {}

  const char* name() const override { return inner_->name(); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Status supports(const OpCall& op) const override { return inner_->supports(op); }

  std::vector<KernelCalls> kernel_calls() const override { return inner_->kernel_calls(); }

 protected:
  Ops& inner() { return *inner_; }

 private:
  std::unique_ptr<Ops> inner_;
};

}  // namespace tutti::testing
