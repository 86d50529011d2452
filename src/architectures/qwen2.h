// Qwen2 and Qwen2.5 (arXiv:2407.10671, arXiv:2412.15115; HF modeling_qwen2.py).
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

/// Biases on q, k and v, whatever attention_bias says; none elsewhere.
Result<std::unique_ptr<CausalLm>> make_qwen2(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions& options);

}  // namespace tutti
