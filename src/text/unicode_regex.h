// A compiled pre-tokenizer pattern (PCRE2, JIT where available) with bounded run time.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tutti {

struct TextRange {
  uint32_t begin = 0;  ///< byte offset
  uint32_t end = 0;

  bool operator==(const TextRange&) const = default;
};

/// Immutable, shared by threads; each caller searches through its own RegexSearch.
class UnicodeRegex {
 public:
  /// `pattern` in the Oniguruma subset of translate_pattern().
  static Result<UnicodeRegex> compile(std::string_view pattern);

  const std::string& pattern() const { return pattern_; }

 private:
  friend class RegexSearch;
  struct Code;
  std::string pattern_;
  std::shared_ptr<const Code> code_;
};

/// Finds the successive matches of one pattern; not thread-safe, reusable for many subjects.
class RegexSearch {
 public:
  /// `total_bytes` of text this search will see: the time allowance grows with it.
  RegexSearch(const UnicodeRegex& regex, size_t total_bytes);
  ~RegexSearch();
  RegexSearch(const RegexSearch&) = delete;
  RegexSearch& operator=(const RegexSearch&) = delete;

  /// Starts over on `subject`: valid UTF-8 of less than 2^31 bytes that outlives the search.
  /// Lookaround sees this text only, as in the reference implementation.
  void start(std::string_view subject);

  /// The next match, or nothing. An empty match directly after a match is skipped, as Oniguruma's
  /// iterator does. kUnsupported if the pattern backtracks without bound on this text.
  Result<std::optional<TextRange>> next();

 private:
  struct State;
  Result<std::optional<TextRange>> search();
  Status check_time();

  const UnicodeRegex& regex_;
  std::unique_ptr<State> state_;
  std::string_view subject_;
  size_t from_ = 0;
  std::optional<size_t> last_end_;
  int calls_ = 0;
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace tutti
