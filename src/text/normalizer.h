// The normalizer step of tokenizer.json: nothing, Unicode NFC (Qwen), replacing a text (Gemma), or
// several of these.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace tutti {

/// Immutable; shared by threads.
class Normalizer {
 public:
  /// Does nothing.
  Normalizer() = default;

  /// `json`: null, {"type": "NFC"}, {"type": "Replace"} of a String, or a Sequence of such. Other
  /// types are refused by name, also replacements that grow a text more than 64-fold.
  static Result<Normalizer> from_json(const Json* json, const std::string& where);

  /// NFC of Unicode 9.0, see ignores().
  static Normalizer nfc();

  /// NFC as of Unicode 9.0, which the reference implementation has: it leaves younger marks and
  /// composites where and as they are. True for those.
  static bool ignores(char32_t code);

  bool is_identity() const { return steps_.empty(); }

  /// True if append() would append `text` as it is. May be false for such a text too.
  bool is_normal(std::string_view text) const;

  /// Appends the normal form of `text` (valid UTF-8) to `out`. Time is linear in the text
  /// (n log n in the length of one run of combining marks); NFC grows a text at most threefold.
  void append(std::string_view text, std::string& out) const;

 private:
  class InertSet;
  class Parser;

  /// NFC if `inert` is set, else replaces `pattern` (from left to right) by `content`.
  struct Step {
    std::shared_ptr<const InertSet> inert;
    std::string pattern;
    std::string content;
  };

  static void append_nfc(const InertSet& inert, std::string_view text, std::string& out);
  static void append_step(const Step& step, std::string_view text, std::string& out);

  std::vector<Step> steps_;
};

}  // namespace tutti
