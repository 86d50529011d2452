// The explicit table of architectures: config.json's architectures[0] -> model.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "architectures/causal_lm.h"
#include "loader/hf_config.h"
#include "nn/scope.h"

namespace tutti {

using ModelFactory = Result<std::unique_ptr<CausalLm>> (*)(const HfConfig& config,
                                                           const Scope& scope,
                                                           const ModelOptions& options);

struct Architecture {
  const char* name;  ///< as in config.json
  ModelFactory make;
};

std::span<const Architecture> architectures();

/// Declares the model's parameters through `scope`. Unknown architectures are refused with the
/// known ones named.
Result<std::unique_ptr<CausalLm>> make_model(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions& options);

}  // namespace tutti
