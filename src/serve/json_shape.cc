#include "serve/json_shape.h"

namespace tutti {

namespace {

bool is_number_char(char c) {
  return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
}

// Position after the string that begins at text[begin] == '"'.
size_t skip_string(std::string_view text, size_t begin) {
  size_t i = begin + 1;
  while (i < text.size() && text[i] != '"') {
    i += text[i] == '\\' ? 2 : 1;
  }
  return i + 1;
}

}  // namespace

Status check_json_shape(std::string_view text, const HttpLimits& limits) {
  if (text.starts_with("\xef\xbb\xbf")) {
    return invalid("the request body begins with a byte order mark; JSON has none");
  }
  int64_t values = 1;
  int64_t keys = 0;
  int64_t number = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"') {
      i = skip_string(text, i);
      number = 0;
      continue;
    }
    number = is_number_char(c) ? number + 1 : 0;
    // Every value but the first of an array or object follows a comma; the first, its bracket.
    values += c == ',' || c == '[' || c == '{' ? 1 : 0;
    keys += c == ':' ? 1 : 0;
    if (number > limits.json_number_chars) {
      return invalid("a number of the request body has more than {} characters",
                     limits.json_number_chars);
    }
    if (values > limits.json_values) {
      return invalid("the request body has more than {} values", limits.json_values);
    }
    if (keys > limits.json_keys) {
      return invalid("the request body has more than {} keys", limits.json_keys);
    }
    ++i;
  }
  return ok_status();
}

}  // namespace tutti
