// Hand-written splitters for the pre-tokenizer patterns of the known model families: they cut where
// the patterns do (tests and fuzzer compare them with PCRE2), several times faster, in linear time.
// See docs/adr (fast tokenizer).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "text/char_classes.h"

namespace tutti {

struct SplitStep;

/// Immutable; shared by threads.
class KnownSplit {
 public:
  enum class Rule {
    kGpt2,
    kQwen2,     ///< also Qwen 2.5 and 3: one digit per piece
    kLlama3,    ///< as Qwen 2, up to three digits per piece
    kDeepSeek,  ///< DeepSeek-V3 and R1: three patterns one after the other
    kO200k,     ///< MiniMax-M2: words end where small letters do
    kKimi       ///< as that, Chinese characters apart
  };

  explicit KnownSplit(Rule rule);

  /// The rule that does exactly what `steps` do, if there is one.
  static std::optional<KnownSplit> recognise(std::span<const SplitStep> steps);

  Rule rule() const { return rule_; }

  /// Writes the ends of the next pieces of `text` (valid UTF-8, less than 2^31 bytes), which begin
  /// at `at`, into `ends`, and moves `at` to the last of them. `at` is 0 or where an earlier call
  /// ended: a piece depends on nothing before it. Returns how many; 0 at the end of the text.
  size_t next(std::string_view text, uint32_t& at, std::span<uint32_t> ends) const;

  /// A position after `from` where a piece begins wherever the splitting began, so that both sides
  /// can be split apart from each other; text.size() if there is none.
  uint32_t safe_cut(std::string_view text, uint32_t from) const;

 private:
  Rule rule_;
  const CharTable* table_;  ///< never null; a pointer so that splits can be assigned
};

}  // namespace tutti
