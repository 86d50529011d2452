// How vocabularies write bytes: as the characters of GPT-2's bytes_to_unicode, or as "<0x0A>".
#include <array>

#include "base/utf8.h"
#include "text/bpe.h"

namespace tutti {

namespace {

// Code point of each byte, and byte of each code point below 0x100 + 68 (-1: none).
struct ByteAlphabet {
  std::array<char32_t, 256> code_of{};
  std::array<int16_t, 0x100 + 68> byte_of{};

  constexpr ByteAlphabet() {
    byte_of.fill(-1);
    char32_t shifted = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool self = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174);
      code_of[b] = self ? b : shifted++;
      byte_of[code_of[b]] = static_cast<int16_t>(b);
    }
  }
};

constexpr ByteAlphabet kAlphabet;

}  // namespace

std::optional<std::string> bytes_of_vocab_string(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!c.valid || c.code >= kAlphabet.byte_of.size() || kAlphabet.byte_of[c.code] < 0) {
      return std::nullopt;
    }
    out += static_cast<char>(kAlphabet.byte_of[c.code]);
    i += static_cast<size_t>(c.length);
  }
  return out;
}

std::string vocab_string_of_bytes(std::string_view bytes) {
  std::string out;
  for (const char b : bytes) {
    append_utf8(out, kAlphabet.code_of[static_cast<unsigned char>(b)]);
  }
  return out;
}

std::optional<uint8_t> byte_of_fallback_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') {
    return std::nullopt;
  }
  uint8_t byte = 0;
  for (const char c : text.substr(3, 2)) {
    const size_t digit = std::string_view("0123456789ABCDEF").find(c);
    if (digit == std::string_view::npos) {
      return std::nullopt;
    }
    byte = static_cast<uint8_t>(byte * 16 + digit);
  }
  return byte;
}

}  // namespace tutti
