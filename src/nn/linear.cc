#include "nn/linear.h"

namespace tutti {

namespace {

std::string fused_name(const Scope& scope, const std::vector<LinearPart>& parts) {
  std::string name;
  for (const LinearPart& part : parts) {
    name += (name.empty() ? "" : "+") + part.name;
  }
  return scope.name(name);
}

}  // namespace

Linear::Linear(
    const Scope& scope, std::vector<LinearPart> parts, int64_t in, Range take_in, bool bias) {
  ParamSpec weight;
  weight.name = fused_name(scope, parts) + ".weight";
  weight.cols = in;
  weight.take_cols = take_in;
  ParamSpec biases;
  biases.name = fused_name(scope, parts) + ".bias";
  biases.dtype = DTypeRule::kF32;
  for (const LinearPart& part : parts) {
    weight.sources.push_back({scope.name(part.name + ".weight"), part.out, part.take});
    weight.usually_dense = weight.usually_dense || part.usually_dense;
    biases.sources.push_back({scope.name(part.name + ".bias"), part.out, part.take});
  }
  out_ = weight.local_rows();
  weight_ = scope.registry().add(std::move(weight));
  if (bias) {
    bias_ = scope.registry().add(std::move(biases));
  }
}

TensorView Linear::operator()(const ComputeContext& ctx, ConstTensorView x) const {
  return into(ctx.alloc({x.dim(0), out_}), ctx, x);
}

TensorView Linear::f32(const ComputeContext& ctx, ConstTensorView x) const {
  return into(ctx.alloc_f32({x.dim(0), out_}), ctx, x);
}

TensorView Linear::into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const {
  const WeightView weight = weight_->weight();
  ctx.ops.linear(y, x, weight, bias(), ctx.alloc_scratch(x.dim(0), weight));
  return y;
}

TensorView Linear::gated(const ComputeContext& ctx, ConstTensorView x) const {
  const op::GatedLinear call = gated_call(ctx, x);
  ctx.ops.call(call);
  return call.y.slice(1, 0, out_ / 2);
}

op::GatedLinear Linear::gated_call(const ComputeContext& ctx, ConstTensorView x) const {
  const TensorView y = ctx.alloc({x.dim(0), out_});
  const WeightView weight = weight_->weight();
  return {.y = y,
          .x = x,
          .weight = weight,
          .bias = bias(),
          .scratch = ctx.alloc_scratch(x.dim(0), weight)};
}

Linear replicated_linear(const Scope& scope,
                         const std::vector<std::pair<std::string, int64_t>>& parts,
                         int64_t in,
                         bool bias) {
  std::vector<LinearPart> all;
  all.reserve(parts.size());
  for (const auto& [name, out] : parts) {
    all.push_back({name, out, {0, out}});
  }
  return {scope, std::move(all), in, {0, in}, bias};
}

Linear column_parallel_linear(const Scope& scope,
                              const std::vector<std::string>& names,
                              int64_t in,
                              int64_t out,
                              Range take,
                              bool bias) {
  std::vector<LinearPart> parts;
  parts.reserve(names.size());
  for (const std::string& name : names) {
    parts.push_back({name, out, take});
  }
  return {scope, std::move(parts), in, {0, in}, bias};
}

RowParallelLinear::RowParallelLinear(
    const Scope& scope, const std::string& name, int64_t in, int64_t out, Range take_in, bool bias)
    : linear_(scope, {{name, out, {0, out}}}, in, take_in, bias) {}

TensorView RowParallelLinear::operator()(const ComputeContext& ctx, ConstTensorView x) const {
  const TensorView y = ctx.alloc({x.dim(0), linear_.out()});
  into(y, ctx, x);
  return y;
}

void RowParallelLinear::into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const {
  ctx.ops.call(call(y, ctx, x));
}

op::Linear RowParallelLinear::call(TensorView y,
                                   const ComputeContext& ctx,
                                   ConstTensorView x) const {
  // The bias belongs to the sum, so exactly one rank adds it to its part.
  const bool add_bias = ctx.parallel.tp.rank() == 0;
  const WeightView weight = linear_.weight_->weight();
  return {.y = y,
          .x = x,
          .weight = weight,
          .bias = add_bias ? linear_.bias() : ConstTensorView(),
          .scratch = ctx.alloc_scratch(x.dim(0), weight)};
}

}  // namespace tutti
