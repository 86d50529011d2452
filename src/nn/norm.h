// RMSNorm (arXiv:1910.07467): x / sqrt(mean(x^2) + eps) * weight.
#pragma once
#include "nn/compute_context.h"
#include "nn/scope.h"

namespace tutti {

class RmsNorm {
 public:
  RmsNorm(const Scope& scope, int64_t width, double eps) : RmsNorm(scope, width, eps, {0, width}) {}

  /// `take`: the columns this rank owns.
  RmsNorm(const Scope& scope, int64_t width, double eps, Range take)
      : eps_(static_cast<float>(eps)) {
    ParamSpec spec;
    spec.name = scope.name("weight");
    spec.sources = {{spec.name, width, take}};
    spec.dtype = DTypeRule::kF32;
    weight_ = scope.registry().add(std::move(spec));
  }

  TensorView operator()(const ComputeContext& ctx, ConstTensorView x) const {  // [t, d] -> [t, d]
    TensorView y = ctx.alloc(x.shape());
    ctx.ops.rms_norm(y, x, weight_->tensor(), eps_);
    return y;
  }

  void in_place(const ComputeContext& ctx, TensorView x) const {
    ctx.ops.rms_norm(x, x, weight_->tensor(), eps_);
  }

  ConstTensorView weight() const { return weight_->tensor(); }

  float eps() const { return eps_; }

  /// residual += the sum of all ranks' x; returns the norm of the result, [t, d] act. `residual`:
  /// [t, d] f32; `x`: [t, d] act, contiguous, lost afterwards.
  TensorView add_parts(const ComputeContext& ctx, TensorView residual, TensorView x) const {
    const TensorView y = ctx.alloc(x.shape());
    Communicator& group = ctx.parallel.tp;
    if (group.all_reduce_add_rms_norm(
            {.y = y, .residual = residual, .x = x, .weight = weight_->tensor(), .eps = eps_})) {
      return y;
    }
    group.all_reduce_sum(x);
    ctx.ops.add_rms_norm(y, residual, x, weight_->tensor(), eps_);
    return y;
  }

 private:
  Param* weight_;
  float eps_;
};

}  // namespace tutti
