// The pre_tokenizer step of tokenizer.json: cuts text into the pieces BPE merges within.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/known_split.h"
#include "text/unicode_regex.h"

namespace tutti {

/// ByteLevel with use_regex: the pattern of GPT-2's encoder.py.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// What happens to matches and to the gaps between them (names of tokenizer.json).
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  UnicodeRegex regex;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  ///< matches and gaps change roles
};

/// Pieces as byte ranges of `text`, in order, none empty. `text` is `storage` if the pre-tokenizer
/// inserted spaces, else the caller's text.
struct PieceList {
  std::string storage;
  std::string_view text;
  std::vector<TextRange> ranges;

  std::string_view piece(size_t i) const {
    return text.substr(ranges[i].begin, ranges[i].end - ranges[i].begin);
  }
};

/// Immutable; shared by threads.
class PreTokenizer {
 public:
  /// Null, Split, Digits, Punctuation, ByteLevel, or a Sequence of them; ByteLevel comes last.
  /// Other types are refused by name.
  static Result<PreTokenizer> from_json(const Json* json, const std::string& where);

  /// Pieces are what `pattern` finds, over a vocabulary of bytes.
  static Result<PreTokenizer> of_matches(std::string_view pattern);

  /// `text`: valid UTF-8, less than 2^31 bytes, alive as long as `pieces` is used.
  /// `scratch` is reused between calls. kUnsupported if a pattern exceeds its match limits.
  Status split(std::string_view text, PieceList& pieces, std::vector<TextRange>& scratch) const;

  /// Whether there is a ByteLevel step: the vocabulary spells bytes in GPT-2's alphabet.
  bool byte_level() const { return byte_level_; }

  /// Splits as split() does, if the file has the patterns of a known family; else null.
  const KnownSplit* known() const { return known_ ? &*known_ : nullptr; }

 private:
  class Parser;
  static Status apply(const SplitStep& step,
                      std::string_view text,
                      std::vector<TextRange>& ranges,
                      std::vector<TextRange>& scratch);

  bool byte_level_ = false;
  std::vector<SplitStep> before_prefix_;
  bool add_prefix_space_ = false;        ///< ByteLevel: each piece begins with a space
  std::vector<SplitStep> after_prefix_;  ///< ByteLevel with use_regex: the GPT-2 pattern
  std::optional<KnownSplit> known_;
};

}  // namespace tutti
