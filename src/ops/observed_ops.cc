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

int64_t weight_bytes(const WeightView& w) {
  return bytes_of(w.data, w.scales, w.scale_row);
}

std::string with_shape(const char* op, const WeightView& w) {
  return w.groups() > 1 ? fmt::format("{} {}x{}x{}", op, w.groups(), w.rows(), w.cols())
                        : fmt::format("{} {}x{}", op, w.rows(), w.cols());
}

int64_t product_flops(int64_t rows, const WeightView& w) {
  return 2 * rows * w.rows() * w.cols();
}

}  // namespace

template <class Call>
void ObservedOps::observe(OpCost cost, const Call& call) {
  observer_.begin();
  call();
  observer_.end(std::move(cost));
}

void ObservedOps::do_embedding(TensorView y,
                               ConstTensorView table,
                               ConstTensorView ids,
                               int64_t first_id) {
  const int64_t rows = y.numel() * dtype_size(table.dtype());
  observe({"embedding", rows + bytes_of(y, ids)},
          [&] { inner_.embedding(y, table, ids, first_id); });
}

void ObservedOps::do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) {
  observe({"rms_norm", bytes_of(y, x, weight)}, [&] { inner_.rms_norm(y, x, weight, eps); });
}

void ObservedOps::do_add_rms_norm(
    TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) {
  observe({"add_rms_norm", bytes_of(y, residual, residual, x, weight)},
          [&] { inner_.add_rms_norm(y, residual, x, weight, eps); });
}

void ObservedOps::do_add(TensorView y, ConstTensorView x) {
  observe({"add", bytes_of(y, y, x)}, [&] { inner_.add(y, x); });
}

void ObservedOps::do_linear(TensorView y,
                            ConstTensorView x,
                            const WeightView& weight,
                            ConstTensorView bias) {
  observe({with_shape("linear", weight),
           bytes_of(y, x, bias) + weight_bytes(weight),
           product_flops(x.dim(0), weight)},
          [&] { inner_.linear(y, x, weight, bias); });
}

void ObservedOps::do_grouped_linear(TensorView y,
                                    ConstTensorView x,
                                    const WeightView& weight,
                                    ConstTensorView offsets) {
  const int64_t read = std::min(x.dim(0), weight.groups());
  observe({with_shape("grouped_linear", weight),
           bytes_of(y, x, offsets) + weight_bytes(weight) / weight.groups() * read,
           product_flops(x.dim(0), weight)},
          [&] { inner_.grouped_linear(y, x, weight, offsets); });
}

void ObservedOps::do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) {
  observe({with_shape("batched_linear", weight),
           bytes_of(y, x) + weight_bytes(weight),
           product_flops(x.dim(0) * x.dim(1), weight)},
          [&] { inner_.batched_linear(y, x, weight); });
}

void ObservedOps::do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) {
  observe({"silu_mul", bytes_of(y, gate, up)}, [&] { inner_.silu_mul(y, gate, up); });
}

void ObservedOps::do_gated_linear(TensorView y,
                                  ConstTensorView x,
                                  const WeightView& weight,
                                  ConstTensorView bias) {
  observe({with_shape("gated_linear", weight),
           bytes_of(y.slice(1, 0, y.dim(1) / 2), x, bias) + weight_bytes(weight),
           product_flops(x.dim(0), weight)},
          [&] { inner_.gated_linear(y, x, weight, bias); });
}

void ObservedOps::do_rope_table(TensorView table,
                                ConstTensorView positions,
                                ConstTensorView inv_freq,
                                float scale) {
  observe({"rope_table", bytes_of(table, positions, inv_freq)},
          [&] { inner_.rope_table(table, positions, inv_freq, scale); });
}

void ObservedOps::do_rope(TensorView x, ConstTensorView table, RopeLayout layout) {
  observe({"rope", bytes_of(x, x, table)}, [&] { inner_.rope(x, table, layout); });
}

void ObservedOps::do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) {
  observe({"write_kv", bytes_of(x, x, slots)}, [&] { inner_.write_kv(cache, x, slots); });
}

void ObservedOps::do_rope_and_write_kv(TensorView q,
                                       TensorView k,
                                       ConstTensorView v,
                                       ConstTensorView table,
                                       RopeLayout layout,
                                       TensorView k_cache,
                                       TensorView v_cache,
                                       ConstTensorView slots) {
  observe({"rope_and_write_kv", bytes_of(q, q, k, k, k, v, v, table, slots)},
          [&] { inner_.rope_and_write_kv(q, k, v, table, layout, k_cache, v_cache, slots); });
}

void ObservedOps::do_attention(TensorView out,
                               ConstTensorView q,
                               ConstTensorView k_cache,
                               ConstTensorView v_cache,
                               const AttentionBatch& batch,
                               float scale) {
  const int64_t row = k_cache.dim(2) + v_cache.dim(2);
  observe({"attention",
           bytes_of(out, q) + work_.keys * row * dtype_size(k_cache.dtype()),
           2 * work_.pairs * q.dim(1) * (q.dim(2) + out.dim(2))},
          [&] { inner_.attention(out, q, k_cache, v_cache, batch, scale); });
}

void ObservedOps::do_mla_attention(TensorView out,
                                   ConstTensorView q_latent,
                                   ConstTensorView q_rope,
                                   ConstTensorView cache,
                                   const AttentionBatch& batch,
                                   float scale) {
  observe({"mla_attention",
           bytes_of(out, q_latent, q_rope) + work_.keys * cache.dim(2) * dtype_size(cache.dtype()),
           2 * work_.pairs * out.dim(1) * (cache.dim(2) + out.dim(2))},
          [&] { inner_.mla_attention(out, q_latent, q_rope, cache, batch, scale); });
}

void ObservedOps::do_gather_kv(TensorView y,
                               ConstTensorView cache,
                               const AttentionBatch& batch,
                               ConstTensorView key_begin) {
  observe({"gather_kv", bytes_of(y, y)}, [&] { inner_.gather_kv(y, cache, batch, key_begin); });
}

void ObservedOps::do_mla_expanded_attention(TensorView out,
                                            ConstTensorView q,
                                            ConstTensorView kv,
                                            ConstTensorView k_rope,
                                            const AttentionBatch& batch,
                                            ConstTensorView key_begin,
                                            float scale) {
  observe({"mla_expanded_attention",
           bytes_of(out, q, kv, k_rope),
           2 * work_.pairs * out.dim(1) * (q.dim(2) + out.dim(2))},
          [&] { inner_.mla_expanded_attention(out, q, kv, k_rope, batch, key_begin, scale); });
}

void ObservedOps::do_moe_route(TensorView experts,
                               TensorView weights,
                               ConstTensorView logits,
                               ConstTensorView bias,
                               const RouterParams& params) {
  observe({"moe_route", bytes_of(experts, weights, logits, bias)},
          [&] { inner_.moe_route(experts, weights, logits, bias, params); });
}

void ObservedOps::do_moe_permute(TensorView row_token,
                                 TensorView pair_row,
                                 TensorView offsets,
                                 ConstTensorView experts) {
  observe({"moe_permute", bytes_of(row_token, pair_row, offsets, experts)},
          [&] { inner_.moe_permute(row_token, pair_row, offsets, experts); });
}

void ObservedOps::do_moe_combine(TensorView y,
                                 ConstTensorView x,
                                 ConstTensorView pair_row,
                                 ConstTensorView weights) {
  observe({"moe_combine", bytes_of(y, x, pair_row, weights)},
          [&] { inner_.moe_combine(y, x, pair_row, weights); });
}

void ObservedOps::do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) {
  observe({"gather_rows", bytes_of(y, y, rows)}, [&] { inner_.gather_rows(y, x, rows); });
}

void ObservedOps::do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) {
  observe({"argmax", bytes_of(tokens, logits)}, [&] { inner_.argmax(tokens, logits, limit); });
}

void ObservedOps::do_shard_argmax(const ShardArgmax& args) {
  observe({"shard_argmax", bytes_of(args.best, args.logits)}, [&] { inner_.shard_argmax(args); });
}

void ObservedOps::do_merge_argmax(const MergeArgmax& args) {
  observe({"merge_argmax", bytes_of(args.tokens, args.best)}, [&] { inner_.merge_argmax(args); });
}

void ObservedOps::do_draw(TensorView tokens,
                          ConstTensorView logits,
                          int64_t limit,
                          ConstTensorView rows) {
  observe({"draw", bytes_of(tokens, logits, rows)},
          [&] { inner_.draw(tokens, logits, limit, rows); });
}

void ObservedOps::do_log_probs(TensorView ids,
                               TensorView values,
                               ConstTensorView tokens,
                               ConstTensorView logits,
                               int64_t limit,
                               ConstTensorView counts) {
  observe({"log_probs", bytes_of(ids, values, tokens, logits, counts)},
          [&] { inner_.log_probs(ids, values, tokens, logits, limit, counts); });
}

void ObservedOps::do_adjust_logits(TensorView y,
                                   ConstTensorView logits,
                                   int64_t limit,
                                   const AdjustTables& tables,
                                   ConstTensorView rows) {
  observe({"adjust_logits", bytes_of(y, y, y, rows)},
          [&] { inner_.adjust_logits(y, logits, limit, tables, rows); });
}

void ObservedOps::do_take_adjusted(TensorView chosen,
                                   const AdjustTables& tables,
                                   ConstTensorView tokens,
                                   ConstTensorView rows) {
  observe({"take_adjusted", bytes_of(tokens, tokens, tokens, rows)},
          [&] { inner_.take_adjusted(chosen, tables, tokens, rows); });
}

void ObservedOps::do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) {
  observe({"fill_tokens", bytes_of(tokens, tokens, tokens, rows)},
          [&] { inner_.fill_tokens(tokens, last, rows); });
}

void ObservedOps::do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) {
  observe({"scatter", bytes_of(values, values, at)}, [&] { inner_.scatter(y, values, at); });
}

}  // namespace tutti
