#include "nn/mlp.h"

namespace tutti {

GatedMlp::GatedMlp(const Scope& scope, const GatedMlpConfig& c)
    : take_(scope.balanced_weights(c.width, "intermediate_size")),
      gate_up_(column_parallel_linear(
          scope, {"gate_proj", "up_proj"}, c.hidden, c.width, take_, c.bias)),
      down_(scope, "down_proj", c.width, c.hidden, take_, c.bias) {}

TensorView GatedMlp::operator()(const ComputeContext& ctx, ConstTensorView x) const {
  return down_(ctx, gate_up_.gated(ctx, x));
}

op::GatedLinear GatedMlp::gate_up(const ComputeContext& ctx, ConstTensorView x) const {
  return gate_up_.gated_call(ctx, x);
}

op::Linear GatedMlp::down(TensorView y, const ComputeContext& ctx, ConstTensorView rows) const {
  return down_.call(y, ctx, rows);
}

void GatedMlp::into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const {
  down_.into(y, ctx, gate_up_.gated(ctx, x));
}

}  // namespace tutti
