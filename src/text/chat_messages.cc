#include "text/chat_messages.h"

#include <algorithm>

#include "jinja/json_value.h"
#include "jinja/text_format.h"

namespace tutti {

namespace {

using jinja::Str;
using jinja::Value;

Status wrong(const std::string& path, const std::string& what) {
  return std::move(invalid("{}: {}", path, what)).with_param(path);
}

Status wrong_type(const std::string& path, const Json& got, const char* wanted) {
  return wrong(path, fmt::format("must be {}, not {}", wanted, got.type_name()));
}

// Templates build marks such as <|user|> from the role: a role of this list is as good as template
// text. Any other role stays content and cannot complete a mark.
bool is_known_role(std::string_view role) {
  static constexpr std::string_view kRoles[] = {
      "system", "developer", "user", "assistant", "model", "tool", "function", "ipython"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

}  // namespace

Value ChatMessages::key(const std::string& name) const {
  return Str::borrowed(name, TextOrigin::kContent);
}

Result<Value> ChatMessages::prepare(const Json& messages) {
  if (!messages.is_array()) {
    return wrong_type("messages", messages, "an array");
  }
  auto list = std::make_shared<jinja::ListData>();
  for (size_t i = 0; i < messages.as_array().size(); ++i) {
    TUTTI_TRY(Value item, message(messages.as_array()[i], fmt::format("messages[{}]", i)));
    list->depth = std::max(list->depth, jinja::checked_depth(jinja::value_depth(item)));
    list->items.push_back(std::move(item));
  }
  return Value(std::move(list));
}

Result<Value> ChatMessages::message(const Json& json, const std::string& path) {
  static const std::string kContent = "content";
  static const std::string kReasoningContent = "reasoning_content";
  if (!json.is_object()) {
    return wrong_type(path, json, "an object");
  }
  const Json* role = json.find("role");
  if (role == nullptr) {
    return wrong(path + ".role", "is missing");
  }
  if (!role->is_string()) {
    return wrong_type(path + ".role", *role, "a string");
  }
  const auto dict = std::make_shared<jinja::DictData>();
  const auto set = [&](const std::string& name, Value value) {
    jinja::dict_set(*dict, key(name), std::move(value), budget_);
  };
  for (const JsonMember& member : json.as_object().members()) {
    const std::string member_path = path + "." + member.key;
    if (member.key == "role") {
      const TextOrigin origin =
          is_known_role(role->as_string()) ? TextOrigin::kTemplate : TextOrigin::kContent;
      set(member.key, Str::borrowed(role->as_string(), origin));
    } else if (member.key == kContent) {
      TUTTI_TRY(Value value, content(member.value, member_path));
      set(member.key, std::move(value));
    } else if (member.key == "tool_calls") {
      TUTTI_TRY(Value value, tool_calls(member.value, member_path));
      set(member.key, std::move(value));
    } else {
      set(member.key, jinja::borrow_json(member.value, TextOrigin::kContent, budget_));
    }
  }
  if (json.find(kContent) == nullptr) {
    set(kContent, jinja::None{.empty_text = true});
  }
  const Json* reasoning = json.find("reasoning");
  if (reasoning != nullptr && reasoning->is_string() && json.find(kReasoningContent) == nullptr) {
    set(kReasoningContent, Str::borrowed(reasoning->as_string(), TextOrigin::kContent));
  }
  return Value(jinja::DictPtr(dict));
}

Result<Value> ChatMessages::content(const Json& json, const std::string& path) {
  if (json.is_null()) {
    return Value(jinja::None{.empty_text = true});
  }
  if (json.is_string()) {
    return Value(Str::borrowed(json.as_string(), TextOrigin::kContent));
  }
  if (!json.is_array()) {
    return wrong_type(path, json, "a string, an array of parts or null");
  }
  std::string& text = texts_.emplace_back();
  for (size_t i = 0; i < json.as_array().size(); ++i) {
    const Json& part = json.as_array()[i];
    const std::string part_path = fmt::format("{}[{}]", path, i);
    if (!part.is_object()) {
      return wrong_type(part_path, part, "an object");
    }
    const Json* type = part.find("type");
    if (type == nullptr || !type->is_string()) {
      return wrong(part_path + ".type", "must be a string");
    }
    if (type->as_string() != "text") {
      return wrong(part_path + ".type",
                   "only parts of type \"text\" are supported by this model's chat template");
    }
    const Json* part_text = part.find("text");
    if (part_text == nullptr || !part_text->is_string()) {
      return wrong(part_path + ".text", "must be a string");
    }
    text += i > 0 ? "\n" : "";
    text += part_text->as_string();
  }
  if (parts_ == Parts::kKeep) {
    return jinja::borrow_json(json, TextOrigin::kContent, budget_);
  }
  return Value(Str::borrowed(text, TextOrigin::kContent));
}

Result<Value> ChatMessages::tool_calls(const Json& json, const std::string& path) {
  if (json.is_null()) {
    return Value(jinja::None{});
  }
  if (!json.is_array()) {
    return wrong_type(path, json, "an array");
  }
  auto list = std::make_shared<jinja::ListData>();
  for (size_t i = 0; i < json.as_array().size(); ++i) {
    TUTTI_TRY(Value item, tool_call(json.as_array()[i], fmt::format("{}[{}]", path, i)));
    list->depth = std::max(list->depth, jinja::checked_depth(jinja::value_depth(item)));
    list->items.push_back(std::move(item));
  }
  return Value(std::move(list));
}

Result<Value> ChatMessages::tool_call(const Json& json, const std::string& path) {
  if (!json.is_object()) {
    return wrong_type(path, json, "an object");
  }
  const auto dict = std::make_shared<jinja::DictData>();
  for (const JsonMember& member : json.as_object().members()) {
    Value value;
    if (member.key == "function") {
      TUTTI_TRY(value, function(member.value, path + ".function"));
    } else {
      value = jinja::borrow_json(member.value, TextOrigin::kContent, budget_);
    }
    jinja::dict_set(*dict, key(member.key), std::move(value), budget_);
  }
  return Value(jinja::DictPtr(dict));
}

Result<Value> ChatMessages::function(const Json& json, const std::string& path) {
  if (!json.is_object()) {
    return wrong_type(path, json, "an object");
  }
  const auto dict = std::make_shared<jinja::DictData>();
  for (const JsonMember& member : json.as_object().members()) {
    Value value;
    if (member.key == "arguments") {
      TUTTI_TRY(value, arguments(member.value, path + ".arguments"));
    } else {
      value = jinja::borrow_json(member.value, TextOrigin::kContent, budget_);
    }
    jinja::dict_set(*dict, key(member.key), std::move(value), budget_);
  }
  return Value(jinja::DictPtr(dict));
}

// Some templates concatenate the arguments, others dump them: a mapping that reads as the client's
// own text serves both. Text that is no JSON object stays text.
Result<Value> ChatMessages::arguments(const Json& json, const std::string& path) {
  if (json.is_null()) {
    return Value(jinja::None{});
  }
  if (!json.is_string() && !json.is_object()) {
    return wrong_type(path, json, "a JSON object as text");
  }
  const Json* object = &json;
  if (json.is_string()) {
    Result<Json> parsed = parse_json(json.as_string(), {.max_depth = jinja::kMaxValueDepth / 2});
    if (!parsed.ok() || !parsed->is_object()) {
      return Value(Str::borrowed(json.as_string(), TextOrigin::kContent));
    }
    object = &parsed_.emplace_back(std::move(*parsed));
  }
  const Value plain = jinja::borrow_json(*object, TextOrigin::kContent, budget_);
  const auto dual = std::make_shared<jinja::DictData>();
  for (const auto& [name, value] : plain.dict()->items) {
    jinja::dict_set(*dual, name, value, budget_);
  }
  dual->dual = true;
  dual->sent_as_text = json.is_string();
  dual->source = json.is_string() ? Str::borrowed(json.as_string(), TextOrigin::kContent)
                                  : jinja::to_json(plain, {}, budget_);
  return Value(jinja::DictPtr(dual));
}

}  // namespace tutti
