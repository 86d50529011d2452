// SwiGLU feed-forward (arXiv:2002.05202): down(silu(gate(x)) * up(x)).
#pragma once
#include "nn/linear.h"

namespace tutti {

struct GatedMlpConfig {
  int64_t hidden = 0;
  int64_t width = 0;
  bool bias = false;
};

class GatedMlp {
 public:
  GatedMlp(const Scope& scope, const GatedMlpConfig& config);
  /// This rank's part of the sum over ranks.
  TensorView operator()(const ComputeContext& ctx,
                        ConstTensorView x) const;  // [t, hidden] -> [t, hidden]

  /// The same, to y.
  void into(TensorView y, const ComputeContext& ctx, ConstTensorView x) const;

 private:
  Range take_;
  Linear gate_up_;
  RowParallelLinear down_;
};

}  // namespace tutti
