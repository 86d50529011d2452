#include "ops/op_checks.h"

#include "base/check.h"

namespace tutti {

namespace {

// One rule for every argument: dtype, shape and a contiguous last dimension.
void expect(const char* name, const ConstTensorView& view, DType dtype, const Shape& shape) {
  TUTTI_CHECK_MSG(view.dtype() == dtype,
                  "{} is {}, wanted {}",
                  name,
                  dtype_name(view.dtype()),
                  dtype_name(dtype));
  TUTTI_CHECK_MSG(view.shape() == shape,
                  "{} is {}, wanted {}",
                  name,
                  view.shape().to_string(),
                  shape.to_string());
  TUTTI_CHECK_MSG(view.rank() == 0 || view.dim(-1) <= 1 || view.stride(-1) == 1,
                  "{} has stride {} in its last dimension, wanted 1",
                  name,
                  view.stride(-1));
  TUTTI_CHECK_MSG(view.defined() || view.numel() == 0, "{} is undefined", name);
}

void expect_f32(const char* name, const ConstTensorView& view, const Shape& shape) {
  expect(name, view, DType::kF32, shape);
}

bool is_activation(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16;
}

/// The compute type of a call, from its first activation.
DType activation_dtype(const char* name, const ConstTensorView& view) {
  TUTTI_CHECK_MSG(
      is_activation(view.dtype()), "{} is {}, wanted F32 or BF16", name, dtype_name(view.dtype()));
  return view.dtype();
}

void expect_act_or_f32(const char* name,
                       const ConstTensorView& view,
                       DType act,
                       const Shape& shape) {
  expect(name, view, view.dtype() == DType::kF32 ? DType::kF32 : act, shape);
}

void expect_i32(const char* name, const ConstTensorView& view, const Shape& shape) {
  expect(name, view, DType::kI32, shape);
}

void expect_rank(const char* name, const ConstTensorView& view, int rank) {
  TUTTI_CHECK_MSG(
      view.rank() == rank, "{} is {}, wanted rank {}", name, view.shape().to_string(), rank);
}

constexpr int64_t kAdjustWords = sizeof(AdjustParams) / sizeof(int32_t);

void expect_adjust_tables(const AdjustTables& tables, int64_t vocab) {
  expect_rank("seen", tables.seen, 2);
  expect_rank("edits", tables.edits, 3);
  const int64_t states = tables.seen.dim(0);
  expect_i32("seen", tables.seen, {states, vocab});
  expect_i32("allowed", tables.allowed, {states, ceil_div(vocab, int64_t{32})});
  expect_i32("edits", tables.edits, {states, tables.edits.dim(1), 3});
  TUTTI_CHECK(tables.edits.contiguous());
}

bool is_float_storage(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

void expect_weight(const WeightView& weight, int rank, int64_t cols) {
  TUTTI_CHECK_MSG(weight.layout.format != nullptr, "weight is undefined");
  TUTTI_CHECK_MSG(
      weight.shape.rank() == rank, "weight is {}, wanted rank {}", weight.shape.to_string(), rank);
  TUTTI_CHECK_EQ(weight.cols(), cols);
  if (weight.format().dense()) {
    expect("values", weight.values(), weight.format().planes[0].dtype, weight.shape);
    return;
  }
  for (int p = 0; p < weight.format().plane_count; ++p) {
    const WeightPlane& plane = weight.format().planes[usize(p)];
    expect(plane.name,
           weight.planes[usize(p)],
           plane.dtype,
           weight.layout.plane_shape(p, weight.shape));
  }
}

// `tokens` query rows, and one block table row per sequence.
void expect_batch(const AttentionBatch& batch) {
  expect_rank("query_begin", batch.query_begin, 1);
  const int64_t sequences = batch.query_begin.dim(0) - 1;
  TUTTI_CHECK_GE(sequences, 0);
  expect_i32("query_begin", batch.query_begin, {sequences + 1});
  expect_i32("context_before", batch.context_before, {sequences});
  expect_rank("block_table", batch.block_table, 2);
  expect_i32("block_table", batch.block_table, {sequences, batch.block_table.dim(1)});
}

void expect_cache(
    const char* name, const ConstTensorView& cache, DType act, int64_t block_size, int64_t w) {
  TUTTI_CHECK_GT(block_size, 0);
  expect_rank(name, cache, 3);
  expect(name, cache, act, {cache.dim(0), block_size, w});
}

void check(const op::Embedding& args) {
  expect_rank("table", args.table, 2);
  expect_rank("ids", args.ids, 1);
  TUTTI_CHECK_MSG(is_float_storage(args.table.dtype()),
                  "table is {}, wanted F32, F16 or BF16",
                  dtype_name(args.table.dtype()));
  expect("table", args.table, args.table.dtype(), args.table.shape());
  expect_i32("ids", args.ids, args.ids.shape());
  expect_f32("y", args.y, {args.ids.dim(0), args.table.dim(1)});
}

void check(const op::RmsNorm& args) {
  TUTTI_CHECK_MSG(args.x.rank() == 2 || args.x.rank() == 3,
                  "x is {}, wanted rank 2 or 3",
                  args.x.shape().to_string());
  const DType act = activation_dtype("y", args.y);
  expect_act_or_f32("x", args.x, act, args.x.shape());
  expect("y", args.y, act, args.x.shape());
  expect_f32("weight", args.weight, {args.x.dim(-1)});
}

void check(const op::AddRmsNorm& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_f32("residual", args.residual, args.x.shape());
  expect("y", args.y, act, args.x.shape());
  expect_f32("weight", args.weight, {args.x.dim(1)});
}

void check(const op::LayerNorm& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("y", args.y);
  expect_act_or_f32("x", args.x, act, args.x.shape());
  expect("y", args.y, act, args.x.shape());
  expect_f32("weight", args.weight, {args.x.dim(1)});
  if (args.bias.defined()) {
    expect_f32("bias", args.bias, {args.x.dim(1)});
  }
}

void check(const op::SumSquares& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  if (args.also.defined()) {
    expect_rank("also", args.also, 2);
    expect("also", args.also, act, {args.x.dim(0), args.also.dim(1)});
  }
  expect_f32("y", args.y, {args.x.dim(0), 2});
}

void check(const op::NormPart& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect("y", args.y, act, args.x.shape());
  expect_f32("weight", args.weight, {args.x.dim(1)});
  expect_f32("squares", args.squares, {args.x.dim(0), 1});
  TUTTI_CHECK_GE(args.width, args.x.dim(1));
}

void check(const op::Add& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_act_or_f32("y", args.y, act, args.x.shape());
}

void expect_scratch(const TensorView& scratch, DType act, int64_t rows) {
  if (scratch.defined()) {
    expect_rank("scratch", scratch, 2);
    TUTTI_CHECK(scratch.dtype() == act || scratch.dtype() == DType::kF8E4M3);
    TUTTI_CHECK_EQ(scratch.dim(0), rows);
  }
}

void check(const op::Linear& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_weight(args.weight, 2, args.x.dim(1));
  expect_act_or_f32("y", args.y, act, {args.x.dim(0), args.weight.rows()});
  expect_scratch(args.scratch, act, args.x.dim(0));
  if (args.bias.defined()) {
    expect_f32("bias", args.bias, {args.weight.rows()});
  }
}

void check(const op::GroupedLinear& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_weight(args.weight, 3, args.x.dim(1));
  expect("y", args.y, act, {args.x.dim(0), args.weight.rows()});
  expect_scratch(args.scratch, act, args.x.dim(0));
  expect_i32("offsets", args.offsets, {args.weight.groups() + 1});
}

void check(const op::BatchedLinear& args) {
  expect_rank("x", args.x, 3);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_weight(args.weight, 3, args.x.dim(2));
  TUTTI_CHECK_EQ(args.weight.groups(), args.x.dim(1));
  expect("y", args.y, act, {args.x.dim(0), args.x.dim(1), args.weight.rows()});
}

void check(const op::SiluMul& args) {
  expect_rank("gate", args.gate, 2);
  const DType act = activation_dtype("gate", args.gate);
  expect("gate", args.gate, act, args.gate.shape());
  expect("up", args.up, act, args.gate.shape());
  expect("y", args.y, act, args.gate.shape());
}

void check(const op::GeluMul& args) {
  check(op::SiluMul{args.y, args.gate, args.up});
}

void check(const op::GatedLinear& args) {
  expect_rank("x", args.x, 2);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_weight(args.weight, 2, args.x.dim(1));
  TUTTI_CHECK_EQ(args.weight.rows() % 2, 0);
  expect("y", args.y, act, {args.x.dim(0), args.weight.rows()});
  expect_scratch(args.scratch, act, args.x.dim(0));
  if (args.bias.defined()) {
    expect_f32("bias", args.bias, {args.weight.rows()});
  }
}

void check(const op::GroupedGatedLinear& args) {
  expect_rank("x", args.x, 2);
  expect_rank("rows", args.rows, 1);
  const DType act = activation_dtype("x", args.x);
  const int64_t rows = args.rows.dim(0);
  expect("x", args.x, act, args.x.shape());
  expect_i32("rows", args.rows, {rows});
  expect_weight(args.weight, 3, args.x.dim(1));
  TUTTI_CHECK_EQ(args.weight.rows() % 2, 0);
  expect("y", args.y, act, {rows, args.weight.rows()});
  expect("gathered", args.gathered, act, {rows, args.x.dim(1)});
  expect_i32("offsets", args.offsets, {args.weight.groups() + 1});
  if (args.beside.y.defined()) {
    check(args.beside);
  }
}

void check(const op::RopeTable& args) {
  expect_rank("positions", args.positions, 1);
  expect_rank("inv_freq", args.inv_freq, 1);
  expect_i32("positions", args.positions, args.positions.shape());
  expect_f32("inv_freq", args.inv_freq, args.inv_freq.shape());
  expect_f32("table", args.table, {args.positions.dim(0), 2 * args.inv_freq.dim(0)});
}

void expect_rope_table(const ConstTensorView& table, int64_t tokens, int64_t head_dim) {
  expect_rank("table", table, 2);
  expect_f32("table", table, {tokens, table.dim(1)});
  TUTTI_CHECK_EQ(table.dim(1) % 2, 0);
  TUTTI_CHECK_LE(table.dim(1), head_dim);
}

void check(const op::Rope& args) {
  expect_rank("x", args.x, 3);
  expect("x", args.x, activation_dtype("x", args.x), args.x.shape());
  expect_rope_table(args.table, args.x.dim(0), args.x.dim(2));
}

void check(const op::WriteKv& args) {
  expect_rank("x", args.x, 2);
  expect_rank("cache", args.cache, 3);
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, args.x.shape());
  expect_cache("cache", args.cache, act, args.cache.dim(1), args.x.dim(1));
  expect_i32("kv_places", args.kv_places, {args.x.dim(0)});
}

void check(const op::RopeAndWriteKv& args) {
  expect_rank("q", args.q, 3);
  expect_rank("k", args.k, 3);
  expect_rank("v", args.v, 2);
  expect_rank("k_cache", args.k_cache, 3);
  const DType act = activation_dtype("q", args.q);
  const int64_t tokens = args.q.dim(0);
  expect("q", args.q, act, args.q.shape());
  expect("k", args.k, act, {tokens, args.k.dim(1), args.q.dim(2)});
  TUTTI_CHECK(args.k.dim(1) <= 1 || args.k.stride(1) == args.k.dim(2));
  expect("v", args.v, act, {tokens, args.v.dim(1)});
  expect_rope_table(args.table, tokens, args.q.dim(2));
  expect_cache("k_cache", args.k_cache, act, args.k_cache.dim(1), args.k.dim(1) * args.k.dim(2));
  expect_cache("v_cache", args.v_cache, act, args.k_cache.dim(1), args.v.dim(1));
  expect_i32("kv_places", args.kv_places, {tokens});
  TUTTI_CHECK_EQ(args.q_norm.defined(), args.k_norm.defined());
  const bool parts = args.squares.defined();
  if (args.q_norm.defined()) {
    expect_f32("q_norm", args.q_norm, {args.q.dim(2) * (parts ? args.q.dim(1) : 1)});
    expect_f32("k_norm", args.k_norm, {args.q.dim(2) * (parts ? args.k.dim(1) : 1)});
  }
  if (parts) {
    TUTTI_CHECK(args.q_norm.defined());
    TUTTI_CHECK(args.q.dim(1) <= 1 || args.q.stride(1) == args.q.dim(2));
    expect_f32("squares", args.squares, {tokens, 2});
    TUTTI_CHECK_GE(args.q_width, args.q_norm.dim(0));
    TUTTI_CHECK_GE(args.k_width, args.k_norm.dim(0));
  }
}

void check(const op::WriteLatent& args) {
  expect_rank("latent", args.latent, 2);
  expect_rank("norm", args.norm, 1);
  expect_rank("cache", args.cache, 3);
  const DType act = activation_dtype("latent", args.latent);
  const int64_t tokens = args.latent.dim(0);
  const int64_t rope = args.latent.dim(1) - args.norm.dim(0);
  TUTTI_CHECK_GE(rope, 0);
  TUTTI_CHECK_EQ(rope % 2, 0);
  expect("latent", args.latent, act, args.latent.shape());
  expect_f32("norm", args.norm, args.norm.shape());
  expect_f32("table", args.table, {tokens, rope});
  expect_cache("cache", args.cache, act, args.cache.dim(1), args.latent.dim(1));
  expect_i32("kv_places", args.kv_places, {tokens});
  TUTTI_CHECK_EQ(args.q.defined(), args.q_norm.defined());
  if (args.q.defined()) {
    expect_rank("q", args.q, 2);
    expect("q", args.q, act, {tokens, args.q.dim(1)});
    expect_f32("q_norm", args.q_norm, {args.q.dim(1)});
  }
}

void check(const op::Attention& args) {
  expect_rank("q", args.q, 3);
  expect_rank("out", args.out, 3);
  expect_rank("k_cache", args.k_cache, 3);
  const DType act = activation_dtype("q", args.q);
  expect("q", args.q, act, args.q.shape());
  expect_batch(args.batch);
  TUTTI_CHECK_GT(args.q.dim(1), 0);
  TUTTI_CHECK_GT(args.q.dim(2), 0);
  TUTTI_CHECK_GT(args.k_cache.dim(2), 0);
  TUTTI_CHECK_EQ(args.k_cache.dim(2) % args.q.dim(2), 0);
  const int64_t kv_heads = args.k_cache.dim(2) / args.q.dim(2);
  TUTTI_CHECK_EQ(args.q.dim(1) % kv_heads, 0);
  expect("out", args.out, act, {args.q.dim(0), args.q.dim(1), args.out.dim(2)});
  expect_cache("k_cache", args.k_cache, act, args.batch.block_size, args.k_cache.dim(2));
  expect_cache("v_cache", args.v_cache, act, args.batch.block_size, kv_heads * args.out.dim(2));
}

void check(const op::MlaAttention& args) {
  expect_rank("q_latent", args.q_latent, 3);
  expect_rank("q_rope", args.q_rope, 3);
  const DType act = activation_dtype("q_latent", args.q_latent);
  expect("q_latent", args.q_latent, act, args.q_latent.shape());
  expect(
      "q_rope", args.q_rope, act, {args.q_latent.dim(0), args.q_latent.dim(1), args.q_rope.dim(2)});
  expect("out", args.out, act, args.q_latent.shape());
  expect_batch(args.batch);
  expect_cache(
      "cache", args.cache, act, args.batch.block_size, args.q_latent.dim(2) + args.q_rope.dim(2));
}

void check(const op::RopeAndMlaAttention& args) {
  check(op::Rope{args.q_rope, args.table, args.layout});
  check(op::MlaAttention{args.out, args.q_latent, args.q_rope, args.cache, args.batch, args.scale});
}

void check(const op::GatherKv& args) {
  expect_rank("y", args.y, 2);
  const DType act = activation_dtype("y", args.y);
  expect("y", args.y, act, args.y.shape());
  expect_batch(args.batch);
  expect_cache("cache", args.cache, act, args.batch.block_size, args.y.dim(1));
  expect_i32("key_begin", args.key_begin, args.batch.query_begin.shape());
}

void check(const op::MlaExpandedAttention& args) {
  expect_rank("q", args.q, 3);
  expect_rank("out", args.out, 3);
  expect_rank("kv", args.kv, 3);
  expect_rank("k_rope", args.k_rope, 2);
  const DType act = activation_dtype("q", args.q);
  expect("q", args.q, act, args.q.shape());
  const int64_t nope = args.q.dim(2) - args.k_rope.dim(1);
  TUTTI_CHECK_GE(nope, 0);
  expect("out", args.out, act, {args.q.dim(0), args.q.dim(1), args.out.dim(2)});
  expect("kv", args.kv, act, {args.kv.dim(0), args.q.dim(1), nope + args.out.dim(2)});
  expect("k_rope", args.k_rope, act, {args.kv.dim(0), args.k_rope.dim(1)});
  expect_batch(args.batch);
  expect_i32("key_begin", args.key_begin, args.batch.query_begin.shape());
}

void check(const op::MoeRoute& args) {
  expect_rank("logits", args.logits, 2);
  const int64_t tokens = args.logits.dim(0);
  const int64_t count = args.logits.dim(1);
  TUTTI_CHECK_GT(args.params.num_groups, 0);
  TUTTI_CHECK_EQ(count % args.params.num_groups, 0);
  TUTTI_CHECK(args.params.top_groups > 0 && args.params.top_groups <= args.params.num_groups);
  const int64_t candidates =
      args.params.num_groups == 1 ? count : count / args.params.num_groups * args.params.top_groups;
  TUTTI_CHECK_GT(args.params.top_k, 0);
  TUTTI_CHECK_LE(args.params.top_k, candidates);
  expect_f32("logits", args.logits, {tokens, count});
  expect_i32("experts", args.experts, {tokens, args.params.top_k});
  expect_f32("weights", args.weights, {tokens, args.params.top_k});
  if (args.bias.defined()) {
    expect_f32("bias", args.bias, {count});
  }
}

void check(const op::MoePermute& args) {
  expect_rank("experts", args.experts, 2);
  expect_rank("offsets", args.offsets, 1);
  TUTTI_CHECK_GE(args.offsets.dim(0), 1);
  expect_i32("experts", args.experts, args.experts.shape());
  expect_i32("row_token", args.row_token, {args.experts.dim(0) * args.experts.dim(1)});
  expect_i32("pair_row", args.pair_row, args.experts.shape());
  expect_i32("offsets", args.offsets, args.offsets.shape());
}

void check(const op::MoeAssign& args) {
  check(op::MoeRoute{args.experts, args.weights, args.logits, args.bias, args.params});
  check(op::MoePermute{args.row_token, args.pair_row, args.offsets, args.experts});
  TUTTI_CHECK_EQ(args.offsets.dim(0), args.logits.dim(1) + 1);
}

void check(const op::MoeCombine& args) {
  expect_rank("x", args.x, 2);
  expect_rank("pair_row", args.pair_row, 2);
  expect_i32("pair_row", args.pair_row, args.pair_row.shape());
  expect_f32("weights", args.weights, args.pair_row.shape());
  const DType act = activation_dtype("x", args.x);
  expect("x", args.x, act, {args.pair_row.dim(0) * args.pair_row.dim(1), args.x.dim(1)});
  expect("y", args.y, act, {args.pair_row.dim(0), args.x.dim(1)});
  if (args.added.defined()) {
    expect("added", args.added, act, args.y.shape());
  }
}

void check(const op::GroupedLinearCombine& args) {
  check(op::GroupedLinear{args.products, args.x, args.weight, args.offsets, args.scratch});
  expect_rank("experts", args.experts, 2);
  expect_i32("experts", args.experts, args.pair_row.shape());
  const bool beside = args.beside.y.defined();
  if (beside) {
    check(args.beside);
  }
  check(op::MoeCombine{args.y,
                       args.products,
                       args.pair_row,
                       args.weights,
                       beside ? args.beside.y : ConstTensorView()});
}

void check(const op::GatherRows& args) {
  expect_rank("x", args.x, 2);
  expect_rank("rows", args.rows, 1);
  const DType type = args.x.dtype() == DType::kI32 ? DType::kI32 : activation_dtype("x", args.x);
  expect("x", args.x, type, args.x.shape());
  expect_i32("rows", args.rows, args.rows.shape());
  expect("y", args.y, type, {args.rows.dim(0), args.x.dim(1)});
}

void check(const op::Argmax& args) {
  expect_rank("logits", args.logits, 2);
  expect_f32("logits", args.logits, args.logits.shape());
  expect_i32("tokens", args.tokens, {args.logits.dim(0)});
  TUTTI_CHECK(args.limit > 0 && args.limit <= args.logits.dim(1));
}

void check(const op::ShardArgmax& args) {
  expect_rank("logits", args.logits, 2);
  expect_f32("logits", args.logits, args.logits.shape());
  expect_f32("best", args.best, {args.logits.dim(0), 2});
  TUTTI_CHECK(args.first_id >= 0 && args.limit > 0);
}

void check(const op::MergeArgmax& args) {
  expect_rank("best", args.best, 2);
  expect_f32("best", args.best, args.best.shape());
  expect_i32("tokens", args.tokens, {args.best.dim(0)});
  TUTTI_CHECK(args.best.dim(1) > 0 && args.best.dim(1) % 2 == 0);
}

void check(const op::Draw& args) {
  expect_rank("logits", args.logits, 2);
  expect_f32("logits", args.logits, args.logits.shape());
  expect_i32("tokens", args.tokens, {args.logits.dim(0)});
  expect_i32("rows", args.rows, {args.logits.dim(0), ssize(sizeof(DrawParams) / sizeof(int32_t))});
  TUTTI_CHECK(args.rows.contiguous());
  TUTTI_CHECK(args.limit > 0 && args.limit <= args.logits.dim(1));
}

void check(const op::LogProbs& args) {
  expect_rank("logits", args.logits, 2);
  expect_rank("ids", args.ids, 2);
  const int64_t rows = args.logits.dim(0);
  expect_f32("logits", args.logits, args.logits.shape());
  expect_i32("ids", args.ids, {rows, args.ids.dim(1)});
  expect_f32("values", args.values, {rows, 1 + args.ids.dim(1)});
  expect_i32("tokens", args.tokens, {rows});
  expect_i32("counts", args.counts, {rows});
  TUTTI_CHECK_LE(args.ids.dim(1), kMostLogProbs);
  TUTTI_CHECK(args.limit > 0 && args.limit <= args.logits.dim(1));
}

void check(const op::AdjustLogits& args) {
  expect_rank("logits", args.logits, 2);
  expect_rank("y", args.y, 2);
  expect_f32("logits", args.logits, args.logits.shape());
  expect_f32("y", args.y, {args.y.dim(0), args.logits.dim(1)});
  expect_adjust_tables(args.tables, args.logits.dim(1));
  expect_i32("rows", args.rows, {args.y.dim(0), kAdjustWords});
  TUTTI_CHECK(args.rows.contiguous());
  TUTTI_CHECK(args.limit > 0 && args.limit <= args.logits.dim(1));
}

void check(const op::TakeAdjusted& args) {
  expect_rank("sampled", args.sampled, 1);
  expect_rank("tokens", args.tokens, 1);
  expect_i32("sampled", args.sampled, args.sampled.shape());
  expect_i32("tokens", args.tokens, args.tokens.shape());
  expect_rank("seen", args.tables.seen, 2);
  expect_adjust_tables(args.tables, args.tables.seen.dim(1));
  expect_i32("rows", args.rows, {args.tokens.dim(0), kAdjustWords});
  TUTTI_CHECK(args.rows.contiguous());
}

void check(const op::FillTokens& args) {
  expect_rank("tokens", args.tokens, 1);
  expect_rank("last", args.last, 1);
  expect_i32("tokens", args.tokens, args.tokens.shape());
  expect_i32("last", args.last, args.last.shape());
  expect_i32("rows", args.rows, args.tokens.shape());
}

void check(const op::Scatter& args) {
  expect_rank("y", args.y, 1);
  expect_rank("values", args.values, 1);
  expect_i32("y", args.y, args.y.shape());
  expect_i32("values", args.values, args.values.shape());
  expect_i32("at", args.at, args.values.shape());
}

}  // namespace

void check_op(const OpCall& op) {
  op.visit([](const auto& args) { check(args); });
}

}  // namespace tutti
