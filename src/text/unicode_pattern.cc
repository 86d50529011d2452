#include "text/unicode_pattern.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

#include "base/utf8.h"
#include "text/unicode_props.h"

namespace tutti {

namespace {

// Longer patterns are no tokenizer's; the bound keeps PCRE2's compile time small.
constexpr size_t kMaxPatternBytes = size_t{64} << 10;

std::string range_text(const CodeRange& range) {
  if (range.first == range.last) {
    return fmt::format("\\x{{{:x}}}", static_cast<uint32_t>(range.first));
  }
  return fmt::format("\\x{{{:x}}}-\\x{{{:x}}}",
                     static_cast<uint32_t>(range.first),
                     static_cast<uint32_t>(range.last));
}

std::string white_space_set() {
  std::string out;
  for (const CodeRange& range : white_space_ranges()) {
    out += range_text(range);
  }
  return out;
}

std::string non_white_space_set() {
  std::string out;
  char32_t next = 0;
  for (const CodeRange& range : white_space_ranges()) {
    out += range_text({next, range.first - 1});
    next = range.last + 1;
  }
  return out + range_text({next, 0x10FFFF});
}

bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_ascii_alnum(char c) {
  return is_ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    while (pos_ < in_.size()) {
      TUTTI_RETURN_IF_ERROR(in_set_ ? set_item() : item());
    }
    if (in_set_) {
      return refuse(set_begin_, "a set without its closing ']'");
    }
    return std::move(out_);
  }

 private:
  Status refuse(size_t at, std::string_view what) const {
    return error(StatusCode::kUnsupported,
                 "pattern, byte {}: {} is not supported (got \"{}\")",
                 at,
                 what,
                 in_);
  }

  char peek(size_t ahead) const { return pos_ + ahead < in_.size() ? in_[pos_ + ahead] : '\0'; }

  void copy(size_t count) {
    out_.append(in_.substr(pos_, count));
    pos_ += count;
  }

  Status item() {
    switch (in_[pos_]) {
      case '\\':
        return escape();
      case '[':
        return open_set();
      case '(':
        return open_group();
      case '{':
        return interval();
      default:
        copy(1);
        return ok_status();
    }
  }

  Status open_set() {
    set_begin_ = pos_;
    set_out_ = out_.size();
    in_set_ = true;
    copy(peek(1) == '^' ? 2 : 1);
    if (peek(0) == ']') {
      return refuse(pos_, "']' as the first member of a set; write '\\]'");
    }
    return ok_status();
  }

  Status set_item() {
    const char c = in_[pos_];
    if (c == '\\') {
      return escape();
    }
    if (c == '[') {
      return refuse(pos_, "a nested or POSIX set");
    }
    if (c == '&' && peek(1) == '&') {
      return intersection();
    }
    in_set_ = c != ']';
    copy(1);
    return ok_status();
  }

  // [a&&[^b]], which PCRE2 does not know, is an a that is no b.
  Status intersection() {
    const size_t at = pos_;
    if (excluded_begin_) {
      return refuse(at, "a second '&&' in a set");
    }
    if (out_[set_out_ + 1] == '^' || peek(2) != '[' || peek(3) != '^') {
      return refuse(at, "set intersection other than [a&&[^b]]");
    }
    const std::string members = out_.substr(set_out_) + "]";
    out_.resize(set_out_);
    pos_ += 4;
    out_ += "(?:(?![";
    excluded_begin_ = at;
    while (pos_ < in_.size() && in_[pos_] != ']') {
      if (in_[pos_] == '[' || (in_[pos_] == '&' && peek(1) == '&')) {
        return refuse(pos_, "a set inside the second set of '&&'");
      }
      if (in_[pos_] == '\\') {
        TUTTI_RETURN_IF_ERROR(escape());
      } else {
        copy(1);
      }
    }
    if (peek(0) != ']' || peek(1) != ']') {
      return refuse(at, "set intersection other than [a&&[^b]]");
    }
    pos_ += 2;
    out_ += "])" + members + ")";
    in_set_ = false;
    excluded_begin_.reset();
    return ok_status();
  }

  Status open_group() {
    static constexpr std::array<std::string_view, 7> kGroups = {
        "(?:", "(?i:", "(?>", "(?=", "(?!", "(?<=", "(?<!"};
    if (peek(1) == '*') {
      return refuse(pos_, "'(*'");
    }
    if (peek(1) != '?') {
      copy(1);
      return ok_status();
    }
    for (const std::string_view group : kGroups) {
      if (in_.substr(pos_, group.size()) == group) {
        copy(group.size());
        return ok_status();
      }
    }
    return refuse(pos_, "this kind of group");
  }

  Status interval() {
    size_t end = pos_ + 1;
    bool exact = true;
    const size_t digits = end;
    while (end < in_.size() && is_ascii_digit(in_[end])) {
      ++end;
    }
    bool good = end > digits;
    if (good && end < in_.size() && in_[end] == ',') {
      exact = false;
      ++end;
      while (end < in_.size() && is_ascii_digit(in_[end])) {
        ++end;
      }
    }
    good = good && end < in_.size() && in_[end] == '}';
    if (!good) {
      return refuse(pos_, "'{' outside an interval {n}, {n,} or {n,m}");
    }
    // Oniguruma repeats the interval, PCRE2 makes it possessive.
    if (end + 1 < in_.size() && in_[end + 1] == '+') {
      return refuse(end + 1, "'+' after an interval");
    }
    // Oniguruma: none or n times; PCRE2: n times, lazily.
    if (exact && end + 1 < in_.size() && in_[end + 1] == '?') {
      return refuse(end + 1, "'?' after {n}");
    }
    copy(end + 1 - pos_);
    return ok_status();
  }

  Status escape() {
    const char c = peek(1);
    switch (c) {
      case 's':
        return put_set(white_space_set(), false);
      case 'S':
        return in_set_ ? put_set(non_white_space_set(), false) : put_set(white_space_set(), true);
      case 'd':
      case 'D':
        pos_ += 2;
        return put_property("Nd", c == 'D', pos_ - 2);
      case 'p':
      case 'P':
        return property();
      case 'v':
        pos_ += 2;
        out_ += "\\x{b}";
        return ok_status();
      case 'x':
      case 'u':
        return code_point();
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        copy(2);
        return ok_status();
      case 'A':
      case 'z':
      case 'Z':
        if (!in_set_) {
          copy(2);
          return ok_status();
        }
        break;
      default:
        break;
    }
    if (pos_ + 1 >= in_.size()) {
      return refuse(pos_, "a '\\' at the end");
    }
    if (is_ascii_alnum(c)) {
      return refuse(pos_, fmt::format("'\\{}'", c));
    }
    copy(2);  // escaped punctuation, or the first byte of an escaped non-ASCII character
    return ok_status();
  }

  Status put_set(const std::string& members, bool negated) {
    pos_ += 2;
    if (in_set_) {
      out_ += members;
    } else {
      out_ += (negated ? "[^" : "[") + members + "]";
    }
    return ok_status();
  }

  Status property() {
    const size_t begin = pos_;
    bool negated = peek(1) == 'P';
    const size_t close = in_.find('}', pos_);
    if (peek(2) != '{' || close == std::string_view::npos) {
      return refuse(begin, "a property without {name}");
    }
    std::string_view name = in_.substr(pos_ + 3, close - pos_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return is_ascii_alnum(c) || c == '_';
    });
    if (!plain) {
      return refuse(begin, "this property name");
    }
    pos_ = close + 1;
    return put_property(name, negated, begin);
  }

  // `name` is a general category of one or two letters, or a script.
  Status put_property(std::string_view name, bool negated, size_t at) {
    const bool category = name.size() <= 2;
    std::string members = fmt::format("\\p{{{}{}}}", category ? "" : "sc:", name);
    if (category) {
      for (const CategoryAddition& addition : unicode_additions()) {
        if (std::string_view(addition.category).starts_with(name)) {
          members += range_text(addition.range);
        }
      }
    } else if (name == "Han") {
      members += range_text({0x2B739, 0x2B739}) + range_text({0x31350, 0x323AF});
    }
    if (!in_set_) {
      out_ += (negated ? "[^" : "[") + members + "]";
      return ok_status();
    }
    if (negated) {
      return refuse(at, "a negated property inside a set");
    }
    out_ += members;
    return ok_status();
  }

  // \xHH (ASCII only: Oniguruma takes larger ones as raw bytes), \x{H..}, \uHHHH
  Status code_point() {
    const size_t begin = pos_;
    const bool braces = peek(1) == 'x' && peek(2) == '{';
    const size_t first = pos_ + (braces ? 3 : 2);
    const size_t close = braces ? in_.find('}', first) : first + (peek(1) == 'x' ? 2 : 4);
    const size_t digits = close == std::string_view::npos ? 0 : close - first;
    if (digits == 0 || digits > 8 || close > in_.size()) {
      return refuse(begin, "this character number");
    }
    uint32_t code = 0;
    for (const char c : in_.substr(first, digits)) {
      if (std::isxdigit(static_cast<unsigned char>(c)) == 0) {
        return refuse(begin, "this character number");
      }
      const auto lower = static_cast<char>(c | 0x20);
      code = code * 16 + static_cast<uint32_t>(is_ascii_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    const bool raw_byte = !braces && digits == 2 && code > 0x7F;
    if (code > 0x10FFFF || surrogate || raw_byte) {
      return refuse(begin, "this character number");
    }
    out_ += fmt::format("\\x{{{:x}}}", code);
    pos_ = close + (braces ? 1 : 0);
    return ok_status();
  }

  std::string_view in_;
  std::string out_;
  size_t pos_ = 0;
  size_t set_begin_ = 0;  // in in_
  size_t set_out_ = 0;    // in out_
  bool in_set_ = false;
  std::optional<size_t> excluded_begin_;
};

}  // namespace

Result<std::string> translate_pattern(std::string_view pattern) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes) {
    return error(StatusCode::kUnsupported,
                 "pattern of {} bytes: between 1 and {} are supported",
                 pattern.size(),
                 kMaxPatternBytes);
  }
  if (!is_valid_utf8(pattern) || pattern.find('\0') != std::string_view::npos) {
    return error(StatusCode::kCorrupt, "pattern is not UTF-8 text without NUL");
  }
  return Translator(pattern).run();
}

}  // namespace tutti
