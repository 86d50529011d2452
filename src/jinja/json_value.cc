#include "jinja/json_value.h"

#include <algorithm>

namespace tutti::jinja {

namespace {

struct Converter {
  TextOrigin origin;
  Budget& budget;
  bool borrow;

  Value text(const std::string& value) const {
    return borrow ? Value(Str::borrowed(value, origin)) : make_str(value, origin, budget);
  }

  Value convert(const Json& json, int level) const {
    if (level >= kMaxValueDepth) {
      checked_depth(level);
    }
    if (json.is_bool()) {
      return json.as_bool();
    }
    if (json.is_int()) {
      return json.as_int();
    }
    if (json.is_number()) {  // integers beyond int64 too
      return json.as_number();
    }
    if (json.is_string()) {
      return text(json.as_string());
    }
    if (json.is_array()) {
      return convert_array(json.as_array(), level);
    }
    if (json.is_object()) {
      return convert_object(json.as_object(), level);
    }
    return None{};
  }

  Value convert_array(const JsonArray& array, int level) const {
    std::vector<Value> items;
    items.reserve(array.size());
    for (const Json& item : array) {
      items.push_back(convert(item, level + 1));
    }
    if (!borrow) {
      return make_list(std::move(items), ListKind::kList, budget);
    }
    auto list = std::make_shared<ListData>();
    int deepest = 0;
    for (const Value& item : items) {
      deepest = std::max(deepest, value_depth(item));
    }
    list->depth = checked_depth(deepest);
    list->items = std::move(items);
    return list;
  }

  Value convert_object(const JsonObject& object, int level) const {
    const auto dict = borrow ? std::make_shared<DictData>() : make_dict(budget);
    dict->items.reserve(object.size());
    for (const JsonMember& member : object.members()) {
      dict_set(*dict, text(member.key), convert(member.value, level + 1), budget);
    }
    return DictPtr(dict);
  }
};

}  // namespace

Value borrow_json(const Json& json, TextOrigin origin, Budget& budget) {
  return Converter{origin, budget, true}.convert(json, 0);
}

Value copy_json(const Json& json, TextOrigin origin, Budget& budget) {
  return Converter{origin, budget, false}.convert(json, 0);
}

void grant_steps_for(const Json& json, Budget& budget) {
  budget.grant(1, json.is_string() ? static_cast<int64_t>(json.as_string().size()) : 0);
  if (json.is_array()) {
    for (const Json& item : json.as_array()) {
      grant_steps_for(item, budget);
    }
  } else if (json.is_object()) {
    for (const JsonMember& member : json.as_object().members()) {
      grant_steps_for(member.value, budget);
    }
  }
}

}  // namespace tutti::jinja
