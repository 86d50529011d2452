// Qwen3 with experts (arXiv:2505.09388; HF modeling_qwen3_moe.py).
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

/// Qwen3 whose layers have experts, chosen by softmax, or one MLP.
Result<std::unique_ptr<CausalLm>> make_qwen3_moe(const HfConfig& config,
                                                 const Scope& scope,
                                                 const ModelOptions& options);

}  // namespace tutti
