#include "text/tiktoken_file.h"

#include <array>
#include <charconv>
#include <optional>

namespace tutti {

namespace {

constexpr std::array<int8_t, 256> base64_digits() {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  int8_t next = 0;
  for (const auto& [first, last] :
       {std::pair('A', 'Z'), std::pair('a', 'z'), std::pair('0', '9')}) {
    for (char c = first; c <= last; ++c) {
      values[static_cast<unsigned char>(c)] = next++;
    }
  }
  values['+'] = next++;
  values['/'] = next;
  return values;
}

// Whole groups of four, padded with '='.
std::optional<std::string> from_base64(std::string_view text) {
  static constexpr std::array<int8_t, 256> kDigits = base64_digits();
  if (text.empty() || text.size() % 4 != 0) {
    return std::nullopt;
  }
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string out;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool pad = i >= text.size() - padding;
    const int8_t digit = kDigits[static_cast<unsigned char>(text[i])];
    if (digit < 0 && !pad) {
      return std::nullopt;
    }
    bits = bits << 6 | (pad ? 0U : static_cast<uint32_t>(digit));
    if (i % 4 == 3) {
      for (const int shift : {16, 8, 0}) {
        out += static_cast<char>(bits >> shift & 0xFFU);
      }
      bits = 0;
    }
  }
  out.resize(out.size() - padding);
  return out;
}

std::optional<TokenRank> parse_line(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) {
    return std::nullopt;
  }
  std::optional<std::string> bytes = from_base64(line.substr(0, space));
  const std::string_view digits = line.substr(space + 1);
  int32_t rank = -1;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  if (!bytes || failure != std::errc() || end != digits.data() + digits.size() || rank < 0) {
    return std::nullopt;
  }
  return TokenRank{*std::move(bytes), rank};
}

}  // namespace

Result<std::vector<TokenRank>> parse_tiktoken(std::string_view text, const std::string& where) {
  std::vector<TokenRank> tokens;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_suffix(line.ends_with('\r') ? 1 : 0);
    if (line.empty()) {
      continue;
    }
    std::optional<TokenRank> token = parse_line(line);
    if (!token) {
      return error(StatusCode::kCorrupt,
                   "{}: line {}: got \"{}\", wanted a token in base64, a space and its rank",
                   where,
                   number,
                   line.substr(0, 80));
    }
    tokens.push_back(*std::move(token));
  }
  return tokens;
}

}  // namespace tutti
