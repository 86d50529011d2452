// Gated feed-forward (arXiv:2002.05202): down(silu(gate(x)) * up(x)), or gelu in place of silu.
#pragma once
#include "nn/linear.h"

namespace tutti {

enum class Activation { kSilu, kGelu, kGeluTanh };

struct GatedMlpConfig {
  int64_t hidden = 0;
  int64_t width = 0;
  bool bias = false;
  Activation activation = Activation::kSilu;
};

class GatedMlp {
 public:
  GatedMlp(const Scope& scope, const GatedMlpConfig& config);
  /// This rank's part of the sum over ranks.
  TensorView operator()(const ComputeContext& ctx,
                        ConstTensorView x) const;  // [t, hidden] -> [t, hidden]

  /// The same, to y.
  void into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const;

  /// Its two operations, for those that take them along, with silu: silu(gate(x)) * up(x) is the
  /// first half of the first one's y; down of such rows.
  op::GatedLinear gate_up(const ComputeContext& ctx, ConstTensorView x) const;
  op::Linear down(TensorView y, const ComputeContext& ctx, ConstTensorView rows) const;

 private:
  TensorView activated(const ComputeContext& ctx, ConstTensorView x) const;

  Activation activation_;
  Range take_;
  Linear gate_up_;
  RowParallelLinear down_;
};

}  // namespace tutti
