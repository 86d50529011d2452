// The normalizer step of tokenizer.json: nothing, or Unicode NFC (Qwen).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace tutti {

/// Immutable; shared by threads.
class Normalizer {
 public:
  /// Does nothing.
  Normalizer() = default;

  /// `json`: null, {"type": "NFC"} or a Sequence of such. Other types are refused by name.
  static Result<Normalizer> from_json(const Json* json, const std::string& where);

  /// NFC of Unicode 9.0, see ignores().
  static Normalizer nfc();

  /// NFC as of Unicode 9.0, which the reference implementation has: it leaves younger marks and
  /// composites where and as they are. True for those.
  static bool ignores(char32_t code);

  bool is_identity() const { return inert_ == nullptr; }

  /// Appends the normal form of `text` (valid UTF-8) to `out`. Time is linear in the text
  /// (n log n in the length of one run of combining marks); NFC grows a text at most threefold.
  void append(std::string_view text, std::string& out) const;

 private:
  class InertSet;
  std::shared_ptr<const InertSet> inert_;  ///< null: identity
};

}  // namespace tutti
