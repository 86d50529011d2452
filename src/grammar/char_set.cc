#include "grammar/char_set.h"

#include <algorithm>
#include <iterator>
#include <string>

#include <fmt/format.h>

#include "base/utf8.h"

namespace tutti::grammar {

namespace {

constexpr char32_t kFirstSurrogate = 0xD800;
constexpr char32_t kLastSurrogate = 0xDFFF;

ExprId byte_range(RegexPool& pool, uint8_t first, uint8_t last) {
  return pool.bytes(ByteSet::range(first, last));
}

// Texts of equal length in bytes, from `first` to `last`: the first byte they differ in splits them
// into those that begin like `first`, those that begin like `last`, and those between.
ExprId utf8_between(RegexPool& pool, std::string_view first, std::string_view last) {
  const auto a = static_cast<uint8_t>(first[0]);
  const auto b = static_cast<uint8_t>(last[0]);
  if (first.size() == 1) {
    return byte_range(pool, a, b);
  }
  const size_t rest = first.size() - 1;
  const std::string lowest(rest, '\x80');
  const std::string highest(rest, '\xBF');
  if (a == b) {
    return pool.concat(byte_range(pool, a, a), utf8_between(pool, first.substr(1), last.substr(1)));
  }
  std::vector<ExprId> options;
  int low = a;
  int high = b;
  if (first.substr(1) != lowest) {
    options.push_back(
        pool.concat(byte_range(pool, a, a), utf8_between(pool, first.substr(1), highest)));
    ++low;
  }
  if (last.substr(1) != highest) {
    options.push_back(
        pool.concat(byte_range(pool, b, b), utf8_between(pool, lowest, last.substr(1))));
    --high;
  }
  if (low <= high) {
    options.push_back(
        pool.concat(byte_range(pool, static_cast<uint8_t>(low), static_cast<uint8_t>(high)),
                    utf8_between(pool, lowest, highest)));
  }
  return pool.either(options);
}

ExprId utf8_of(RegexPool& pool, const CharSet& set) {
  constexpr char32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, kMaxChar};
  std::vector<ExprId> options;
  for (const CharSet::Range& range : set.ranges()) {
    char32_t first = range.first;
    for (const char32_t last_of_length : kLastOfLength) {
      if (first > last_of_length || first > range.last) {
        continue;
      }
      const char32_t last = std::min(range.last, last_of_length);
      std::string from;
      std::string to;
      append_utf8(from, first);
      append_utf8(to, last);
      options.push_back(utf8_between(pool, from, to));
      first = last + 1;
    }
  }
  return pool.either(options);
}

// Characters that JSON strings must escape.
CharSet escaped_chars() {
  return CharSet({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
}

std::string escape_of(char32_t code) {
  switch (code) {
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    default:
      return fmt::format("\\u{:04X}", static_cast<uint32_t>(code));
  }
}

}  // namespace

CharSet::CharSet(std::vector<Range> ranges) {
  std::ranges::sort(ranges, {}, &Range::first);
  const auto add = [&](char32_t first, char32_t last) {
    if (first > last) {
      return;
    }
    if (!ranges_.empty() && first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, last);
    } else {
      ranges_.push_back({first, last});
    }
  };
  for (const Range& range : ranges) {
    add(range.first, std::min<char32_t>(range.last, kFirstSurrogate - 1));
    add(std::max<char32_t>(range.first, kLastSurrogate + 1), std::min(range.last, kMaxChar));
  }
}

bool CharSet::contains(char32_t code) const {
  return std::ranges::any_of(
      ranges_, [&](const Range& range) { return code >= range.first && code <= range.last; });
}

CharSet CharSet::operator|(const CharSet& other) const {
  std::vector<Range> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  return CharSet(std::move(all));
}

CharSet CharSet::operator&(const CharSet& other) const {
  return (complement() | other.complement()).complement();
}

CharSet CharSet::complement() const {
  std::vector<Range> gaps;
  char32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) {
      gaps.push_back({next, range.first - 1});
    }
    next = range.last + 1;
  }
  if (next <= kMaxChar) {
    gaps.push_back({next, kMaxChar});
  }
  return CharSet(std::move(gaps));
}

ExprId one_of(RegexPool& pool, const CharSet& set, Writing writing) {
  if (writing == Writing::kPlain) {
    return utf8_of(pool, set);
  }
  const CharSet escaped = escaped_chars();
  const CharSet escapes = set & escaped;
  std::vector<ExprId> options{utf8_of(pool, set & escaped.complement())};
  for (const CharSet::Range& range : escapes.ranges()) {
    for (char32_t code = range.first; code <= range.last; ++code) {
      options.push_back(pool.literal(escape_of(code)));
    }
  }
  return pool.either(options);
}

ExprId any_json_char(RegexPool& pool) {
  const auto set = [&](std::string_view bytes) {
    ByteSet out;
    for (const char byte : bytes) {
      out.add(static_cast<uint8_t>(byte));
    }
    return pool.bytes(out);
  };
  const ExprId hex = set("0123456789abcdefABCDEF");
  const ExprId hex2[] = {hex, hex};
  const ExprId hex3[] = {hex, hex, hex};
  const ExprId no_surrogate =
      pool.either(pool.concat(set("0123456789abcefABCEF"), pool.concat(hex3)),
                  pool.concat(pool.concat(set("dD"), set("01234567")), pool.concat(hex2)));
  const ExprId high = pool.concat(pool.concat(set("dD"), set("89abAB")), pool.concat(hex2));
  const ExprId low = pool.concat(pool.concat(set("dD"), set("cdefCDEF")), pool.concat(hex2));
  const ExprId pair[] = {high, pool.literal("\\u"), low};
  const ExprId options[] = {
      utf8_of(pool, escaped_chars().complement()),
      pool.concat(set("\\"), set("\"\\/bfnrt")),
      pool.concat(pool.literal("\\u"), pool.either(no_surrogate, pool.concat(pair))),
  };
  return pool.either(options);
}

}  // namespace tutti::grammar
