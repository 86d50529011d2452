// Ops that pass every call on: what tests derive from that change or count some of them.
#pragma once
#include <memory>
#include <utility>

#include "ops/ops.h"

namespace tutti::testing {

class ForwardingOps : public Ops {
 public:
  explicit ForwardingOps(std::unique_ptr<Ops> inner) : inner_(std::move(inner)) {}

  const char* name() const override { return inner_->name(); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  std::vector<KernelCalls> kernel_calls() const override { return inner_->kernel_calls(); }

 protected:
  Ops& inner() { return *inner_; }

  void do_gated_linear(TensorView y,
                       ConstTensorView x,
                       const WeightView& weight,
                       ConstTensorView bias) override {
    inner_->gated_linear(y, x, weight, bias);
  }

  void do_rope_and_write_kv(TensorView q,
                            TensorView k,
                            ConstTensorView v,
                            ConstTensorView table,
                            RopeLayout layout,
                            TensorView k_cache,
                            TensorView v_cache,
                            ConstTensorView slots) override {
    inner_->rope_and_write_kv(q, k, v, table, layout, k_cache, v_cache, slots);
  }

  void do_embedding(TensorView y,
                    ConstTensorView table,
                    ConstTensorView ids,
                    int64_t first_id) override {
    inner_->embedding(y, table, ids, first_id);
  }

  void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) override {
    inner_->rms_norm(y, x, weight, eps);
  }

  void do_add_rms_norm(TensorView y,
                       TensorView residual,
                       ConstTensorView x,
                       ConstTensorView weight,
                       float eps) override {
    inner_->add_rms_norm(y, residual, x, weight, eps);
  }

  void do_add(TensorView y, ConstTensorView x) override { inner_->add(y, x); }

  void do_linear(TensorView y,
                 ConstTensorView x,
                 const WeightView& weight,
                 ConstTensorView bias) override {
    inner_->linear(y, x, weight, bias);
  }

  void do_grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) override {
    inner_->grouped_linear(y, x, weight, offsets);
  }

  void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) override {
    inner_->batched_linear(y, x, weight);
  }

  void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) override {
    inner_->silu_mul(y, gate, up);
  }

  void do_rope_table(TensorView table,
                     ConstTensorView positions,
                     ConstTensorView inv_freq,
                     float scale) override {
    inner_->rope_table(table, positions, inv_freq, scale);
  }

  void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) override {
    inner_->rope(x, table, layout);
  }

  void do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) override {
    inner_->write_kv(cache, x, slots);
  }

  void do_attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) override {
    inner_->attention(out, q, k_cache, v_cache, batch, scale);
  }

  void do_mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) override {
    inner_->mla_attention(out, q_latent, q_rope, cache, batch, scale);
  }

  void do_gather_kv(TensorView y,
                    ConstTensorView cache,
                    const AttentionBatch& batch,
                    ConstTensorView key_begin) override {
    inner_->gather_kv(y, cache, batch, key_begin);
  }

  void do_mla_expanded_attention(TensorView out,
                                 ConstTensorView q,
                                 ConstTensorView kv,
                                 ConstTensorView k_rope,
                                 const AttentionBatch& batch,
                                 ConstTensorView key_begin,
                                 float scale) override {
    inner_->mla_expanded_attention(out, q, kv, k_rope, batch, key_begin, scale);
  }

  void do_moe_route(TensorView experts,
                    TensorView weights,
                    ConstTensorView logits,
                    ConstTensorView bias,
                    const RouterParams& params) override {
    inner_->moe_route(experts, weights, logits, bias, params);
  }

  void do_moe_permute(TensorView row_token,
                      TensorView pair_row,
                      TensorView offsets,
                      ConstTensorView experts) override {
    inner_->moe_permute(row_token, pair_row, offsets, experts);
  }

  void do_moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) override {
    inner_->moe_combine(y, x, pair_row, weights);
  }

  void do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) override {
    inner_->gather_rows(y, x, rows);
  }

  void do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) override {
    inner_->argmax(tokens, logits, limit);
  }

  void do_shard_argmax(const ShardArgmax& args) override { inner_->shard_argmax(args); }

  void do_merge_argmax(const MergeArgmax& args) override { inner_->merge_argmax(args); }

  void do_draw(TensorView tokens,
               ConstTensorView logits,
               int64_t limit,
               ConstTensorView rows) override {
    inner_->draw(tokens, logits, limit, rows);
  }

  void do_log_probs(TensorView ids,
                    TensorView values,
                    ConstTensorView tokens,
                    ConstTensorView logits,
                    int64_t limit,
                    ConstTensorView counts) override {
    inner_->log_probs(ids, values, tokens, logits, limit, counts);
  }

  void do_adjust_logits(TensorView y,
                        ConstTensorView logits,
                        int64_t limit,
                        const AdjustTables& tables,
                        ConstTensorView rows) override {
    inner_->adjust_logits(y, logits, limit, tables, rows);
  }

  void do_take_adjusted(TensorView chosen,
                        const AdjustTables& tables,
                        ConstTensorView tokens,
                        ConstTensorView rows) override {
    inner_->take_adjusted(chosen, tables, tokens, rows);
  }

  void do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) override {
    inner_->fill_tokens(tokens, last, rows);
  }

  void do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) override {
    inner_->scatter(y, values, at);
  }

 private:
  std::unique_ptr<Ops> inner_;
};

}  // namespace tutti::testing
