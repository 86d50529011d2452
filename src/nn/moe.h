// Mixture of experts: a router picks a few experts per token; shared experts see every token
// (DeepSeekMoE, arXiv:2401.06066; routing of DeepSeek-V3, arXiv:2412.19437 section 2.1.2).
#pragma once
#include <optional>
#include <string>

#include "nn/mlp.h"

namespace tutti {

/// Of a layer's parts in checkpoints.
struct MoeNames {
  std::string selection_bias = "gate.e_score_correction_bias";
  std::string gate = "gate_proj";  ///< of each expert, as up and down
  std::string up = "up_proj";
  std::string down = "down_proj";
};

struct MoeConfig {
  int64_t hidden = 0;
  int64_t experts = 0;
  int64_t expert_width = 0;
  int64_t shared_width = 0;  ///< 0: no shared experts
  bool selection_bias = false;
  RouterParams router;
  MoeNames names;
};

class Moe {
 public:
  Moe(const Scope& scope, const MoeConfig& config);
  /// This rank's part of the sum over ranks; shared experts' parts are in it, so that one
  /// collective serves both.
  void into(TensorView y,
            const ComputeContext& ctx,
            ConstTensorView x) const;  // [t, hidden] -> [t, hidden]

 private:
  Param* stacked(const Scope& scope,
                 const std::vector<std::string>& names,
                 int64_t out,
                 Range take_out,
                 int64_t in,
                 Range take_in) const;

  MoeConfig c_;
  Range width_;  // of each expert, on this rank
  Linear gate_;
  Param* bias_ = nullptr;
  Param* gate_up_;  // [experts, 2 * width, hidden]
  Param* down_;     // [experts, hidden, width]
  std::optional<GatedMlp> shared_;
};

}  // namespace tutti
