#include "golden/rounded_ops.h"

#include "backend/cpu_backend.h"
#include "golden/forwarding_ops.h"
#include "golden/wrapped_backend.h"
#include "tensor/dtype.h"

namespace tutti::testing {

namespace {

void round_all(TensorView x) {
  if (x.rank() > 1) {
    for (int64_t i = 0; i < x.dim(0); ++i) {
      round_all(x.at(i));
    }
    return;
  }
  auto* values = x.data<float>();
  for (int64_t i = 0; i < x.dim(0); ++i) {
    values[i] = to_float(to_bf16(values[i]));
  }
}

class RoundedOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

 private:
  void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) override {
    inner().rms_norm(y, x, weight, eps);
    round_all(y);
  }

  void do_add_rms_norm(TensorView y,
                       TensorView residual,
                       ConstTensorView x,
                       ConstTensorView weight,
                       float eps) override {
    inner().add_rms_norm(y, residual, x, weight, eps);
    round_all(y);
  }

  void do_linear(TensorView y,
                 ConstTensorView x,
                 const WeightView& weight,
                 ConstTensorView bias) override {
    inner().linear(y, x, weight, bias);
    if (weight.data.dtype() != DType::kF32) {
      round_all(y);
    }
  }

  void do_grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) override {
    inner().grouped_linear(y, x, weight, offsets);
    round_all(y);
  }

  void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) override {
    inner().batched_linear(y, x, weight);
    round_all(y);
  }

  void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) override {
    inner().silu_mul(y, gate, up);
    round_all(y);
  }

  // In parts, which round.
  void do_gated_linear(TensorView y,
                       ConstTensorView x,
                       const WeightView& weight,
                       ConstTensorView bias) override {
    Ops::do_gated_linear(y, x, weight, bias);  // NOLINT(bugprone-parent-virtual-call)
  }

  void do_rope_and_write_kv(TensorView q,
                            TensorView k,
                            ConstTensorView v,
                            ConstTensorView table,
                            RopeLayout layout,
                            TensorView k_cache,
                            TensorView v_cache,
                            ConstTensorView slots) override {
    // NOLINTNEXTLINE(bugprone-parent-virtual-call)
    Ops::do_rope_and_write_kv(q, k, v, table, layout, k_cache, v_cache, slots);
  }

  void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) override {
    inner().rope(x, table, layout);
    round_all(x);
  }

  void do_attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) override {
    inner().attention(out, q, k_cache, v_cache, batch, scale);
    round_all(out);
  }

  void do_mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) override {
    inner().mla_attention(out, q_latent, q_rope, cache, batch, scale);
    round_all(out);
  }

  void do_moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) override {
    inner().moe_combine(y, x, pair_row, weights);
    round_all(y);
  }
};

}  // namespace

std::unique_ptr<Backend> make_rounding_cpu_backend() {
  return std::make_unique<WrappedBackend>(
      make_cpu_backend({.threads = 2}),
      [](RankResources& rank) { return std::make_unique<RoundedOps>(std::move(rank.ops)); });
}

}  // namespace tutti::testing
