#include "nn/mlp.h"

namespace tutti {

GatedMlp::GatedMlp(const Scope& scope, const GatedMlpConfig& c)
    : activation_(c.activation),
      take_(scope.balanced_weights(c.width, "intermediate_size")),
      gate_up_(column_parallel_linear(
          scope, {"gate_proj", "up_proj"}, c.hidden, c.width, take_, c.bias)),
      down_(scope, "down_proj", c.width, c.hidden, take_, c.bias) {}

TensorView GatedMlp::activated(const ComputeContext& ctx, ConstTensorView x) const {
  if (activation_ == Activation::kSilu) {
    return gate_up_.gated(ctx, x);
  }
  const TensorView y = gate_up_(ctx, x);
  const TensorView gate = y.slice(1, 0, take_.count);
  ctx.ops.call(op::GeluMul{.y = gate,
                           .gate = gate,
                           .up = y.slice(1, take_.count, take_.count),
                           .tanh = activation_ == Activation::kGeluTanh});
  return gate;
}

TensorView GatedMlp::operator()(const ComputeContext& ctx, ConstTensorView x) const {
  return down_(ctx, activated(ctx, x));
}

op::GatedLinear GatedMlp::gate_up(const ComputeContext& ctx, ConstTensorView x) const {
  return gate_up_.gated_call(ctx, x);
}

op::Linear GatedMlp::down(TensorView y, const ComputeContext& ctx, ConstTensorView rows) const {
  return down_.call(y, ctx, rows);
}

void GatedMlp::into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const {
  down_.into(y, ctx, activated(ctx, x));
}

}  // namespace tutti
