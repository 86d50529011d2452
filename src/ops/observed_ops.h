// Ops that tell an observer what each operation must move and compute, around the ones that do it.
#pragma once
#include <cstdint>
#include <string>

#include "ops/ops.h"

namespace tutti {

/// What one call must do at least: every input read once, every output written once.
struct OpCost {
  std::string op;     ///< its name, of products with the weight's shape: "linear 4608x3584"
  int64_t bytes = 0;  ///< of device memory; of a mixture's experts at most one per row
  int64_t flops = 0;  ///< 2 per multiplication and addition of products and attention; else 0
};

/// Wraps every call.
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  virtual void begin() = 0;
  virtual void end(OpCost cost) = 0;
};

/// What attention has to do in one step, which only the host knows.
struct AttentionWork {
  int64_t keys = 0;   ///< summed over sequences, queries included: each is read once
  int64_t pairs = 0;  ///< (query, visible key), summed over queries
};

class ObservedOps final : public Ops {
 public:
  ObservedOps(Ops& inner, OpObserver& observer, const AttentionWork& work)
      : inner_(inner), observer_(observer), work_(work) {}

  const char* name() const override { return inner_.name(); }

  Status check_compute(DType act) const override { return inner_.check_compute(act); }

 private:
  /// Runs `call` between begin() and end().
  template <class Call>
  void observe(OpCost cost, const Call& call);

  void do_embedding(TensorView y,
                    ConstTensorView table,
                    ConstTensorView ids,
                    int64_t first_id) override;
  void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) override;
  void do_add_rms_norm(TensorView y,
                       TensorView residual,
                       ConstTensorView x,
                       ConstTensorView weight,
                       float eps) override;
  void do_add(TensorView y, ConstTensorView x) override;
  void do_linear(TensorView y,
                 ConstTensorView x,
                 const WeightView& weight,
                 ConstTensorView bias) override;
  void do_grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) override;
  void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) override;
  void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) override;
  void do_gated_linear(TensorView y,
                       ConstTensorView x,
                       const WeightView& weight,
                       ConstTensorView bias) override;
  void do_rope_table(TensorView table,
                     ConstTensorView positions,
                     ConstTensorView inv_freq,
                     float scale) override;
  void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) override;
  void do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) override;
  void do_rope_and_write_kv(TensorView q,
                            TensorView k,
                            ConstTensorView v,
                            ConstTensorView table,
                            RopeLayout layout,
                            TensorView k_cache,
                            TensorView v_cache,
                            ConstTensorView slots) override;
  void do_attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) override;
  void do_mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) override;
  void do_gather_kv(TensorView y,
                    ConstTensorView cache,
                    const AttentionBatch& batch,
                    ConstTensorView key_begin) override;
  void do_mla_expanded_attention(TensorView out,
                                 ConstTensorView q,
                                 ConstTensorView kv,
                                 ConstTensorView k_rope,
                                 const AttentionBatch& batch,
                                 ConstTensorView key_begin,
                                 float scale) override;
  void do_moe_route(TensorView experts,
                    TensorView weights,
                    ConstTensorView logits,
                    ConstTensorView bias,
                    const RouterParams& params) override;
  void do_moe_permute(TensorView row_token,
                      TensorView pair_row,
                      TensorView offsets,
                      ConstTensorView experts) override;
  void do_moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) override;
  void do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) override;
  void do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) override;
  void do_shard_argmax(const ShardArgmax& args) override;
  void do_merge_argmax(const MergeArgmax& args) override;
  void do_draw(TensorView tokens,
               ConstTensorView logits,
               int64_t limit,
               ConstTensorView rows) override;
  void do_log_probs(TensorView ids,
                    TensorView values,
                    ConstTensorView tokens,
                    ConstTensorView logits,
                    int64_t limit,
                    ConstTensorView counts) override;
  void do_adjust_logits(TensorView y,
                        ConstTensorView logits,
                        int64_t limit,
                        const AdjustTables& tables,
                        ConstTensorView rows) override;
  void do_take_adjusted(TensorView chosen,
                        const AdjustTables& tables,
                        ConstTensorView tokens,
                        ConstTensorView rows) override;
  void do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) override;
  void do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) override;

  Ops& inner_;
  OpObserver& observer_;
  AttentionWork work_;
};

}  // namespace tutti
