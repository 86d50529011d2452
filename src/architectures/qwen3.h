// Qwen3, dense (arXiv:2505.09388; HF modeling_qwen3.py).
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

/// Every query and key head is normalised before it is rotated.
Result<std::unique_ptr<CausalLm>> make_qwen3(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions& options);

}  // namespace tutti
