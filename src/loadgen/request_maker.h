// The requests of a run, each made from the seed and its number alone: any thread, any order, the
// same bytes.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "loadgen/dataset.h"
#include "loadgen/lengths.h"

namespace tutti::loadgen {

enum class Endpoint { kCompletions, kChat };

struct RequestOptions {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string model;
  bool stream = true;
  bool token_ids = true;        ///< prompts are lists of ids; false: words. Completions only
  int64_t first_token_id = 32;  ///< ids are drawn from [first, last]
  int64_t last_token_id = 255;
  LengthDistribution input_length{128};   ///< tokens, or words, without the shared prefix
  LengthDistribution output_length{128};  ///< max_tokens
  int64_t shared_prefix = 0;              ///< tokens, or words, that requests of a group share
  int64_t prefix_groups = 1;
  bool ignore_eos = false;
  bool min_tokens = false;  ///< send min_tokens = max_tokens
  std::optional<double> temperature;
  JsonObject extra;  ///< further members of the body; they replace equal ones
  uint64_t seed = 0;
  std::shared_ptr<const std::vector<DatasetEntry>> dataset;  ///< nullptr: random prompts
};

struct MadeRequest {
  std::string bytes;          ///< head and body
  int64_t prompt_length = 0;  ///< tokens if prompts are ids, words if they are words; 0 = unknown
  int64_t output_length = 0;  ///< max_tokens
};

struct Target;

class RequestMaker {
 public:
  RequestMaker(const Target& target, RequestOptions options);

  /// Thread-safe.
  MadeRequest make(int64_t index) const;

  const RequestOptions& options() const { return options_; }

 private:
  std::string random_ids(Random& random, int64_t count) const;
  static std::string random_words(Random& random, int64_t count);
  std::string prompt_json(Random& random, MadeRequest& made) const;

  const Target& target_;
  RequestOptions options_;
  std::vector<std::string> prefixes_;  // per group: ids with commas, or words
  std::string tail_;                   // members of the body that never change, and its end
};

}  // namespace tutti::loadgen
