// Token ids to text while they are generated: hands out whole characters only.
#pragma once
#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace tutti {

/// One per generated sequence; not thread-safe. The pieces of push() and finish() joined equal
/// Tokenizer::decode() of all ids.
class IncrementalDecoder {
 public:
  /// `tokenizer` outlives the decoder.
  explicit IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  /// Text that became certain with `id`: valid UTF-8, often empty in the middle of a character.
  /// Bytes that can no longer become a character give U+FFFD at once.
  std::string push(int32_t id);

  /// Ends the text: an unfinished character gives U+FFFD. The decoder may be used anew.
  std::string finish();

  /// Bytes of an unfinished character, fewer than four, or of a run of fallback bytes.
  size_t held_bytes() const { return held_.size() + run_.size(); }

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::string held_;
  std::string run_;  // of fallback bytes: their text depends on all of the run
};

}  // namespace tutti
