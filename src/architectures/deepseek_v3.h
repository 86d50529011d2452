// DeepSeek-V3 and R1 (arXiv:2412.19437; HF modeling_deepseek_v3.py).
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

/// MLA attention, first_k_dense_replace dense layers, then routed plus shared experts.
Result<std::unique_ptr<CausalLm>> make_deepseek_v3(const HfConfig& config,
                                                   const Scope& scope,
                                                   const ModelOptions& options);

}  // namespace tutti
