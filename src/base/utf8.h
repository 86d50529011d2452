// UTF-8 validation and decoding (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tutti {

struct Utf8Char {
  char32_t code = 0xFFFD;
  int length =
      1;  ///< bytes consumed; for an invalid sequence the length of its maximal valid prefix (>= 1)
  bool valid = false;
  bool truncated = false;  ///< the text ends inside an otherwise valid sequence
};

/// Decodes the character that starts at text[pos]; pos < text.size().
Utf8Char decode_utf8(std::string_view text, size_t pos);

bool is_valid_utf8(std::string_view text);

/// Every maximal invalid subsequence becomes one U+FFFD (Unicode "substitution of maximal
/// subparts").
std::string replace_invalid_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code);

}  // namespace tutti
