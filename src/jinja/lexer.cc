#include "jinja/lexer.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "jinja/str.h"

namespace tutti::jinja {

std::string normalize_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      i += i + 1 < source.size() && source[i + 1] == '\n' ? 1 : 0;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') {
    out.pop_back();
  }
  return out;
}

void Lexer::fail_at(size_t pos, const std::string& what) {
  throw TemplateError{StatusCode::kInvalidArgument, what, line_at(pos)};
}

int Lexer::line_at(size_t pos) {
  for (; counted_ < pos && counted_ < source_.size(); ++counted_) {
    line_ += source_[counted_] == '\n' ? 1 : 0;
  }
  return line_;
}

Token Lexer::make(TokenType type, size_t begin, size_t end) {
  return {type, line_at(begin), source_.substr(begin, end - begin)};
}

size_t Lexer::skip_space(size_t pos) const {
  while (pos < source_.size() && is_space(decode_utf8(source_, pos).code)) {
    pos += code_point_size(source_, pos);
  }
  return pos;
}

Token Lexer::next() {
  if (queued_) {
    const Token token = *queued_;
    queued_.reset();
    return token;
  }
  return mode_ == Mode::kRoot ? next_root() : next_inside();
}

size_t Lexer::find_tag(size_t from) const {
  for (size_t i = source_.find('{', from); i != std::string_view::npos;
       i = source_.find('{', i + 1)) {
    const char next = i + 1 < source_.size() ? source_[i + 1] : '\0';
    if (next == '{' || next == '%' || next == '#') {
      return i;
    }
  }
  return std::string_view::npos;
}

// End of the text [begin, tag) after the tag's white space control and lstrip_blocks.
size_t Lexer::strip_before_tag(size_t begin, size_t tag) const {
  const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
  const std::string_view text = source_.substr(begin, tag - begin);
  if (sign == '-') {
    return begin + strip(Str::borrowed(text, TextOrigin::kTemplate), Side::kRight, nullptr).size();
  }
  if (sign == '+' || source_[tag + 1] == '{') {
    return tag;
  }
  const size_t newline = text.rfind('\n');
  const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
  if ((line > 0 || line_starting_) && skip_space(begin + line) >= tag) {
    return begin + line;
  }
  return tag;
}

void Lexer::skip_comment(size_t tag) {
  size_t body = tag + 2;
  if (at(body, "-") || at(body, "+")) {
    ++body;
  }
  const size_t close = source_.find("#}", body);
  if (close == std::string_view::npos) {
    fail_at(tag, "the comment that begins here has no end '#}'");
  }
  pos_ = close + 2;
  const char sign = close > body ? source_[close - 1] : '\0';
  if (sign == '-') {
    pos_ = skip_space(pos_);
  } else if (sign != '+' && at(pos_, "\n")) {
    ++pos_;
  }
  line_starting_ = source_[pos_ - 1] == '\n';
}

// {% raw %}…{% endraw %}: queues the text between as data. False if the tag is another one.
bool Lexer::take_raw(size_t tag) {
  size_t pos = tag + 2;
  pos += at(pos, "-") || at(pos, "+") ? 1 : 0;
  pos = skip_space(pos);
  if (!at(pos, "raw")) {
    return false;
  }
  pos = skip_space(pos + 3);
  if (at(pos, "-%}")) {
    pos = skip_space(pos + 3);
  } else if (at(pos, "%}")) {
    pos += 2;
  } else {
    return false;
  }
  const size_t body = pos;
  line_starting_ = source_[body - 1] == '\n';
  for (size_t end = source_.find("{%", body); end != std::string_view::npos;
       end = source_.find("{%", end + 1)) {
    size_t close = end + 2;
    close += at(close, "-") || at(close, "+") ? 1 : 0;
    close = skip_space(close);
    if (!at(close, "endraw")) {
      continue;
    }
    close = skip_space(close + 6);
    if (at(close, "-%}")) {
      pos_ = skip_space(close + 3);
    } else if (at(close, "+%}")) {
      pos_ = close + 3;
    } else if (at(close, "%}")) {
      pos_ = close + 2;
      pos_ += at(pos_, "\n") ? 1 : 0;
    } else {
      continue;
    }
    queued_ = make(TokenType::kData, body, strip_before_tag(body, end));
    line_starting_ = source_[pos_ - 1] == '\n';
    return true;
  }
  fail_at(tag, "the raw block that begins here has no end '{% endraw %}'");
}

Token Lexer::next_root() {
  while (true) {
    const size_t begin = pos_;
    const size_t tag = find_tag(pos_);
    if (tag == std::string_view::npos) {
      pos_ = source_.size();
      return begin < pos_ ? make(TokenType::kData, begin, pos_) : make(TokenType::kEnd, pos_, pos_);
    }
    const size_t end = strip_before_tag(begin, tag);
    const Token data = make(TokenType::kData, begin, end);
    if (source_[tag + 1] == '#') {
      skip_comment(tag);
    } else if (source_[tag + 1] != '%' || !take_raw(tag)) {
      const bool block = source_[tag + 1] == '%';
      pos_ = tag + 2;
      pos_ += at(pos_, "-") || at(pos_, "+") ? 1 : 0;
      queued_ = make(block ? TokenType::kBlockBegin : TokenType::kVariableBegin, tag, pos_);
      mode_ = block ? Mode::kBlock : Mode::kVariable;
      line_starting_ = false;
    }
    if (end > begin) {
      return data;
    }
    if (queued_) {
      return next();
    }
  }
}

bool Lexer::close_tag(Token& token) {
  const bool block = mode_ == Mode::kBlock;
  const std::string_view mark = block ? "%}" : "}}";
  const size_t begin = pos_;
  const bool minus = at(pos_, "-") && at(pos_ + 1, mark);
  const bool plus = block && at(pos_, "+") && at(pos_ + 1, mark);
  if (!brackets_.empty() || (!minus && !plus && !at(pos_, mark))) {
    return false;
  }
  pos_ += 2 + (minus || plus ? 1 : 0);
  if (minus) {
    pos_ = skip_space(pos_);
  } else if (block && !plus && at(pos_, "\n")) {
    ++pos_;
  }
  line_starting_ = source_[pos_ - 1] == '\n';
  mode_ = Mode::kRoot;
  token = make(block ? TokenType::kBlockEnd : TokenType::kVariableEnd, begin, pos_);
  return true;
}

Token Lexer::next_inside() {
  pos_ = skip_space(pos_);
  if (pos_ >= source_.size()) {
    return make(TokenType::kEnd, pos_, pos_);
  }
  Token closing;
  if (close_tag(closing)) {
    return closing;
  }
  const char c = source_[pos_];
  if (c >= '0' && c <= '9') {
    return take_number();
  }
  if (c == '\'' || c == '"') {
    return take_string();
  }
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0) {
    return take_name();
  }
  return take_operator();
}

Token Lexer::take_number() {
  const auto digit = [&](size_t i) {
    return i < source_.size() && source_[i] >= '0' && source_[i] <= '9';
  };
  const auto digits = [&](size_t i) {  // end of digits with single underscores between them
    while (digit(i) || (at(i, "_") && digit(i + 1))) {
      ++i;
    }
    return i;
  };
  const size_t begin = pos_;
  const size_t whole = digits(begin);
  size_t end = at(whole, ".") && digit(whole + 1) ? digits(whole + 1) : whole;
  if (at(end, "e") || at(end, "E")) {
    const size_t sign = end + 1;
    const size_t exponent = sign + (at(sign, "+") || at(sign, "-") ? 1 : 0);
    end = digit(exponent) ? digits(exponent) : end;
  }
  if (end > whole && (begin == 0 || source_[begin - 1] != '.')) {
    pos_ = end;
    return make(TokenType::kFloat, begin, end);
  }
  end = whole;
  if (source_[begin] == '0') {
    end = begin + 1;
    const char base = begin + 1 < source_.size() ? static_cast<char>(source_[begin + 1] | 0x20) : 0;
    const std::string_view allowed = base == 'x'   ? "0123456789abcdefABCDEF"
                                     : base == 'o' ? "01234567"
                                     : base == 'b' ? "01"
                                                   : "";
    const auto is_allowed = [&](size_t i) {
      return i < source_.size() && allowed.find(source_[i]) != std::string_view::npos;
    };
    if (!allowed.empty() &&
        (is_allowed(begin + 2) || (at(begin + 2, "_") && is_allowed(begin + 3)))) {
      end = begin + 2;
      while (is_allowed(end) || (at(end, "_") && is_allowed(end + 1))) {
        ++end;
      }
    } else {
      while (at(end, "0") || at(end, "_0")) {
        ++end;
      }
    }
  }
  pos_ = end;
  return make(TokenType::kInteger, begin, end);
}

Token Lexer::take_string() {
  const size_t begin = pos_;
  const char quote = source_[begin];
  for (size_t i = begin + 1; i < source_.size(); ++i) {
    if (source_[i] == '\\') {
      ++i;
    } else if (source_[i] == quote) {
      pos_ = i + 1;
      return make(TokenType::kString, begin + 1, i);
    }
  }
  fail_at(begin, "the string that begins here has no end");
}

Token Lexer::take_name() {
  const size_t begin = pos_;
  while (pos_ < source_.size()) {
    const Utf8Char c = decode_utf8(source_, pos_);
    const utf8proc_category_t category = utf8proc_category(static_cast<int32_t>(c.code));
    const bool letter = c.code == '_' ||
                        (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
                        category == UTF8PROC_CATEGORY_NL;
    const bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                      category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_PC;
    if (!letter && !(mark && pos_ > begin)) {
      break;
    }
    pos_ += static_cast<size_t>(c.length);
  }
  if (pos_ == begin) {
    fail_at(begin,
            fmt::format("unexpected character '{}'",
                        source_.substr(begin, code_point_size(source_, begin))));
  }
  return make(TokenType::kName, begin, pos_);
}

void Lexer::balance(char bracket) {
  switch (bracket) {
    case '(':
      brackets_.push_back(')');
      return;
    case '[':
      brackets_.push_back(']');
      return;
    case '{':
      brackets_.push_back('}');
      return;
    case ')':
    case ']':
    case '}':
      if (brackets_.empty() || brackets_.back() != bracket) {
        fail_at(pos_, fmt::format("unexpected '{}'", bracket));
      }
      brackets_.pop_back();
      return;
    default:
      return;
  }
}

Token Lexer::take_operator() {
  static constexpr std::string_view kPairs[] = {"//", "**", "==", "!=", ">=", "<="};
  static constexpr std::string_view kSingles = "+-/*%~[](){}><=.:|,;";
  const size_t begin = pos_;
  for (const std::string_view pair : kPairs) {
    if (at(begin, pair)) {
      pos_ += 2;
      return make(TokenType::kOperator, begin, pos_);
    }
  }
  if (kSingles.find(source_[begin]) == std::string_view::npos) {
    fail_at(begin, fmt::format("unexpected character '{}'", source_[begin]));
  }
  balance(source_[begin]);
  ++pos_;
  return make(TokenType::kOperator, begin, pos_);
}

namespace {

[[noreturn]] void fail_escape(const Token& token, const char* what) {
  throw TemplateError{StatusCode::kInvalidArgument, what, token.line};
}

char32_t take_hex(const Token& token, size_t& pos, size_t digits) {
  char32_t code = 0;
  for (size_t i = 0; i < digits; ++i, ++pos) {
    const char c = pos < token.text.size() ? token.text[pos] : '\0';
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
      code = code * 16 + static_cast<char32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      code = code * 16 + static_cast<char32_t>(lower - 'a' + 10);
    } else {
      fail_escape(token, "a \\x, \\u or \\U escape needs 2, 4 or 8 hexadecimal digits");
    }
  }
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    fail_escape(token, "a string escape names no Unicode character");
  }
  return code;
}

}  // namespace

std::string Lexer::unescape(const Token& token) {
  static constexpr std::string_view kFrom = "ntrabfv\\'\"";
  static constexpr std::string_view kTo = "\n\t\r\a\b\f\v\\'\"";
  std::string out;
  const std::string_view text = token.text;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out.push_back(text[i++]);
      continue;
    }
    const char c = text[i + 1];
    i += 2;
    if (const size_t known = kFrom.find(c); known != std::string_view::npos) {
      out.push_back(kTo[known]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      append_utf8(out, take_hex(token, i, c == 'x' ? 2 : c == 'u' ? 4 : 8));
    } else if (c >= '0' && c <= '7') {
      char32_t code = static_cast<char32_t>(c - '0');
      for (int n = 0; n < 2 && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++n, ++i) {
        code = code * 8 + static_cast<char32_t>(text[i] - '0');
      }
      append_utf8(out, code);
    } else if (c == 'N') {
      fail_escape(token, "\\N{...} escapes are not supported");
    } else if (c != '\n') {  // a backslash before a line end joins the lines
      out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace tutti::jinja
