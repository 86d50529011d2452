#include "architectures/registry.h"

#include <array>

#include "architectures/deepseek_v3.h"
#include "architectures/llama.h"
#include "architectures/minimax_m2.h"
#include "architectures/qwen2.h"
#include "architectures/qwen3.h"
#include "architectures/qwen3_moe.h"
#include "architectures/spark.h"

namespace tutti {

namespace {

constexpr auto kArchitectures = std::to_array<Architecture>({
    {"DeepseekV3ForCausalLM", &make_deepseek_v3},
    {"LlamaForCausalLM", &make_llama},
    {"MiniMaxM2ForCausalLM", &make_minimax_m2},
    {"Qwen2ForCausalLM", &make_qwen2},
    {"Qwen3ForCausalLM", &make_qwen3},
    {"Qwen3MoeForCausalLM", &make_qwen3_moe},
    {"SparkForCausalLM", &make_spark},
    {"SparkModel", &make_spark},
});

}  // namespace

std::span<const Architecture> architectures() {
  return kArchitectures;
}

Result<std::unique_ptr<CausalLm>> make_model(const HfConfig& config,
                                             const Scope& scope,
                                             const ModelOptions& options) {
  std::string known;
  for (const Architecture& a : kArchitectures) {
    if (config.architecture == a.name) {
      return a.make(config, scope, options);
    }
    known += (known.empty() ? "" : ", ") + std::string(a.name);
  }
  return error(
      StatusCode::kUnsupported,
      "{}: architecture \"{}\" is not supported; supported are {}; tutti models lists models "
      "of these",
      config.path,
      config.architecture,
      known);
}

}  // namespace tutti
