// From token ids to text and back, as the engine needs it; implemented over the tokenizer.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti {

/// Text of one sequence, token by token. One thread.
class TextStream {
 public:
  virtual ~TextStream() = default;
  /// New text, valid UTF-8. Bytes of an unfinished character are held back.
  virtual std::string push(int32_t token) = 0;
  /// What was held back; an unfinished character becomes U+FFFD. May be used anew.
  virtual std::string finish() = 0;
};

/// Thread-safe.
class TokenText {
 public:
  virtual ~TokenText() = default;
  virtual std::unique_ptr<TextStream> open(bool skip_special_tokens) const = 0;
  /// Raw bytes of one token, empty for an id the tokenizer does not know.
  virtual std::string token_bytes(int32_t token) const = 0;
  /// Whether open(true) leaves it out.
  virtual bool is_special(int32_t token) const = 0;
  /// Ids of a text in the middle of others: nothing is put before or after it.
  virtual Result<std::vector<int32_t>> encode(std::string_view text) const = 0;
};

}  // namespace tutti
