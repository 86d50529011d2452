#include "grammar/json_text.h"

#include <vector>

#include "grammar/char_set.h"

namespace tutti::grammar {

namespace {

constexpr uint32_t kMaxSpaces = 48;
constexpr uint32_t kMaxTabs = 12;

// More of it would be a way to write for ever without saying anything.
ExprId usual_space(RegexPool& pool) {
  const ExprId indent = pool.either(pool.repeat(pool.literal(" "), 0, kMaxSpaces),
                                    pool.repeat(pool.literal("\t"), 0, kMaxTabs));
  const ExprId line = pool.concat(pool.literal("\n"), indent);
  return pool.optional(pool.either(pool.literal(" "), line));
}

}  // namespace

JsonText::JsonText(RegexPool& pool, std::optional<ExprId> space)
    : pool_(pool),
      space_(space.has_value() ? *space : usual_space(pool)),
      any_char_(any_json_char(pool)),
      usual_char_(one_of(pool, CharSet::all(), Writing::kJsonString)) {}

ExprId JsonText::quoted(ExprId content) {
  const ExprId parts[] = {mark('"'), content, mark('"')};
  return pool_.concat(parts);
}

ExprId JsonText::open(char bracket) {
  return pool_.concat(mark(bracket), space_);
}

ExprId JsonText::close(char bracket) {
  return pool_.concat(space_, mark(bracket));
}

ExprId JsonText::comma() {
  return pool_.concat(mark(','), space_);
}

ExprId JsonText::key(ExprId quoted) {
  const ExprId parts[] = {quoted, mark(':'), space_};
  return pool_.concat(parts);
}

ExprId JsonText::value(const Json& value) {
  if (!value.is_array() && !value.is_object()) {
    return pool_.literal(to_string(value));
  }
  std::vector<ExprId> parts;
  const bool array = value.is_array();
  if (array) {
    for (const Json& item : value.as_array()) {
      parts.push_back(parts.empty() ? RegexPool::kEmpty : comma());
      parts.push_back(this->value(item));
    }
  } else {
    for (const JsonMember& member : value.as_object()) {
      parts.push_back(parts.empty() ? RegexPool::kEmpty : comma());
      parts.push_back(key(pool_.literal(to_string(Json(member.key)))));
      parts.push_back(this->value(member.value));
    }
  }
  parts.insert(parts.begin(), open(array ? '[' : '{'));
  parts.push_back(close(array ? ']' : '}'));
  return pool_.concat(parts);
}

std::string json_string_content(std::string_view text) {
  std::string quoted;
  append_json_string(quoted, text);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace tutti::grammar
