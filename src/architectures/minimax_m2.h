// MiniMax-M2 (the vendor's modeling_minimax_m2.py; HF modeling_minimax_m2.py, which up to 5.17
// ignores rotary_dim).
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

/// Grouped-query attention with norms over all heads together and partly rotated heads; experts in
/// every layer, chosen by sigmoid.
Result<std::unique_ptr<CausalLm>> make_minimax_m2(const HfConfig& config,
                                                  const Scope& scope,
                                                  const ModelOptions& options);

}  // namespace tutti
