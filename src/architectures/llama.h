// Llama 2/3 (arXiv:2307.09288, arXiv:2407.21783; HF modeling_llama.py).
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

Result<std::unique_ptr<CausalLm>> make_llama(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions& options);

}  // namespace tutti
