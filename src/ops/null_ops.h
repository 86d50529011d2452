// Ops that compute nothing: for passes that only measure memory (Arena::measuring).
#pragma once
#include "ops/ops.h"

namespace tutti {

class NullOps final : public Ops {
 public:
  const char* name() const override { return "null"; }

 private:
  void do_embedding(TensorView, ConstTensorView, ConstTensorView, int64_t) override {}

  void do_rms_norm(TensorView, ConstTensorView, ConstTensorView, float) override {}

  void do_add_rms_norm(TensorView, TensorView, ConstTensorView, ConstTensorView, float) override {}

  void do_add(TensorView, ConstTensorView) override {}

  void do_linear(TensorView, ConstTensorView, const WeightView&, ConstTensorView) override {}

  void do_grouped_linear(TensorView, ConstTensorView, const WeightView&, ConstTensorView) override {
  }

  void do_batched_linear(TensorView, ConstTensorView, const WeightView&) override {}

  void do_silu_mul(TensorView, ConstTensorView, ConstTensorView) override {}

  void do_rope_table(TensorView, ConstTensorView, ConstTensorView, float) override {}

  void do_rope(TensorView, ConstTensorView, RopeLayout) override {}

  void do_write_kv(TensorView, ConstTensorView, ConstTensorView) override {}

  void do_attention(TensorView,
                    ConstTensorView,
                    ConstTensorView,
                    ConstTensorView,
                    const AttentionBatch&,
                    float) override {}

  void do_mla_attention(TensorView,
                        ConstTensorView,
                        ConstTensorView,
                        ConstTensorView,
                        const AttentionBatch&,
                        float) override {}

  void do_gather_kv(TensorView, ConstTensorView, const AttentionBatch&, ConstTensorView) override {}

  void do_mla_expanded_attention(TensorView,
                                 ConstTensorView,
                                 ConstTensorView,
                                 ConstTensorView,
                                 const AttentionBatch&,
                                 ConstTensorView,
                                 float) override {}

  void do_moe_route(
      TensorView, TensorView, ConstTensorView, ConstTensorView, const RouterParams&) override {}

  void do_moe_permute(TensorView, TensorView, TensorView, ConstTensorView) override {}

  void do_moe_combine(TensorView, ConstTensorView, ConstTensorView, ConstTensorView) override {}

  void do_gather_rows(TensorView, ConstTensorView, ConstTensorView) override {}

  void do_argmax(TensorView, ConstTensorView, int64_t) override {}

  void do_shard_argmax(const ShardArgmax&) override {}

  void do_merge_argmax(const MergeArgmax&) override {}

  void do_draw(TensorView, ConstTensorView, int64_t, ConstTensorView) override {}

  void do_log_probs(
      TensorView, TensorView, ConstTensorView, ConstTensorView, int64_t, ConstTensorView) override {
  }

  void do_adjust_logits(
      TensorView, ConstTensorView, int64_t, const AdjustTables&, ConstTensorView) override {}

  void do_take_adjusted(TensorView,
                        const AdjustTables&,
                        ConstTensorView,
                        ConstTensorView) override {}

  void do_fill_tokens(TensorView, ConstTensorView, ConstTensorView) override {}

  void do_scatter(TensorView, ConstTensorView, ConstTensorView) override {}
};

}  // namespace tutti
