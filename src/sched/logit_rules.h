// What a request forbids or favours among the next tokens, beside its SamplingParams. Most requests
// have no such rules: then there is no LogitRules at all and sampling does not look for one.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace tutti {

struct LogitBias {
  int32_t token = 0;
  float bias = 0.0F;  ///< [-100, 100], added to the logit
};

/// Immutable once made; the choices of a request and every step's batch share one. Ids outside the
/// vocabulary have no effect.
struct LogitRules {
  std::vector<int32_t> allowed;  ///< the only tokens that may come; empty: all may
  std::vector<LogitBias> bias;   ///< one entry per token at most
  int64_t min_tokens = 0;        ///< before so many are generated, none of end_ids comes
  std::vector<int32_t> end_ids;  ///< EOS and stop ids
  /// Token sequences that never appear in the output: where it ends with all of one but the last
  /// token, that one does not come. None is empty.
  std::vector<std::vector<int32_t>> bad_words;

  /// Whether what may come depends on the tokens generated before.
  bool reads_output() const {
    return std::any_of(
        bad_words.begin(), bad_words.end(), [](const auto& w) { return w.size() > 1; });
  }

  bool empty() const {
    return allowed.empty() && bias.empty() && (min_tokens == 0 || end_ids.empty()) &&
           bad_words.empty();
  }
};

/// nullptr: no rules.
using LogitRulesPtr = std::shared_ptr<const LogitRules>;

}  // namespace tutti
