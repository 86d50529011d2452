// Small vocabulary files of tiktoken for the tests.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace tutti {

inline constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline std::string base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) {
      word = word << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= count ? kBase64[word >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return out;
}

/// All bytes, id = byte, then these tokens.
inline std::string tiktoken_file(const std::vector<std::string>& tokens = {}) {
  std::string out;
  for (int byte = 0; byte < 256; ++byte) {
    const auto as_char = static_cast<char>(byte);
    out += base64(std::string_view(&as_char, 1)) + " " + std::to_string(byte) + "\n";
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    out += base64(tokens[i]) + " " + std::to_string(256 + i) + "\n";
  }
  return out;
}

}  // namespace tutti
