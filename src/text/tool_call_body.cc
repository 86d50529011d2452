// What stands between the marks of a tool call.
#include <algorithm>

#include "base/ascii.h"
#include "text/tool_calls.h"

namespace tutti {

namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr JsonLimits kCallLimits{.max_depth = 64};

// End of the JSON value that begins at `pos` of valid JSON: after its closing bracket or quote, or
// before what ends a number or word.
size_t value_end(std::string_view json, size_t pos) {
  int depth = 0;
  for (bool quoted = false; pos < json.size(); ++pos) {
    const char c = json[pos];
    if (quoted) {
      pos += c == '\\' ? 1 : 0;
      quoted = c != '"';
      if (!quoted && depth == 0) {
        return pos + 1;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth <= 0) {
        return depth == 0 ? pos + 1 : pos;
      }
    } else if (depth == 0 && (c == ',' || c == ';' || kWhiteSpace.find(c) != kWhiteSpace.npos)) {
      return pos;
    }
  }
  return json.size();
}

// The text of member number `index` of a valid JSON object, as it was written.
std::string_view member_text(std::string_view json, size_t index) {
  size_t pos = json.find('{') + 1;
  for (size_t i = 0;; ++i) {
    pos = json.find('"', pos);
    pos = json.find(':', value_end(json, pos)) + 1;
    pos = std::min(json.find_first_not_of(kWhiteSpace, pos), json.size());
    const size_t end = value_end(json, pos);
    if (i == index) {
      return json.substr(pos, end - pos);
    }
    pos = end;
  }
}

// JSON text of an object, as it was written; nothing at all means no arguments.
Result<std::string> object_text(std::string_view text) {
  text = trim(text);
  if (text.empty()) {
    return std::string("{}");
  }
  TUTTI_TRY(const Json json, parse_json(text, kCallLimits));
  if (!json.is_object()) {
    return invalid("arguments: got {}, wanted an object", json.type_name());
  }
  return std::string(text);
}

Result<ToolCall> object_call(std::string_view text, bool& has_arguments) {
  text = trim(text);
  TUTTI_TRY(const Json json, parse_json(text, kCallLimits));
  const Json* name = json.find("name");
  if (name == nullptr || !name->is_string() || name->as_string().empty()) {
    return invalid("a tool call needs the member \"name\", a string");
  }
  ToolCall call{.id = {}, .name = name->as_string(), .arguments = "{}"};
  const std::vector<JsonMember>& members = json.as_object().members();
  for (size_t i = 0; i < members.size(); ++i) {
    if (members[i].key != "arguments" && members[i].key != "parameters") {
      continue;
    }
    has_arguments = true;
    const Json& value = members[i].value;
    if (value.is_string()) {  // JSON inside JSON
      TUTTI_TRY(call.arguments, object_text(value.as_string()));
    } else if (value.is_object()) {
      call.arguments = std::string(member_text(text, i));
    } else if (!value.is_null()) {
      return invalid("arguments: got {}, wanted an object", value.type_name());
    }
    break;
  }
  return call;
}

// functions.NAME:INDEX
std::string_view name_of_id(std::string_view id) {
  constexpr std::string_view kPrefix = "functions.";
  if (id.substr(0, kPrefix.size()) == kPrefix) {
    id.remove_prefix(kPrefix.size());
  }
  const size_t colon = id.rfind(':');
  const std::string_view digits =
      colon == std::string_view::npos ? std::string_view() : id.substr(colon + 1);
  const bool index = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
  return index ? id.substr(0, colon) : id;
}

Result<ToolCall> named_call(const ToolCallMarkup& markup, std::string_view body) {
  if (!markup.type_end.empty()) {
    const size_t type = body.find(markup.type_end);
    if (type == std::string_view::npos) {
      return invalid("a tool call needs the mark {}", markup.type_end);
    }
    body.remove_prefix(type + markup.type_end.size());
  }
  const size_t name_end = body.find(markup.name_end);
  if (name_end == std::string_view::npos) {
    return invalid("a tool call's name needs an end");
  }
  const std::string_view name = trim(body.substr(0, name_end));
  body.remove_prefix(name_end + markup.name_end.size());
  if (!markup.arguments_end.empty()) {
    body = body.substr(0, body.rfind(markup.arguments_end));
  }
  ToolCall call{.id = markup.name_is_id ? std::string(name) : std::string(),
                .name = std::string(markup.name_is_id ? name_of_id(name) : name),
                .arguments = {}};
  if (call.name.empty()) {
    return invalid("a tool call needs a name");
  }
  TUTTI_TRY(call.arguments, object_text(body));
  return call;
}

// The declared function of that name; nullptr if there is none.
const Json* find_function(const Json* tools, std::string_view name) {
  if (tools == nullptr || !tools->is_array()) {
    return nullptr;
  }
  for (const Json& tool : tools->as_array()) {
    const Json* function = tool.find("function");
    const Json* declared = function == nullptr ? nullptr : function->find("name");
    if (declared != nullptr && declared->is_string() && declared->as_string() == name) {
      return function;
    }
  }
  return nullptr;
}

bool is_declared(const Json* tools, std::string_view name) {
  return find_function(tools, name) != nullptr;
}

// JSON schema of one parameter of a declared tool; nullptr if it is not declared.
const Json* parameter_schema(const Json* tools, std::string_view name, std::string_view key) {
  const Json* function = find_function(tools, name);
  const Json* parameters = function == nullptr ? nullptr : function->find("parameters");
  const Json* properties = parameters == nullptr ? nullptr : parameters->find("properties");
  return properties == nullptr ? nullptr : properties->find(key);
}

void add_types(const Json& schema, std::vector<std::string>& types) {
  const auto add = [&](const Json& type) {
    if (type.is_string()) {
      types.push_back(type.as_string());
    }
  };
  if (const Json* type = schema.find("type")) {
    add(*type);
    if (type->is_array()) {
      std::for_each(type->as_array().begin(), type->as_array().end(), add);
    }
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    const Json* choices = schema.find(key);
    if (choices != nullptr && choices->is_array()) {
      for (const Json& choice : choices->as_array()) {
        add_types(choice, types);
      }
    }
  }
  const Json* values = schema.find("enum");
  if (values != nullptr && values->is_array()) {
    for (const Json& value : values->as_array()) {
      types.emplace_back(value.is_string()   ? "string"
                         : value.is_bool()   ? "boolean"
                         : value.is_number() ? "number"
                                             : "object");
    }
  }
}

bool fits(const Json& json, const std::string& type) {
  return (type == "integer" && json.is_int()) || (type == "number" && json.is_number()) ||
         (type == "boolean" && json.is_bool()) || (type == "object" && json.is_object()) ||
         (type == "array" && json.is_array()) || (type == "null" && json.is_null());
}

// A value that is not written as JSON strings are: the declared types decide what it is. A string
// is data, white space and all (the templates write none around it); other values are their JSON.
void append_value(std::string& out, std::string_view raw, const Json* schema) {
  const std::string_view text = trim(raw);
  std::vector<std::string> types;
  if (schema != nullptr) {
    add_types(*schema, types);
  }
  const auto declared = [&](const char* type) {
    return std::find(types.begin(), types.end(), type) != types.end();
  };
  const bool only_string = !types.empty() && std::all_of(types.begin(), types.end(), [](auto& t) {
    return t == "string";
  });
  const bool null = text == "null" && (!only_string || raw == text);
  if (null || (declared("boolean") && (text == "True" || text == "False"))) {
    out += null ? "null" : text == "True" ? "true" : "false";
    return;
  }
  if (!only_string) {
    const Result<Json> json = parse_json(text, kCallLimits);
    const bool wanted =
        json.ok() && (!declared("string") || std::any_of(types.begin(), types.end(), [&](auto& t) {
          return fits(*json, t);
        }));
    if (wanted) {
      out += text;
      return;
    }
  }
  append_json_string(out, raw);
}

std::string_view unquoted(std::string_view text) {
  text = trim(text);
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
                      text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// Without the line ends that the template writes around a value; others are the value's.
std::string_view without_lines(std::string_view value) {
  value.remove_prefix(value.starts_with('\n') ? 1 : 0);
  value.remove_suffix(value.ends_with('\n') ? 1 : 0);
  return value;
}

Result<ToolCall> elements_call(const ToolCallMarkup& markup,
                               std::string_view body,
                               const Json* tools) {
  const std::string& open = markup.parameter_open;
  constexpr std::string_view kClose = "</parameter>";
  const size_t name_end = body.find('>');
  if (name_end == std::string_view::npos) {
    return invalid("a tool call's name needs an end");
  }
  ToolCall call{
      .id = {}, .name = std::string(unquoted(body.substr(0, name_end))), .arguments = "{"};
  if (call.name.empty()) {
    return invalid("a tool call needs a name");
  }
  std::vector<std::string> keys;
  for (size_t pos = body.find(open, name_end); pos != std::string_view::npos;
       pos = body.find(open, pos)) {
    const size_t key_begin = pos + open.size();
    const size_t key_end = body.find('>', key_begin);
    const size_t end = body.find(kClose, key_begin);
    if (end == std::string_view::npos || key_end > end) {
      return invalid("a parameter has no end");
    }
    std::string key(unquoted(body.substr(key_begin, key_end - key_begin)));
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) {
      return invalid("the parameter {} is given twice", key);
    }
    call.arguments += keys.empty() ? "" : ", ";
    append_json_string(call.arguments, key);
    call.arguments += ": ";
    const std::string_view value = body.substr(key_end + 1, end - key_end - 1);
    append_value(call.arguments,
                 markup.value_lines ? without_lines(value) : value,
                 parameter_schema(tools, call.name, key));
    keys.push_back(std::move(key));
    pos = end + kClose.size();
  }
  call.arguments += "}";
  return call;
}

}  // namespace

Result<ToolCall> parse_call_body(const ToolCallMarkup& markup,
                                 std::string_view body,
                                 const Json* tools) {
  switch (markup.body) {
    case CallBody::kNamed:
      return named_call(markup, body);
    case CallBody::kElements:
      return elements_call(markup, body, tools);
    default: {
      bool unused = false;
      return object_call(body, unused);
    }
  }
}

Result<std::vector<ToolCall>> parse_whole_answer(const ToolCallMarkup& markup,
                                                 std::string_view text,
                                                 const Json* tools) {
  text = trim(text);
  const bool marked = text.starts_with(markup.call_open);
  text.remove_prefix(marked ? markup.call_open.size() : 0);
  std::vector<ToolCall> calls;
  while (!(text = trim(text)).empty()) {
    if (text[0] != '{') {
      return invalid("an answer of tool calls holds only JSON objects");
    }
    const size_t end = value_end(text, 0);
    bool has_arguments = false;
    TUTTI_TRY(ToolCall call, object_call(text.substr(0, end), has_arguments));
    if (!marked && !(has_arguments && is_declared(tools, call.name))) {
      return invalid("{} without marks is no call of a declared tool", call.name);
    }
    calls.push_back(std::move(call));
    text = trim(text.substr(end));
    if (!text.empty() && text[0] == ';') {
      text.remove_prefix(1);
    }
  }
  if (calls.empty()) {
    return invalid("the answer is empty");
  }
  return calls;
}

}  // namespace tutti
