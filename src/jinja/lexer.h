// Tokens of a template, with the white space rules of Jinja2's lexer under
// trim_blocks=true, lstrip_blocks=true, keep_trailing_newline=false.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/budget.h"

namespace tutti::jinja {

enum class TokenType : uint8_t {
  kData,
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kString,  ///< text is the raw source between the quotes
  kInteger,
  kFloat,
  kOperator,  ///< text is the operator
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string_view text;

  bool is_op(std::string_view op) const { return type == TokenType::kOperator && text == op; }

  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

/// Line ends as \n, and one line end at the very end removed.
std::string normalize_source(std::string_view source);

/// Produces tokens one by one; they view `source`, which must outlive them.
class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Token next();

  /// What the escapes of a string literal stand for.
  static std::string unescape(const Token& token);

 private:
  enum class Mode : uint8_t { kRoot, kBlock, kVariable };

  Token next_root();
  Token next_inside();
  size_t find_tag(size_t from) const;
  size_t strip_before_tag(size_t begin, size_t tag) const;
  void skip_comment(size_t tag);
  bool take_raw(size_t tag);
  bool close_tag(Token& token);
  Token take_number();
  Token take_string();
  Token take_name();
  Token take_operator();
  void balance(char bracket);
  Token make(TokenType type, size_t begin, size_t end);
  int line_at(size_t pos);
  size_t skip_space(size_t pos) const;

  bool at(size_t pos, std::string_view text) const {
    return source_.substr(std::min(pos, source_.size()), text.size()) == text;
  }

  [[noreturn]] void fail_at(size_t pos, const std::string& what);

  std::string_view source_;
  size_t pos_ = 0;
  size_t counted_ = 0;  // line_ is the line of this position
  int line_ = 1;
  Mode mode_ = Mode::kRoot;
  bool line_starting_ = true;
  std::optional<Token> queued_;
  std::vector<char> brackets_;  // expected closers
};

}  // namespace tutti::jinja
