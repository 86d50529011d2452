// Values as text: Python's str() and repr(), and JSON as Python's json.dumps writes it.
#pragma once
#include <optional>
#include <string>

#include "jinja/value.h"

namespace tutti::jinja {

/// Python's repr of a float: the shortest text that reads back equal.
std::string float_repr(double value);

/// str(value), appended or as a string. Undefined is "".
void append_str(StrBuilder& out, const Value& value, Budget& budget);
Str to_str(const Value& value, Budget& budget);

/// repr(value).
void append_repr(StrBuilder& out, const Value& value, Budget& budget);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  ///< the text of one level; set: one item a line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// json.dumps(value, …). One content string inside makes the whole text content.
Str to_json(const Value& value, const JsonStyle& style, Budget& budget);

/// strftime in UTC and English; supports the codes chat templates use, others are an error.
std::string format_time(int64_t unix_seconds, std::string_view format);

}  // namespace tutti::jinja
