#include "grammar/tool_grammar.h"

#include <algorithm>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/json_text.h"

namespace tutti::grammar {

namespace {

const Json& function_of(const Json& tool) {
  return *tool.find("function");
}

bool is_strict(const Json& tool) {
  const Json* strict = function_of(tool).find("strict");
  return strict != nullptr && strict->is_bool() && strict->as_bool();
}

// A JSON schema of strings only, without anything else to hold.
bool plain_string(const Json& schema) {
  const Json* type = schema.find("type");
  if (type == nullptr || !type->is_string() || type->as_string() != "string") {
    return false;
  }
  constexpr std::string_view kLimits[] = {"pattern",
                                          "format",
                                          "minLength",
                                          "maxLength",
                                          "not",
                                          "allOf",
                                          "anyOf",
                                          "oneOf",
                                          "$ref",
                                          "const"};
  return std::ranges::none_of(kLimits,
                              [&](std::string_view key) { return schema.find(key) != nullptr; });
}

class CallGrammar {
 public:
  CallGrammar(const CallWish& wish, const MarkBytes& mark, Syntax& syntax)
      : wish_(wish),
        markup_(*wish.markup),
        mark_(mark),
        syntax_(syntax),
        pool_(syntax.pool()),
        text_(pool_) {}

  Result<NodeId> add(const GrammarSpec* answer) {
    TUTTI_TRY(const NodeId calls, add_all_calls());
    if (wish_.required) {
      return calls;
    }
    if (answer != nullptr) {
      TUTTI_TRY(const NodeId said, add_spec(*answer, syntax_));
      const NodeId options[] = {calls, said};
      return syntax_.choice(options);
    }
    const NodeId parts[] = {syntax_.terminal(free_text()), syntax_.repeat(calls, 0, 1)};
    return syntax_.sequence(parts);
  }

 private:
  ExprId literal(const std::string& text) { return pool_.literal(mark_(text)); }

  ExprId line_end() { return pool_.optional(pool_.literal("\n")); }

  ExprId text_bytes() { return pool_.repeat(pool_.bytes(ByteSet::range(0, 0xFE)), 0, kUnbounded); }

  // Text in which no call begins.
  ExprId free_text() {
    const std::string& opening =
        markup_.section_open.empty() ? markup_.call_open : markup_.section_open;
    if (markup_.body == CallBody::kWhole) {
      // What begins like a call is one.
      ByteSet first;
      for (int byte = 0; byte < 0xFF; ++byte) {
        if (std::string_view("{ \t\r\n").find(static_cast<char>(byte)) == std::string_view::npos) {
          first.add(static_cast<uint8_t>(byte));
        }
      }
      return pool_.optional(pool_.concat(pool_.bytes(first), text_bytes()));
    }
    const std::string bytes = mark_(opening);
    if (bytes[0] == '\xFF') {
      return text_bytes();
    }
    const ExprId parts[] = {RegexPool::kAnything, pool_.literal(bytes), RegexPool::kAnything};
    return pool_.both(text_bytes(), pool_.complement(pool_.concat(parts)));
  }

  Result<NodeId> add_all_calls() {
    std::vector<NodeId> tools;
    const JsonArray& list = wish_.tools->as_array();
    for (size_t i = 0; i < list.size(); ++i) {
      auto call = add_call(list[i], fmt::format("tools[{}].function", i));
      if (!call.ok()) {
        return std::move(call).status();
      }
      tools.push_back(*call);
    }
    const NodeId one = syntax_.choice(tools);
    // A section of its own for each call where the family writes it so.
    const bool section_each = markup_.body == CallBody::kElements && markup_.value_lines;
    const auto terminal = [&](ExprId expr) { return syntax_.terminal(expr); };
    const auto in_section = [&](NodeId body) {
      if (markup_.section_open.empty()) {
        return body;
      }
      const NodeId parts[] = {terminal(pool_.concat(literal(markup_.section_open), line_end())),
                              body,
                              terminal(pool_.concat(line_end(), literal(markup_.section_close)))};
      return syntax_.sequence(parts);
    };
    const ExprId between = markup_.body == CallBody::kWhole ? pool_.literal("; ") : line_end();
    const auto many = [&](NodeId item) {
      if (wish_.one_call) {
        return item;
      }
      const NodeId more[] = {terminal(between), item};
      const NodeId parts[] = {item, syntax_.repeat(syntax_.sequence(more), 0, kUnbounded)};
      return syntax_.sequence(parts);
    };
    if (markup_.body == CallBody::kWhole) {
      const NodeId parts[] = {terminal(pool_.optional(literal(markup_.call_open))), many(one)};
      return syntax_.sequence(parts);
    }
    return section_each ? many(in_section(one)) : in_section(many(one));
  }

  Result<NodeId> add_call(const Json& tool, const std::string& where) {
    const Json& function = function_of(tool);
    const std::string& name = function.find("name")->as_string();
    const auto terminal = [&](ExprId expr) { return syntax_.terminal(expr); };
    switch (markup_.body) {
      case CallBody::kObject:
      case CallBody::kWhole: {
        const bool whole = markup_.body == CallBody::kWhole;
        TUTTI_TRY(const NodeId arguments, add_arguments(tool, where));
        const ExprId head[] = {
            text_.open('{'),
            text_.key(pool_.literal("\"name\"")),
            pool_.literal(to_string(Json(name))),
            text_.comma(),
            text_.key(pool_.literal(whole ? "\"parameters\"" : "\"arguments\""))};
        const ExprId opening = whole ? ExprId{RegexPool::kEmpty}
                                     : pool_.concat(literal(markup_.call_open), line_end());
        const ExprId closing =
            whole ? RegexPool::kEmpty : pool_.concat(line_end(), literal(markup_.call_close));
        const NodeId parts[] = {terminal(pool_.concat(opening, pool_.concat(head))),
                                arguments,
                                terminal(pool_.concat(text_.close('}'), closing))};
        return syntax_.sequence(parts);
      }
      case CallBody::kNamed: {
        TUTTI_TRY(const NodeId arguments, add_arguments(tool, where));
        const ExprId id[] = {pool_.literal("functions." + name + ":"),
                             pool_.repeat(pool_.bytes(ByteSet::range('0', '9')), 1, 6)};
        const ExprId head[] = {literal(markup_.call_open),
                               markup_.type_end.empty() ? RegexPool::kEmpty
                                                        : pool_.concat(pool_.literal("function"),
                                                                       literal(markup_.type_end)),
                               markup_.name_is_id ? pool_.concat(id) : pool_.literal(name),
                               literal(markup_.name_end)};
        const NodeId parts[] = {
            terminal(pool_.concat(head)),
            arguments,
            terminal(pool_.concat(literal(markup_.arguments_end), literal(markup_.call_close)))};
        return syntax_.sequence(parts);
      }
      case CallBody::kElements:
        return add_elements(tool, name, where);
    }
    return invalid("{}: no such markup", where);
  }

  Result<NodeId> add_arguments(const Json& tool, const std::string& where) {
    const Json* parameters = function_of(tool).find("parameters");
    const Json object = Json::object({{"type", "object"}});
    const bool none = parameters == nullptr || parameters->is_null();
    return add_value(none ? object : *parameters, tool, where + ".parameters", object);
  }

  // A schema's texts; of a tool that is not strict, `otherwise`'s if it cannot be enforced.
  Result<NodeId> add_value(const Json& schema,
                           const Json& tool,
                           const std::string& where,
                           const Json& otherwise) {
    const bool strict = is_strict(tool);
    auto made = add_json_schema(schema, {.closed = strict}, syntax_);
    if (!made.ok() && strict) {
      return std::move(error(made.status().code(), "{}: {}", where, made.status().message()))
          .with_param(where);
    }
    return made.ok() ? made : add_json_schema(otherwise, {}, syntax_);
  }

  // <parameter=key> and so on: strings stand there as they are, other values as JSON.
  Result<NodeId> add_elements(const Json& tool, const std::string& name, const std::string& where) {
    static const Json kNone = Json::object();
    const Json* parameters = function_of(tool).find("parameters");
    const Json& schema = parameters == nullptr || parameters->is_null() ? kNone : *parameters;
    const Json* properties = schema.find("properties");
    const Json* required = schema.find("required");
    const auto terminal = [&](ExprId expr) { return syntax_.terminal(expr); };
    const bool quoted = !markup_.value_lines;  // <invoke name="x">
    const auto named = [&](const std::string& mark, const std::string& key) {
      const std::string shown = quoted ? "\"" + key + "\"" : key;
      const ExprId parts[] = {literal(mark), pool_.literal(shown + ">")};
      return pool_.concat(parts);
    };
    std::vector<NodeId> parts{terminal(pool_.concat(named(markup_.call_open, name), line_end()))};
    if (properties != nullptr && properties->is_object()) {
      for (const JsonMember& member : properties->as_object()) {
        TUTTI_TRY(const NodeId value,
                  add_element_value(member.value, schema, tool, where + ".parameters"));
        const ExprId edge = markup_.value_lines ? pool_.literal("\n") : RegexPool::kEmpty;
        const NodeId element[] = {
            terminal(pool_.concat(named(markup_.parameter_open, member.key), edge)),
            value,
            terminal(pool_.concat(edge, pool_.concat(pool_.literal(kElementClose), line_end())))};
        const bool must = required != nullptr && required->is_array() &&
                          std::ranges::any_of(required->as_array(), [&](const Json& key) {
                            return key.is_string() && key.as_string() == member.key;
                          });
        parts.push_back(syntax_.repeat(syntax_.sequence(element), must ? 1 : 0, 1));
      }
    }
    parts.push_back(terminal(literal(markup_.call_close)));
    return syntax_.sequence(parts);
  }

  Result<NodeId> add_element_value(const Json& schema,
                                   const Json& parameters,
                                   const Json& tool,
                                   const std::string& where) {
    const Json* values = schema.find("enum");
    const bool strings = values != nullptr && values->is_array() &&
                         std::ranges::all_of(values->as_array(), &Json::is_string);
    if (strings) {
      std::vector<std::string_view> texts;
      for (const Json& value : values->as_array()) {
        texts.push_back(value.as_string());
      }
      return syntax_.terminal(pool_.any_of(texts));
    }
    const ExprId raw_parts[] = {
        RegexPool::kAnything, pool_.literal(kElementClose), RegexPool::kAnything};
    const ExprId raw = pool_.both(text_bytes(), pool_.complement(pool_.concat(raw_parts)));
    const Json* type = schema.find("type");
    const bool string_type = type != nullptr && type->is_string() && type->as_string() == "string";
    if (plain_string(schema) || (string_type && !is_strict(tool))) {
      return syntax_.terminal(raw);
    }
    if (string_type) {
      return std::move(error(StatusCode::kUnsupported,
                             "{}: limits of strings cannot be enforced in this model's markup, "
                             "which does not write them as JSON; leave strict out",
                             where))
          .with_param(where);
    }
    // With the definitions that it may refer to.
    Json whole = schema;
    for (const char* key : {"$defs", "definitions"}) {
      const Json* definitions = parameters.find(key);
      if (definitions != nullptr && whole.is_object() && whole.find(key) == nullptr) {
        whole.as_object().set(key, *definitions);
      }
    }
    return add_value(whole, tool, where, Json::object());
  }

  static constexpr const char* kElementClose = "</parameter>";

  const CallWish& wish_;
  const ToolCallMarkup& markup_;
  const MarkBytes& mark_;
  Syntax& syntax_;
  RegexPool& pool_;
  JsonText text_;
};

}  // namespace

std::string CallWish::key() const {
  return fmt::format("calls {} {} {} {}", markup->grammar, required, one_call, to_string(*tools));
}

Result<NodeId> add_calls(const CallWish& wish,
                         const GrammarSpec* answer,
                         const MarkBytes& mark,
                         Syntax& out) {
  return CallGrammar(wish, mark, out).add(answer);
}

}  // namespace tutti::grammar
