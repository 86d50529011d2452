#include "ops/observed_ops.h"

#include <algorithm>

namespace tutti {

namespace {

int64_t size_of(const ConstTensorView& view) {
  return view.defined() ? view.numel() * dtype_size(view.dtype()) : 0;
}

template <class... Views>
int64_t bytes_of(const Views&... views) {
  return (size_of(views) + ...);
}

std::string with_shape(const char* op, const WeightView& w) {
  return w.groups() > 1 ? fmt::format("{} {}x{}x{}", op, w.groups(), w.rows(), w.cols())
                        : fmt::format("{} {}x{}", op, w.rows(), w.cols());
}

int64_t product_flops(int64_t rows, const WeightView& w) {
  return 2 * rows * w.rows() * w.cols();
}

OpCost cost(const op::Embedding& args, const AttentionWork&) {
  const int64_t rows = args.y.numel() * dtype_size(args.table.dtype());
  return {"embedding", rows + bytes_of(args.y, args.ids)};
}

OpCost cost(const op::RmsNorm& args, const AttentionWork&) {
  return {"rms_norm", bytes_of(args.y, args.x, args.weight)};
}

OpCost cost(const op::AddRmsNorm& args, const AttentionWork&) {
  return {"add_rms_norm", bytes_of(args.y, args.residual, args.residual, args.x, args.weight)};
}

OpCost cost(const op::LayerNorm& args, const AttentionWork&) {
  return {"layer_norm", bytes_of(args.y, args.x, args.weight, args.bias)};
}

OpCost cost(const op::SumSquares& args, const AttentionWork&) {
  return {"sum_squares", bytes_of(args.y, args.x, args.also)};
}

OpCost cost(const op::NormPart& args, const AttentionWork&) {
  return {"norm_part", bytes_of(args.y, args.x, args.weight, args.squares)};
}

OpCost cost(const op::Add& args, const AttentionWork&) {
  return {"add", bytes_of(args.y, args.y, args.x)};
}

OpCost cost(const op::Linear& args, const AttentionWork&) {
  return {with_shape("linear", args.weight),
          bytes_of(args.y, args.x, args.bias) + args.weight.bytes(),
          product_flops(args.x.dim(0), args.weight)};
}

OpCost cost(const op::GroupedLinear& args, const AttentionWork&) {
  const int64_t read = std::min(args.x.dim(0), args.weight.groups());
  const int64_t flops = product_flops(args.x.dim(0), args.weight);
  return {
      with_shape("grouped_linear", args.weight),
      bytes_of(args.y, args.x, args.offsets) + args.weight.bytes() / args.weight.groups() * read,
      flops,
      flops};
}

OpCost cost(const op::BatchedLinear& args, const AttentionWork&) {
  return {with_shape("batched_linear", args.weight),
          bytes_of(args.y, args.x) + args.weight.bytes(),
          product_flops(args.x.dim(0) * args.x.dim(1), args.weight)};
}

OpCost cost(const op::SiluMul& args, const AttentionWork&) {
  return {"silu_mul", bytes_of(args.y, args.gate, args.up)};
}

OpCost cost(const op::GeluMul& args, const AttentionWork&) {
  return {"gelu_mul", bytes_of(args.y, args.gate, args.up)};
}

OpCost cost(const op::GatedLinear& args, const AttentionWork&) {
  return {with_shape("gated_linear", args.weight),
          bytes_of(args.y.slice(1, 0, args.y.dim(1) / 2), args.x, args.bias) + args.weight.bytes(),
          product_flops(args.x.dim(0), args.weight)};
}

OpCost cost(const op::GroupedGatedLinear& args, const AttentionWork& work) {
  const int64_t read = std::min(args.rows.dim(0), args.weight.groups());
  const int64_t flops = product_flops(args.rows.dim(0), args.weight);
  OpCost all{with_shape("grouped_gated_linear", args.weight),
             bytes_of(args.y.slice(1, 0, args.y.dim(1) / 2), args.x, args.rows, args.offsets) +
                 args.weight.bytes() / args.weight.groups() * read,
             flops,
             flops};
  if (args.beside.y.defined()) {
    const OpCost beside = cost(args.beside, work);
    all.bytes += beside.bytes;
    all.flops += beside.flops;
  }
  return all;
}

OpCost cost(const op::RopeTable& args, const AttentionWork&) {
  return {"rope_table", bytes_of(args.table, args.positions, args.inv_freq)};
}

OpCost cost(const op::Rope& args, const AttentionWork&) {
  return {"rope", bytes_of(args.x, args.x, args.table)};
}

OpCost cost(const op::WriteKv& args, const AttentionWork&) {
  return {"write_kv", bytes_of(args.x, args.x, args.kv_places)};
}

OpCost cost(const op::RopeAndWriteKv& args, const AttentionWork&) {
  return {"rope_and_write_kv",
          bytes_of(args.q,
                   args.q,
                   args.k,
                   args.k,
                   args.k,
                   args.v,
                   args.v,
                   args.table,
                   args.kv_places,
                   args.q_norm,
                   args.k_norm,
                   args.squares)};
}

OpCost cost(const op::WriteLatent& args, const AttentionWork&) {
  const int64_t q = args.q.defined() ? bytes_of(args.q, args.q, args.q_norm) : 0;
  return {
      "write_latent",
      q + bytes_of(args.latent, args.latent, args.latent, args.norm, args.table, args.kv_places)};
}

OpCost cost(const op::Attention& args, const AttentionWork& work) {
  const int64_t row = args.k_cache.dim(2) + args.v_cache.dim(2);
  return {"attention",
          bytes_of(args.out, args.q) + work.keys * row * dtype_size(args.k_cache.dtype()),
          2 * work.pairs * args.q.dim(1) * (args.q.dim(2) + args.out.dim(2))};
}

OpCost cost(const op::MlaAttention& args, const AttentionWork& work) {
  return {"mla_attention",
          bytes_of(args.out, args.q_latent, args.q_rope) +
              work.keys * args.cache.dim(2) * dtype_size(args.cache.dtype()),
          2 * work.pairs * args.out.dim(1) * (args.cache.dim(2) + args.out.dim(2))};
}

OpCost cost(const op::RopeAndMlaAttention& args, const AttentionWork& work) {
  OpCost of = cost(
      op::MlaAttention{args.out, args.q_latent, args.q_rope, args.cache, args.batch, args.scale},
      work);
  of.op = "rope_and_mla_attention";
  of.bytes += bytes_of(args.table);
  return of;
}

OpCost cost(const op::GatherKv& args, const AttentionWork&) {
  return {"gather_kv", bytes_of(args.y, args.y)};
}

OpCost cost(const op::MlaExpandedAttention& args, const AttentionWork& work) {
  return {"mla_expanded_attention",
          bytes_of(args.out, args.q, args.kv, args.k_rope),
          2 * work.pairs * args.out.dim(1) * (args.q.dim(2) + args.out.dim(2))};
}

OpCost cost(const op::MoeRoute& args, const AttentionWork&) {
  return {"moe_route", bytes_of(args.experts, args.weights, args.logits, args.bias)};
}

OpCost cost(const op::MoePermute& args, const AttentionWork&) {
  return {"moe_permute", bytes_of(args.row_token, args.pair_row, args.offsets, args.experts)};
}

OpCost cost(const op::MoeAssign& args, const AttentionWork&) {
  return {"moe_assign",
          bytes_of(args.experts,
                   args.weights,
                   args.row_token,
                   args.pair_row,
                   args.offsets,
                   args.logits,
                   args.bias)};
}

OpCost cost(const op::MoeCombine& args, const AttentionWork&) {
  return {"moe_combine", bytes_of(args.y, args.x, args.pair_row, args.weights, args.added)};
}

OpCost cost(const op::GroupedLinearCombine& args, const AttentionWork& work) {
  OpCost all = cost(op::GroupedLinear{args.products, args.x, args.weight, args.offsets, {}}, work);
  all.op = with_shape(args.kName, args.weight);
  // The products may stay where they are made.
  all.bytes +=
      bytes_of(args.y, args.experts, args.pair_row, args.weights) - bytes_of(args.products);
  if (args.beside.y.defined()) {
    const OpCost beside = cost(args.beside, work);
    all.bytes += beside.bytes - bytes_of(args.beside.y);
    all.flops += beside.flops;
  }
  return all;
}

OpCost cost(const op::GatherRows& args, const AttentionWork&) {
  return {"gather_rows", bytes_of(args.y, args.y, args.rows)};
}

OpCost cost(const op::Argmax& args, const AttentionWork&) {
  return {"argmax", bytes_of(args.tokens, args.logits)};
}

OpCost cost(const op::ShardArgmax& args, const AttentionWork&) {
  return {"shard_argmax", bytes_of(args.best, args.logits)};
}

OpCost cost(const op::MergeArgmax& args, const AttentionWork&) {
  return {"merge_argmax", bytes_of(args.tokens, args.best)};
}

OpCost cost(const op::Draw& args, const AttentionWork&) {
  return {"draw", bytes_of(args.tokens, args.logits, args.rows)};
}

OpCost cost(const op::LogProbs& args, const AttentionWork&) {
  return {"log_probs", bytes_of(args.ids, args.values, args.tokens, args.logits, args.counts)};
}

OpCost cost(const op::AdjustLogits& args, const AttentionWork&) {
  return {"adjust_logits", bytes_of(args.y, args.y, args.y, args.rows)};
}

OpCost cost(const op::TakeAdjusted& args, const AttentionWork&) {
  return {"take_adjusted", bytes_of(args.tokens, args.tokens, args.tokens, args.rows)};
}

OpCost cost(const op::FillTokens& args, const AttentionWork&) {
  return {"fill_tokens", bytes_of(args.tokens, args.tokens, args.tokens, args.rows)};
}

OpCost cost(const op::Scatter& args, const AttentionWork&) {
  return {"scatter", bytes_of(args.values, args.values, args.at)};
}

}  // namespace

OpCost cost_of(const OpCall& op, const AttentionWork& work) {
  return op.visit([&work](const auto& args) { return cost(args, work); });
}

void ObservedOps::execute(const OpCall& op) {
  OpCost cost = cost_of(op, work_);
  observer_.begin();
  inner_.call(op);
  observer_.end(std::move(cost));
}

}  // namespace tutti
