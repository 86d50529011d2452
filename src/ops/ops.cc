#include "ops/ops.h"

#include "ops/op_checks.h"

namespace tutti {

Status Ops::check_compute(DType act) const {
  if (act == DType::kF32) {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "the {} operations compute in f32, not in {}",
               name(),
               dtype_name(act));
}

Status Ops::supports(const OpCall& /*op*/) const {
  return ok_status();
}

void Ops::call(const OpCall& op) {
  const TraceScope scope(op.name());
  check_op(op);
  execute(op);
}

void run_in_parts(Ops& ops, const op::GatedLinear& args) {
  const int64_t half = args.weight.rows() / 2;
  const TensorView gate = args.y.slice(1, 0, half);
  ops.linear(args.y, args.x, args.weight, args.bias, args.scratch);
  ops.silu_mul(gate, gate, args.y.slice(1, half, half));
}

void run_in_parts(Ops& ops, const op::GroupedGatedLinear& args) {
  const int64_t half = args.weight.rows() / 2;
  const TensorView gate = args.y.slice(1, 0, half);
  if (args.beside.y.defined()) {
    ops.call(args.beside);
  }
  ops.gather_rows(args.gathered, args.x, args.rows);
  ops.grouped_linear(args.y, args.gathered, args.weight, args.offsets);
  ops.silu_mul(gate, gate, args.y.slice(1, half, half));
}

namespace {

// [t, h * d] of heads without gaps.
TensorView side_by_side(const TensorView& heads) {
  return {heads.raw(),
          heads.dtype(),
          {heads.dim(0), heads.dim(1) * heads.dim(2)},
          {heads.stride(0), 1}};
}

}  // namespace

void run_in_parts(Ops& ops, const op::RopeAndWriteKv& args) {
  const TensorView keys = side_by_side(args.k);
  if (args.squares.defined()) {
    const auto norm =
        [&](const TensorView& x, const ConstTensorView& weight, int64_t part, int64_t width) {
          ops.call(op::NormPart{.y = x,
                                .x = x,
                                .weight = weight,
                                .squares = args.squares.slice(1, part, 1),
                                .width = width,
                                .eps = args.norm_eps});
        };
    norm(side_by_side(args.q), args.q_norm, 0, args.q_width);
    norm(keys, args.k_norm, 1, args.k_width);
  } else if (args.q_norm.defined()) {
    ops.rms_norm(args.q, args.q, args.q_norm, args.norm_eps);
    ops.rms_norm(args.k, args.k, args.k_norm, args.norm_eps);
  }
  ops.rope(args.q, args.table, args.layout);
  ops.rope(args.k, args.table, args.layout);
  ops.write_kv(args.k_cache, keys, args.kv_places);
  ops.write_kv(args.v_cache, args.v, args.kv_places);
}

void run_in_parts(Ops& ops, const op::WriteLatent& args) {
  const int64_t rank = args.norm.dim(0);
  const int64_t width = args.latent.dim(1);
  const TensorView normed = args.latent.slice(1, 0, rank);
  const TensorView rotated = args.latent.slice(1, rank, width - rank);
  ops.rms_norm(normed, normed, args.norm, args.eps);
  if (args.q.defined()) {
    ops.rms_norm(args.q, args.q, args.q_norm, args.eps);
  }
  ops.rope({rotated.raw(),
            rotated.dtype(),
            {rotated.dim(0), 1, rotated.dim(1)},
            {rotated.stride(0), rotated.dim(1), 1}},
           args.table,
           args.layout);
  ops.write_kv(args.cache, args.latent, args.kv_places);
}

void run_in_parts(Ops& ops, const op::RopeAndMlaAttention& args) {
  ops.rope(args.q_rope, args.table, args.layout);
  ops.mla_attention(args.out, args.q_latent, args.q_rope, args.cache, args.batch, args.scale);
}

void run_in_parts(Ops& ops, const op::MoeAssign& args) {
  ops.moe_route(args.experts, args.weights, args.logits, args.bias, args.params);
  ops.moe_permute(args.row_token, args.pair_row, args.offsets, args.experts);
}

void run_in_parts(Ops& ops, const op::GroupedLinearCombine& args) {
  ops.grouped_linear(args.products, args.x, args.weight, args.offsets, args.scratch);
  op::MoeCombine combine{args.y, args.products, args.pair_row, args.weights, {}};
  if (args.beside.y.defined()) {
    ops.call(args.beside);
    combine.added = args.beside.y;
  }
  ops.call(combine);
}

}  // namespace tutti
