// JSON values as a model writes them: compact, with one space, or indented.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "grammar/regex_pool.h"

namespace tutti::grammar {

/// Expressions of the pieces that JSON texts are made of.
class JsonText {
 public:
  /// `space`: what may stand between the pieces; unset: nothing, a space, or a new line with an
  /// indent of at most 48 spaces or 12 tabs.
  explicit JsonText(RegexPool& pool, std::optional<ExprId> space = {});

  RegexPool& pool() { return pool_; }

  ExprId space() const { return space_; }

  /// Any character of a string in any form.
  ExprId any_char() const { return any_char_; }

  /// Any character of a string in its usual form.
  ExprId usual_char() const { return usual_char_; }

  ExprId quoted(ExprId content);
  /// Of constants: their usual form. Members of objects in the order they have.
  ExprId value(const Json& value);
  /// `[` or `{` and what may stand behind it; the same before the closing one.
  ExprId open(char bracket);
  ExprId close(char bracket);
  ExprId comma();
  /// A key given with its quotes, and its colon.
  ExprId key(ExprId quoted);

 private:
  ExprId mark(char c) { return pool_.bytes(ByteSet::of(static_cast<uint8_t>(c))); }

  RegexPool& pool_;
  ExprId space_;
  ExprId any_char_;
  ExprId usual_char_;
};

/// What stands between the quotes of a string.
std::string json_string_content(std::string_view text);

}  // namespace tutti::grammar
