#include "nn/mlp.h"

namespace tutti {

GatedMlp::GatedMlp(const Scope& scope, const GatedMlpConfig& c)
    : take_(scope.balanced(c.width, "intermediate_size")),
      gate_up_(column_parallel_linear(
          scope, {"gate_proj", "up_proj"}, c.hidden, c.width, take_, c.bias)),
      down_(scope, "down_proj", c.width, c.hidden, take_, {.bias = c.bias, .reduce = c.reduce}) {}

TensorView GatedMlp::operator()(const StepContext& ctx, ConstTensorView x) const {
  TensorView gate_up = gate_up_(ctx, x);
  const TensorView gate = gate_up.slice(1, 0, take_.count);
  ctx.ops.silu_mul(gate, gate, gate_up.slice(1, take_.count, take_.count));
  return down_(ctx, gate);
}

}  // namespace tutti
