// config.json of a Hugging Face checkpoint: the parts every architecture shares, in both
// generations of key names (transformers v4 and v5). Architecture-specific keys are read by the
// model files.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/json_fields.h"
#include "loader/quant_config.h"

namespace tutti {

/// Rotary embedding of the checkpoint: `rope_theta` + `rope_scaling`, or v5's `rope_parameters`.
struct RopeConfig {
  std::string type = "default";  ///< default | linear | dynamic | llama3 | yarn | longrope
  double theta = 10000.0;
  double factor = 1.0;
  int64_t original_max_position = 0;       ///< 0: not given
  double low_freq_factor = 1.0;            ///< llama3
  double high_freq_factor = 4.0;           ///< llama3
  double beta_fast = 32.0;                 ///< yarn
  double beta_slow = 1.0;                  ///< yarn
  bool truncate = true;                    ///< yarn: round the correction range to whole dimensions
  double mscale = 0.0;                     ///< yarn (DeepSeek); 0 = not given
  double mscale_all_dim = 0.0;             ///< yarn (DeepSeek); 0 = not given
  std::optional<double> attention_factor;  ///< yarn, longrope: explicit cos/sin multiplier
  double attn_factor = 1.0;                ///< yarn: extra multiplier some checkpoints carry
  // longrope: one divisor per frequency, for sequences up to original_max_position and beyond
  std::vector<double> short_factor;
  std::vector<double> long_factor;
};

struct HfConfig {
  std::string path;          ///< for error messages
  std::string architecture;  ///< architectures[0]
  JsonObject json;
  QuantConfig quant;

  static Result<HfConfig> load(const std::string& directory);
  static Result<HfConfig> parse(const std::string& path, Json json);

  /// Reader of architecture keys; errors begin with the path of the file.
  FieldReader fields() const { return {json, path}; }

  /// `default_max_position`: max_position_embeddings of the architecture, for files without it.
  Result<RopeConfig> rope(int64_t default_max_position = 0) const;
};

}  // namespace tutti
