#include "ops/ops.h"

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
  expect_rank("weight.data", weight.data, rank);
  TUTTI_CHECK_EQ(weight.cols(), cols);
  TUTTI_CHECK_MSG(weight.data.dim(-1) <= 1 || weight.data.stride(-1) == 1,
                  "weight.data has stride {} in its last dimension, wanted 1",
                  weight.data.stride(-1));
  TUTTI_CHECK_MSG(weight.data.defined() || weight.data.numel() == 0, "weight.data is undefined");
  if (!weight.quantized()) {
    TUTTI_CHECK_MSG(is_float_storage(weight.data.dtype()),
                    "dense weight is {}, wanted F32, F16 or BF16",
                    dtype_name(weight.data.dtype()));
    return;
  }
  TUTTI_CHECK_MSG(weight.data.dtype() == DType::kF8E4M3,
                  "scaled weight is {}, wanted F8_E4M3",
                  dtype_name(weight.data.dtype()));
  TUTTI_CHECK_GT(weight.block_k, 0);
  TUTTI_CHECK(weight.phase_k >= 0 && weight.phase_k < weight.block_k);
  TUTTI_CHECK_MSG(weight.scales.dtype() == DType::kF32, "scales must be F32");
  expect_rank("weight.scales", weight.scales, rank);
  if (rank == 3) {
    TUTTI_CHECK_EQ(weight.scales.dim(0), weight.data.dim(0));
  }
  TUTTI_CHECK_GE(weight.scales.dim(-1), ceil_div(weight.phase_k + cols, weight.block_k));
  TUTTI_CHECK(weight.scales.dim(-1) <= 1 || weight.scales.stride(-1) == 1);
  expect_i32("weight.scale_row", weight.scale_row, {weight.rows()});
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

}  // namespace

Status Ops::check_compute(DType act) const {
  if (act == DType::kF32) {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "the {} operations compute in f32, not in {}",
               name(),
               dtype_name(act));
}

void Ops::embedding(TensorView y, ConstTensorView table, ConstTensorView ids, int64_t first_id) {
  const TraceScope scope("embedding");
  expect_rank("table", table, 2);
  expect_rank("ids", ids, 1);
  TUTTI_CHECK_MSG(is_float_storage(table.dtype()),
                  "table is {}, wanted F32, F16 or BF16",
                  dtype_name(table.dtype()));
  expect("table", table, table.dtype(), table.shape());
  expect_i32("ids", ids, ids.shape());
  expect_f32("y", y, {ids.dim(0), table.dim(1)});
  do_embedding(y, table, ids, first_id);
}

void Ops::rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) {
  const TraceScope scope("rms_norm");
  TUTTI_CHECK_MSG(
      x.rank() == 2 || x.rank() == 3, "x is {}, wanted rank 2 or 3", x.shape().to_string());
  const DType act = activation_dtype("y", y);
  expect_act_or_f32("x", x, act, x.shape());
  expect("y", y, act, x.shape());
  expect_f32("weight", weight, {x.dim(-1)});
  do_rms_norm(y, x, weight, eps);
}

void Ops::add_rms_norm(
    TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) {
  const TraceScope scope("add_rms_norm");
  expect_rank("x", x, 2);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_f32("residual", residual, x.shape());
  expect("y", y, act, x.shape());
  expect_f32("weight", weight, {x.dim(1)});
  do_add_rms_norm(y, residual, x, weight, eps);
}

void Ops::add(TensorView y, ConstTensorView x) {
  const TraceScope scope("add");
  expect_rank("x", x, 2);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_act_or_f32("y", y, act, x.shape());
  do_add(y, x);
}

void Ops::linear(TensorView y, ConstTensorView x, const WeightView& weight, ConstTensorView bias) {
  const TraceScope scope("linear");
  expect_rank("x", x, 2);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_weight(weight, 2, x.dim(1));
  expect_act_or_f32("y", y, act, {x.dim(0), weight.rows()});
  if (bias.defined()) {
    expect_f32("bias", bias, {weight.rows()});
  }
  do_linear(y, x, weight, bias);
}

void Ops::grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) {
  const TraceScope scope("grouped_linear");
  expect_rank("x", x, 2);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_weight(weight, 3, x.dim(1));
  expect("y", y, act, {x.dim(0), weight.rows()});
  expect_i32("offsets", offsets, {weight.groups() + 1});
  do_grouped_linear(y, x, weight, offsets);
}

void Ops::batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) {
  const TraceScope scope("batched_linear");
  expect_rank("x", x, 3);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_weight(weight, 3, x.dim(2));
  TUTTI_CHECK_EQ(weight.groups(), x.dim(1));
  expect("y", y, act, {x.dim(0), x.dim(1), weight.rows()});
  do_batched_linear(y, x, weight);
}

void Ops::silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) {
  const TraceScope scope("silu_mul");
  expect_rank("gate", gate, 2);
  const DType act = activation_dtype("gate", gate);
  expect("gate", gate, act, gate.shape());
  expect("up", up, act, gate.shape());
  expect("y", y, act, gate.shape());
  do_silu_mul(y, gate, up);
}

void Ops::gated_linear(TensorView y,
                       ConstTensorView x,
                       const WeightView& weight,
                       ConstTensorView bias) {
  const TraceScope scope("gated_linear");
  expect_rank("x", x, 2);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_weight(weight, 2, x.dim(1));
  TUTTI_CHECK_EQ(weight.rows() % 2, 0);
  expect("y", y, act, {x.dim(0), weight.rows()});
  if (bias.defined()) {
    expect_f32("bias", bias, {weight.rows()});
  }
  do_gated_linear(y, x, weight, bias);
}

void Ops::do_gated_linear(TensorView y,
                          ConstTensorView x,
                          const WeightView& weight,
                          ConstTensorView bias) {
  const int64_t half = weight.rows() / 2;
  const TensorView gate = y.slice(1, 0, half);
  do_linear(y, x, weight, bias);
  do_silu_mul(gate, gate, y.slice(1, half, half));
}

void Ops::rope_table(TensorView table,
                     ConstTensorView positions,
                     ConstTensorView inv_freq,
                     float scale) {
  const TraceScope scope("rope_table");
  expect_rank("positions", positions, 1);
  expect_rank("inv_freq", inv_freq, 1);
  expect_i32("positions", positions, positions.shape());
  expect_f32("inv_freq", inv_freq, inv_freq.shape());
  expect_f32("table", table, {positions.dim(0), 2 * inv_freq.dim(0)});
  do_rope_table(table, positions, inv_freq, scale);
}

void Ops::rope(TensorView x, ConstTensorView table, RopeLayout layout) {
  const TraceScope scope("rope");
  expect_rank("x", x, 3);
  expect("x", x, activation_dtype("x", x), x.shape());
  expect_f32("table", table, {x.dim(0), x.dim(2)});
  TUTTI_CHECK_EQ(x.dim(2) % 2, 0);
  do_rope(x, table, layout);
}

void Ops::write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) {
  const TraceScope scope("write_kv");
  expect_rank("x", x, 2);
  expect_rank("cache", cache, 3);
  const DType act = activation_dtype("x", x);
  expect("x", x, act, x.shape());
  expect_cache("cache", cache, act, cache.dim(1), x.dim(1));
  expect_i32("slots", slots, {x.dim(0)});
  do_write_kv(cache, x, slots);
}

void Ops::rope_and_write_kv(TensorView q,
                            TensorView k,
                            ConstTensorView v,
                            ConstTensorView table,
                            RopeLayout layout,
                            TensorView k_cache,
                            TensorView v_cache,
                            ConstTensorView slots) {
  const TraceScope scope("rope_and_write_kv");
  expect_rank("q", q, 3);
  expect_rank("k", k, 3);
  expect_rank("v", v, 2);
  expect_rank("k_cache", k_cache, 3);
  const DType act = activation_dtype("q", q);
  const int64_t tokens = q.dim(0);
  expect("q", q, act, q.shape());
  expect("k", k, act, {tokens, k.dim(1), q.dim(2)});
  TUTTI_CHECK(k.dim(1) <= 1 || k.stride(1) == k.dim(2));
  expect("v", v, act, {tokens, v.dim(1)});
  expect_f32("table", table, {tokens, q.dim(2)});
  TUTTI_CHECK_EQ(q.dim(2) % 2, 0);
  expect_cache("k_cache", k_cache, act, k_cache.dim(1), k.dim(1) * k.dim(2));
  expect_cache("v_cache", v_cache, act, k_cache.dim(1), v.dim(1));
  expect_i32("slots", slots, {tokens});
  do_rope_and_write_kv(q, k, v, table, layout, k_cache, v_cache, slots);
}

void Ops::do_rope_and_write_kv(TensorView q,
                               TensorView k,
                               ConstTensorView v,
                               ConstTensorView table,
                               RopeLayout layout,
                               TensorView k_cache,
                               TensorView v_cache,
                               ConstTensorView slots) {
  const int64_t width = k.dim(1) * k.dim(2);
  do_rope(q, table, layout);
  do_rope(k, table, layout);
  do_write_kv(k_cache, {k.raw(), k.dtype(), {k.dim(0), width}, {k.stride(0), 1}}, slots);
  do_write_kv(v_cache, v, slots);
}

void Ops::attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) {
  const TraceScope scope("attention");
  expect_rank("q", q, 3);
  expect_rank("out", out, 3);
  expect_rank("k_cache", k_cache, 3);
  const DType act = activation_dtype("q", q);
  expect("q", q, act, q.shape());
  expect_batch(batch);
  TUTTI_CHECK_GT(q.dim(1), 0);
  TUTTI_CHECK_GT(q.dim(2), 0);
  TUTTI_CHECK_GT(k_cache.dim(2), 0);
  TUTTI_CHECK_EQ(k_cache.dim(2) % q.dim(2), 0);
  const int64_t kv_heads = k_cache.dim(2) / q.dim(2);
  TUTTI_CHECK_EQ(q.dim(1) % kv_heads, 0);
  expect("out", out, act, {q.dim(0), q.dim(1), out.dim(2)});
  expect_cache("k_cache", k_cache, act, batch.block_size, k_cache.dim(2));
  expect_cache("v_cache", v_cache, act, batch.block_size, kv_heads * out.dim(2));
  do_attention(out, q, k_cache, v_cache, batch, scale);
}

void Ops::mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) {
  const TraceScope scope("mla_attention");
  expect_rank("q_latent", q_latent, 3);
  expect_rank("q_rope", q_rope, 3);
  const DType act = activation_dtype("q_latent", q_latent);
  expect("q_latent", q_latent, act, q_latent.shape());
  expect("q_rope", q_rope, act, {q_latent.dim(0), q_latent.dim(1), q_rope.dim(2)});
  expect("out", out, act, q_latent.shape());
  expect_batch(batch);
  expect_cache("cache", cache, act, batch.block_size, q_latent.dim(2) + q_rope.dim(2));
  do_mla_attention(out, q_latent, q_rope, cache, batch, scale);
}

void Ops::gather_kv(TensorView y,
                    ConstTensorView cache,
                    const AttentionBatch& batch,
                    ConstTensorView key_begin) {
  const TraceScope scope("gather_kv");
  expect_rank("y", y, 2);
  const DType act = activation_dtype("y", y);
  expect("y", y, act, y.shape());
  expect_batch(batch);
  expect_cache("cache", cache, act, batch.block_size, y.dim(1));
  expect_i32("key_begin", key_begin, batch.query_begin.shape());
  do_gather_kv(y, cache, batch, key_begin);
}

void Ops::mla_expanded_attention(TensorView out,
                                 ConstTensorView q,
                                 ConstTensorView kv,
                                 ConstTensorView k_rope,
                                 const AttentionBatch& batch,
                                 ConstTensorView key_begin,
                                 float scale) {
  const TraceScope scope("mla_expanded_attention");
  expect_rank("q", q, 3);
  expect_rank("out", out, 3);
  expect_rank("kv", kv, 3);
  expect_rank("k_rope", k_rope, 2);
  const DType act = activation_dtype("q", q);
  expect("q", q, act, q.shape());
  const int64_t nope = q.dim(2) - k_rope.dim(1);
  TUTTI_CHECK_GE(nope, 0);
  expect("out", out, act, {q.dim(0), q.dim(1), out.dim(2)});
  expect("kv", kv, act, {kv.dim(0), q.dim(1), nope + out.dim(2)});
  expect("k_rope", k_rope, act, {kv.dim(0), k_rope.dim(1)});
  expect_batch(batch);
  expect_i32("key_begin", key_begin, batch.query_begin.shape());
  do_mla_expanded_attention(out, q, kv, k_rope, batch, key_begin, scale);
}

void Ops::moe_route(TensorView experts,
                    TensorView weights,
                    ConstTensorView logits,
                    ConstTensorView bias,
                    const RouterParams& params) {
  const TraceScope scope("moe_route");
  expect_rank("logits", logits, 2);
  const int64_t tokens = logits.dim(0);
  const int64_t count = logits.dim(1);
  TUTTI_CHECK_GT(params.num_groups, 0);
  TUTTI_CHECK_EQ(count % params.num_groups, 0);
  TUTTI_CHECK(params.top_groups > 0 && params.top_groups <= params.num_groups);
  const int64_t candidates =
      params.num_groups == 1 ? count : count / params.num_groups * params.top_groups;
  TUTTI_CHECK_GT(params.top_k, 0);
  TUTTI_CHECK_LE(params.top_k, candidates);
  expect_f32("logits", logits, {tokens, count});
  expect_i32("experts", experts, {tokens, params.top_k});
  expect_f32("weights", weights, {tokens, params.top_k});
  if (bias.defined()) {
    expect_f32("bias", bias, {count});
  }
  do_moe_route(experts, weights, logits, bias, params);
}

void Ops::moe_permute(TensorView row_token,
                      TensorView pair_row,
                      TensorView offsets,
                      ConstTensorView experts) {
  const TraceScope scope("moe_permute");
  expect_rank("experts", experts, 2);
  expect_rank("offsets", offsets, 1);
  TUTTI_CHECK_GE(offsets.dim(0), 1);
  expect_i32("experts", experts, experts.shape());
  expect_i32("row_token", row_token, {experts.dim(0) * experts.dim(1)});
  expect_i32("pair_row", pair_row, experts.shape());
  expect_i32("offsets", offsets, offsets.shape());
  do_moe_permute(row_token, pair_row, offsets, experts);
}

void Ops::moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) {
  const TraceScope scope("moe_combine");
  expect_rank("x", x, 2);
  expect_rank("pair_row", pair_row, 2);
  expect_i32("pair_row", pair_row, pair_row.shape());
  expect_f32("weights", weights, pair_row.shape());
  const DType act = activation_dtype("x", x);
  expect("x", x, act, {pair_row.dim(0) * pair_row.dim(1), x.dim(1)});
  expect("y", y, act, {pair_row.dim(0), x.dim(1)});
  do_moe_combine(y, x, pair_row, weights);
}

void Ops::gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) {
  const TraceScope scope("gather_rows");
  expect_rank("x", x, 2);
  expect_rank("rows", rows, 1);
  const DType type = x.dtype() == DType::kI32 ? DType::kI32 : activation_dtype("x", x);
  expect("x", x, type, x.shape());
  expect_i32("rows", rows, rows.shape());
  expect("y", y, type, {rows.dim(0), x.dim(1)});
  do_gather_rows(y, x, rows);
}

void Ops::argmax(TensorView tokens, ConstTensorView logits, int64_t limit) {
  const TraceScope scope("argmax");
  expect_rank("logits", logits, 2);
  expect_f32("logits", logits, logits.shape());
  expect_i32("tokens", tokens, {logits.dim(0)});
  TUTTI_CHECK(limit > 0 && limit <= logits.dim(1));
  do_argmax(tokens, logits, limit);
}

void Ops::shard_argmax(const ShardArgmax& args) {
  const TraceScope scope("shard_argmax");
  expect_rank("logits", args.logits, 2);
  expect_f32("logits", args.logits, args.logits.shape());
  expect_f32("best", args.best, {args.logits.dim(0), 2});
  TUTTI_CHECK(args.first_id >= 0 && args.limit > 0);
  do_shard_argmax(args);
}

void Ops::merge_argmax(const MergeArgmax& args) {
  const TraceScope scope("merge_argmax");
  expect_rank("best", args.best, 2);
  expect_f32("best", args.best, args.best.shape());
  expect_i32("tokens", args.tokens, {args.best.dim(0)});
  TUTTI_CHECK(args.best.dim(1) > 0 && args.best.dim(1) % 2 == 0);
  do_merge_argmax(args);
}

void Ops::draw(TensorView tokens, ConstTensorView logits, int64_t limit, ConstTensorView rows) {
  const TraceScope scope("draw");
  expect_rank("logits", logits, 2);
  expect_f32("logits", logits, logits.shape());
  expect_i32("tokens", tokens, {logits.dim(0)});
  expect_i32("rows", rows, {logits.dim(0), ssize(sizeof(DrawParams) / sizeof(int32_t))});
  TUTTI_CHECK(rows.contiguous());
  TUTTI_CHECK(limit > 0 && limit <= logits.dim(1));
  do_draw(tokens, logits, limit, rows);
}

void Ops::log_probs(TensorView ids,
                    TensorView values,
                    ConstTensorView tokens,
                    ConstTensorView logits,
                    int64_t limit,
                    ConstTensorView counts) {
  const TraceScope scope("log_probs");
  expect_rank("logits", logits, 2);
  expect_rank("ids", ids, 2);
  const int64_t rows = logits.dim(0);
  expect_f32("logits", logits, logits.shape());
  expect_i32("ids", ids, {rows, ids.dim(1)});
  expect_f32("values", values, {rows, 1 + ids.dim(1)});
  expect_i32("tokens", tokens, {rows});
  expect_i32("counts", counts, {rows});
  TUTTI_CHECK_LE(ids.dim(1), kMostLogProbs);
  TUTTI_CHECK(limit > 0 && limit <= logits.dim(1));
  do_log_probs(ids, values, tokens, logits, limit, counts);
}

void Ops::adjust_logits(TensorView y,
                        ConstTensorView logits,
                        int64_t limit,
                        const AdjustTables& tables,
                        ConstTensorView rows) {
  const TraceScope scope("adjust_logits");
  expect_rank("logits", logits, 2);
  expect_rank("y", y, 2);
  expect_f32("logits", logits, logits.shape());
  expect_f32("y", y, {y.dim(0), logits.dim(1)});
  expect_adjust_tables(tables, logits.dim(1));
  expect_i32("rows", rows, {y.dim(0), kAdjustWords});
  TUTTI_CHECK(rows.contiguous());
  TUTTI_CHECK(limit > 0 && limit <= logits.dim(1));
  do_adjust_logits(y, logits, limit, tables, rows);
}

void Ops::take_adjusted(TensorView chosen,
                        const AdjustTables& tables,
                        ConstTensorView tokens,
                        ConstTensorView rows) {
  const TraceScope scope("take_adjusted");
  expect_rank("chosen", chosen, 1);
  expect_rank("tokens", tokens, 1);
  expect_i32("chosen", chosen, chosen.shape());
  expect_i32("tokens", tokens, tokens.shape());
  expect_rank("seen", tables.seen, 2);
  expect_adjust_tables(tables, tables.seen.dim(1));
  expect_i32("rows", rows, {tokens.dim(0), kAdjustWords});
  TUTTI_CHECK(rows.contiguous());
  do_take_adjusted(chosen, tables, tokens, rows);
}

void Ops::fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) {
  const TraceScope scope("fill_tokens");
  expect_rank("tokens", tokens, 1);
  expect_rank("last", last, 1);
  expect_i32("tokens", tokens, tokens.shape());
  expect_i32("last", last, last.shape());
  expect_i32("rows", rows, tokens.shape());
  do_fill_tokens(tokens, last, rows);
}

void Ops::scatter(TensorView y, ConstTensorView values, ConstTensorView at) {
  const TraceScope scope("scatter");
  expect_rank("y", y, 1);
  expect_rank("values", values, 1);
  expect_i32("y", y, y.shape());
  expect_i32("values", values, values.shape());
  expect_i32("at", at, values.shape());
  do_scatter(y, values, at);
}

}  // namespace tutti
