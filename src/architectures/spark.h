// iFlytek's Spark, as far as notes about it go. UNVERIFIED: its files were not to be had; whoever
// has them will find a key or a tensor that is not known here named in an error.
#pragma once
#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

/// Llama's layers with a gated MLP that may use gelu, LayerNorm with bias in place of RMSNorm where
/// the file gives its epsilon, and optional biases.
Result<std::unique_ptr<CausalLm>> make_spark(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions& options);

}  // namespace tutti
