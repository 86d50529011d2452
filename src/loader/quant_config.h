// What config.json says of quantised weights: in which format, and which modules have it.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "tensor/weight_format.h"

namespace tutti {

/// Modules by name, as compressed-tensors' targets and ignore lists have them: a whole name, or
/// "re:" and a regular expression that fits the beginning of it (Python's re.match).
class ModulePattern {
 public:
  /// kInvalidArgument: no regular expression.
  static Result<ModulePattern> parse(const std::string& text);

  /// False also where a pattern backtracks without bound.
  bool matches(std::string_view module) const;

 private:
  struct Code;
  std::string name_;                  // unless it is a pattern
  std::shared_ptr<const Code> code_;  // shared by copies
};

/// Quantised linear weights as the checkpoint describes them.
struct QuantConfig {
  const WeightFormat* format = nullptr;  ///< nullptr: none is quantised
  WeightCell block{128, 128};            ///< of formats whose checkpoints say it
  /// Modules whose weights are not: "lm_head", "model.layers.0.mlp".
  std::vector<std::string> not_converted{};
  /// Nor those of these.
  std::vector<ModulePattern> ignored{};
  /// If there are some, only those of these are.
  std::vector<ModulePattern> targets{};

  /// Whether `tensor` ("model.layers.0.mlp.up_proj.weight") is quantised by these lists.
  bool converts(std::string_view tensor) const;

  /// In which weights are split over ranks.
  WeightUnits units() const {
    return format == nullptr ? WeightUnits{} : WeightLayout::of(*format, block).units();
  }
};

/// Reads `quantization_config`. where: its place, for messages; model_dtype: "torch_dtype" or
/// "dtype" of the model, which scales are stored in where nothing else is said. kUnsupported names
/// what is not and what is.
Result<QuantConfig> parse_quant_config(const JsonObject& json,
                                       const std::string& where,
                                       const std::string& model_dtype);

}  // namespace tutti
