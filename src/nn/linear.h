// Linear layers that own their weights and their sharding. Column parallel: each rank computes some
// outputs. Row parallel: each rank reads some inputs, and the partial sums of all ranks are added
// up where they meet the residual stream (residual.h).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "nn/compute_context.h"
#include "nn/scope.h"

namespace tutti {

/// One checkpoint matrix of a (possibly fused) linear layer: `name`.weight [out, in], `name`.bias
/// [out].
struct LinearPart {
  std::string name;
  int64_t out = 0;
  Range take;                  ///< output rows this rank owns
  bool usually_dense = false;  ///< as in ParamSpec
};

/// y = x W^T + b for parts stacked along the output, without communication.
class Linear {
 public:
  /// `take_in`: input columns this rank owns. With `bias`, every part has one.
  Linear(const Scope& scope, std::vector<LinearPart> parts, int64_t in, Range take_in, bool bias);

  TensorView operator()(const ComputeContext& ctx,
                        ConstTensorView x) const;  // [t, in local] -> [t, out local]

  /// The same, with the result in f32 whatever the compute type (router logits).
  TensorView f32(const ComputeContext& ctx, ConstTensorView x) const;

  /// silu(first half of the outputs) * second half.
  TensorView gated(const ComputeContext& ctx,
                   ConstTensorView x) const;  // [t, in local] -> [t, out local / 2]

  /// The operation that does it: what `gated` calls, for operations that take it along. Its result
  /// is the first half of its y.
  op::GatedLinear gated_call(const ComputeContext& ctx, ConstTensorView x) const;

  int64_t out() const { return out_; }

  Param* weight() const { return weight_; }

 private:
  friend class RowParallelLinear;

  TensorView into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const;

  ConstTensorView bias() const { return bias_ != nullptr ? bias_->tensor() : ConstTensorView(); }

  Param* weight_;
  Param* bias_ = nullptr;
  int64_t out_;
};

/// The whole matrices on every rank.
Linear replicated_linear(const Scope& scope,
                         const std::vector<std::pair<std::string, int64_t>>& parts,
                         int64_t in,
                         bool bias = false);

/// Parts of equal width whose outputs this rank owns in `take` (gate and up of an MLP).
Linear column_parallel_linear(const Scope& scope,
                              const std::vector<std::string>& names,
                              int64_t in,
                              int64_t out,
                              Range take,
                              bool bias = false);

class RowParallelLinear {
 public:
  RowParallelLinear(const Scope& scope,
                    const std::string& name,
                    int64_t in,
                    int64_t out,
                    Range take_in,
                    bool bias = false);

  /// This rank's part of the sum.
  TensorView operator()(const ComputeContext& ctx,
                        ConstTensorView x) const;  // [t, in local] -> [t, out]

  /// The same, to y: [t, out].
  void into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const;

  /// The operation that does it.
  op::Linear call(TensorView y, const ComputeContext& ctx, ConstTensorView x) const;

 private:
  Linear linear_;
};

}  // namespace tutti
