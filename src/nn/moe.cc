#include "nn/moe.h"

namespace tutti {

Moe::Moe(const Scope& scope, const MoeConfig& c)
    : c_(c),
      width_(scope.balanced_weights(c.expert_width, "moe_intermediate_size")),
      gate_(scope,
            {{.name = "gate", .out = c.experts, .take = {0, c.experts}, .usually_dense = true}},
            c.hidden,
            {0, c.hidden},
            /*bias=*/false),
      gate_up_(stacked(
          scope, {c.names.gate, c.names.up}, c.expert_width, width_, c.hidden, {0, c.hidden})),
      down_(stacked(scope, {c.names.down}, c.hidden, {0, c.hidden}, c.expert_width, width_)) {
  if (c.selection_bias) {
    ParamSpec spec;
    spec.name = scope.name(c.names.selection_bias);
    spec.sources = {{spec.name, c.experts, {0, c.experts}}};
    spec.dtype = DTypeRule::kF32;
    bias_ = scope.registry().add(std::move(spec));
  }
  if (c.shared_width > 0) {
    shared_.emplace(scope / "shared_experts",
                    GatedMlpConfig{.hidden = c.hidden, .width = c.shared_width});
  }
}

Param* Moe::stacked(const Scope& scope,
                    const std::vector<std::string>& names,
                    int64_t out,
                    Range take_out,
                    int64_t in,
                    Range take_in) const {
  ParamSpec spec;
  spec.name = scope.name("experts." + names.front() + (names.size() > 1 ? "+" + names.back() : "") +
                         ".weight");
  for (const std::string& name : names) {
    spec.sources.push_back({scope.name("experts.{}." + name + ".weight"), out, take_out});
  }
  spec.cols = in;
  spec.take_cols = take_in;
  spec.groups = c_.experts;
  spec.take_groups = {0, c_.experts};
  return scope.registry().add(std::move(spec));
}

void Moe::into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const {
  const int64_t t = x.dim(0);
  const int64_t k = c_.router.top_k;
  Ops& ops = ctx.ops;

  const TensorView experts = ctx.arena.alloc(DType::kI32, {t, k});
  const TensorView weights = ctx.alloc_f32({t, k});
  const TensorView row_token = ctx.arena.alloc(DType::kI32, {t * k});
  const TensorView pair_row = ctx.arena.alloc(DType::kI32, {t, k});
  const TensorView offsets = ctx.arena.alloc(DType::kI32, {c_.experts + 1});
  ops.call(op::MoeAssign{.experts = experts,
                         .weights = weights,
                         .row_token = row_token,
                         .pair_row = pair_row,
                         .offsets = offsets,
                         .logits = gate_.f32(ctx, x),
                         .bias = bias_ != nullptr ? bias_->tensor() : ConstTensorView(),
                         .params = c_.router});

  op::GroupedGatedLinear gate_up{.y = ctx.alloc({t * k, 2 * width_.count}),
                                 .x = x,
                                 .rows = row_token,
                                 .gathered = ctx.alloc({t * k, c_.hidden}),
                                 .weight = gate_up_->weight(),
                                 .offsets = offsets,
                                 .beside = {}};
  // What was gathered is no longer needed then, nor the second half of what came of it.
  op::GroupedLinearCombine down{.y = y,
                                .x = gate_up.y.slice(1, 0, width_.count),
                                .weight = down_->weight(),
                                .experts = experts,
                                .weights = weights,
                                .pair_row = pair_row,
                                .offsets = offsets,
                                .products = gate_up.gathered,
                                .scratch = gate_up.y.slice(1, width_.count, width_.count),
                                .beside = {}};
  if (shared_) {
    gate_up.beside = shared_->gate_up(ctx, x);
    const int64_t width = gate_up.beside.weight.rows() / 2;
    down.beside =
        shared_->down(ctx.alloc({t, c_.hidden}), ctx, gate_up.beside.y.slice(1, 0, width));
  }
  ops.call(gate_up);
  ops.call(down);
}

}  // namespace tutti
