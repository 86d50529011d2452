// RMSNorm (arXiv:1910.07467): x / sqrt(mean(x^2) + eps) * weight. LayerNorm (arXiv:1607.06450)
// takes the mean away first and has a bias.
#pragma once
#include <utility>
#include <variant>

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

class LayerNorm {
 public:
  LayerNorm(const Scope& scope, int64_t width, double eps) : eps_(static_cast<float>(eps)) {
    weight_ = vector(scope, "weight", width);
    bias_ = vector(scope, "bias", width);
  }

  TensorView operator()(const ComputeContext& ctx, ConstTensorView x) const {  // [t, d] -> [t, d]
    const TensorView y = ctx.alloc(x.shape());
    ctx.ops.call(op::LayerNorm{y, x, weight_->tensor(), bias_->tensor(), eps_});
    return y;
  }

  /// As RmsNorm's.
  TensorView add_parts(const ComputeContext& ctx, TensorView residual, TensorView x) const {
    ctx.parallel.tp.all_reduce_sum(x);
    ctx.ops.add(residual, x);
    return (*this)(ctx, residual);
  }

 private:
  static Param* vector(const Scope& scope, const char* name, int64_t width) {
    ParamSpec spec;
    spec.name = scope.name(name);
    spec.sources = {{spec.name, width, {0, width}}};
    spec.dtype = DTypeRule::kF32;
    return scope.registry().add(std::move(spec));
  }

  Param* weight_;
  Param* bias_;
  float eps_;
};

enum class NormKind { kRms, kLayer };

/// The norm of a residual stream, of either kind.
class StreamNorm {
 public:
  StreamNorm(const Scope& scope, int64_t width, double eps, NormKind kind) {
    if (kind == NormKind::kRms) {
      norm_.emplace<RmsNorm>(scope, width, eps);
    } else {
      norm_.emplace<LayerNorm>(scope, width, eps);
    }
  }

  TensorView operator()(const ComputeContext& ctx, ConstTensorView x) const {
    return visit([&](const auto& norm) { return norm(ctx, x); });
  }

  TensorView add_parts(const ComputeContext& ctx, TensorView residual, TensorView x) const {
    return visit([&](const auto& norm) { return norm.add_parts(ctx, residual, x); });
  }

 private:
  template <class F>
  TensorView visit(const F& f) const {
    if (const auto* layer = std::get_if<LayerNorm>(&norm_)) {
      return f(*layer);
    }
    return f(std::get<RmsNorm>(norm_));
  }

  std::variant<std::monostate, RmsNorm, LayerNorm> norm_;
};

}  // namespace tutti
