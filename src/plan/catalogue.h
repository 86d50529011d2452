// The models that plans know without any file: src/plan/catalogue.json, which is part of the
// program. What its fields mean is written in docs/planning.md.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace tutti {

struct CatalogueFormat {
  std::string name;  ///< of stored_formats()
  std::string hub;   ///< repository of that form; empty: none that is known to be right
};

/// What a model has beside what is declared of it: vision towers, indexers, other experts.
struct CatalogueExtras {
  int64_t parameters = 0;
  int64_t bytes = 0;           ///< on every rank
  int64_t split_bytes = 0;     ///< shared out over the ranks
  int64_t kv_token_bytes = 0;  ///< of the cache, on every rank
};

struct CatalogueModel {
  std::string name;    ///< "deepseek-r1"
  std::string family;  ///< "deepseek"
  std::string hub;     ///< "deepseek-ai/DeepSeek-R1": the first format
  std::vector<std::string> aliases;
  Json config;      ///< config.json, the facts that plans need
  Json planned_as;  ///< null, or: config.json of an architecture that is here with equal dimensions
  CatalogueExtras extras;
  std::vector<CatalogueFormat> formats;
  std::string note;
};

/// How Xinference calls a form of a model.
struct XinferenceName {
  std::string name;          ///< "deepseek-r1-distill-qwen"
  std::string size;          ///< billions, as its registry writes them: "7", "1_5"
  std::string format;        ///< pytorch, awq, gptq, ggufv2, fp8, mlx, bnb
  std::string quantization;  ///< "none", "Int4", "Q4_K_M"
  std::string model;         ///< CatalogueModel::name
  std::string stored;        ///< CatalogueFormat::name
};

/// A model, and which of its formats.
struct CatalogueChoice {
  const CatalogueModel* model = nullptr;
  CatalogueFormat format;
};

class Catalogue {
 public:
  /// What is built in.
  static Result<Catalogue> load();
  static Result<Catalogue> parse(std::string_view text);

  const std::vector<CatalogueModel>& models() const { return models_; }

  const std::vector<XinferenceName>& xinference() const { return xinference_; }

  /// NAME, a hub's ORGANISATION/NAME or an alias, in any case; ":FORMAT" behind it chooses a
  /// format. kNotFound names those of close_names().
  Result<CatalogueChoice> find(const std::string& name) const;

  /// Names of models that `name` may have meant: those that have all its words and
  /// numbers ("llama3:8b" is in "llama-3.1-8b-instruct"), else those of which it has most
  /// ("deepseek-r1-awq"), else those that a slip makes it of. Empty: none is close.
  std::vector<std::string> close_names(const std::string& name) const;

  /// The model with these dimensions, for checkpoints of architectures that are not here; nullptr:
  /// none.
  const CatalogueModel* like(const JsonObject& config) const;

 private:
  std::vector<CatalogueModel> models_;
  std::vector<XinferenceName> xinference_;
};

}  // namespace tutti
