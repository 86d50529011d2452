// Finds stop strings in streamed text and never lets a part of one out.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

/// The match that ends first counts; of several that end together, the longest. That does not
/// depend on how the text is cut into pieces. Knuth-Morris-Pratt per string: O(text * strings).
class StopMatcher {
 public:
  /// Strings must be valid UTF-8 and not empty; then text is cut between characters only.
  explicit StopMatcher(const std::vector<std::string>& stops);

  /// Takes the next piece of text (valid UTF-8) and returns what can be sent now: all that cannot
  /// be part of a stop string. After a match everything before it has been returned and further
  /// text is dropped. Stop strings that end in a piece without `may_end` are text like any other;
  /// one that only begins there counts.
  std::string push(std::string_view text, bool may_end = true);

  bool matched() const { return !match_.empty(); }

  /// The string that matched; "" while none has.
  const std::string& match() const { return match_; }

  /// The text ends here: returns what was held back.
  std::string finish();

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // per matched length: longest proper border
    size_t matched = 0;
  };

  size_t advance(Pattern& pattern, char next) const;

  std::vector<Pattern> patterns_;
  std::string held_;  // suffix of the text that may begin a stop string
  std::string match_;
};

}  // namespace tutti
