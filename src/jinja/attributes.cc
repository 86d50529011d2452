// object.name, object[key] and iteration: built-in types only; there is nothing else to reach.
#include <algorithm>

#include "jinja/interpreter.h"

namespace tutti::jinja {

namespace {

Value bind(const char* name, FunctionPtr function, const Value& self) {
  auto callable = std::make_shared<Callable>();
  callable->name = name;
  callable->function = function;
  callable->self = self;
  return CallablePtr(std::move(callable));
}

ListPtr view_of(const DictData& dict, ListKind kind, Interpreter& in) {
  std::vector<Value> items;
  items.reserve(dict.items.size());
  for (const auto& [key, value] : dict.items) {
    if (kind == ListKind::kItems) {
      items.push_back(in.list({key, value}, ListKind::kTuple));
    } else {
      items.push_back(kind == ListKind::kValues ? value : key);
    }
  }
  return in.list(std::move(items), kind);
}

Value dict_items(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "items").done();
  return view_of(*self.dict(), ListKind::kItems, in);
}

Value dict_keys(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "keys").done();
  return view_of(*self.dict(), ListKind::kKeys, in);
}

Value dict_values(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "values").done();
  return view_of(*self.dict(), ListKind::kValues, in);
}

Value dict_get(Interpreter& in, const Value& self, CallArgs& args) {
  if (!args.keyword.empty()) {
    fail("get() takes no keyword arguments");
  }
  ArgReader reader(args, "get");
  const Value& key = reader.required("key");
  const Value* fallback = reader.optional("default");
  reader.done();
  if (const Value* found = dict_find(*self.dict(), key, in.budget())) {
    return *found;
  }
  return fallback != nullptr ? *fallback : Value(None{});
}

Value copy_of(Interpreter&, const Value& self, CallArgs& args) {
  ArgReader(args, "copy").done();
  return self;
}

Value list_index(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "index");
  const Value& wanted = reader.required("value");
  reader.done();
  const std::vector<Value>& items = self.list()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], wanted, in.budget())) {
      return static_cast<int64_t>(i);
    }
  }
  fail("the value is not in the list");
}

Value list_count(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "count");
  const Value& wanted = reader.required("value");
  reader.done();
  const std::vector<Value>& items = self.list()->items;
  return static_cast<int64_t>(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(item, wanted, in.budget());
  }));
}

struct Method {
  const char* name;
  FunctionPtr function;  ///< nullptr: changes the object, which templates may not
};

constexpr Method kDictMethods[] = {{"items", dict_items},
                                   {"keys", dict_keys},
                                   {"values", dict_values},
                                   {"get", dict_get},
                                   {"copy", copy_of},
                                   {"clear", nullptr},
                                   {"pop", nullptr},
                                   {"popitem", nullptr},
                                   {"setdefault", nullptr},
                                   {"update", nullptr}};

constexpr Method kListMethods[] = {{"index", list_index},
                                   {"count", list_count},
                                   {"copy", copy_of},
                                   {"append", nullptr},
                                   {"clear", nullptr},
                                   {"extend", nullptr},
                                   {"insert", nullptr},
                                   {"pop", nullptr},
                                   {"remove", nullptr},
                                   {"reverse", nullptr},
                                   {"sort", nullptr}};

template <size_t N>
std::optional<Value> find_in(const Method (&methods)[N],
                             const std::string& name,
                             const Value& self) {
  for (const Method& method : methods) {
    if (name == method.name) {
      if (method.function == nullptr) {
        return Undefined{.hint = "methods that change a list or dict are not allowed in templates"};
      }
      return bind(method.name, method.function, self);
    }
  }
  return std::nullopt;
}

std::optional<Value> method_of(const Value& object, const std::string& name) {
  if (object.dict() != nullptr) {
    return find_in(kDictMethods, name, object);
  }
  if (const ListData* list = object.list()) {
    if (list->kind <= ListKind::kRange) {
      const bool in_tuple = list->kind == ListKind::kList || name == "index" || name == "count";
      return in_tuple ? find_in(kListMethods, name, object) : std::nullopt;
    }
    return std::nullopt;
  }
  if (object.str() != nullptr) {
    if (const FunctionPtr function = find_string_method(name)) {
      return bind("string method", function, object);
    }
  }
  return std::nullopt;
}

}  // namespace

Value Interpreter::get_attribute(const Value& object, const std::string& name) {
  if (object.is_undefined()) {
    fail_undefined(*object.undefined());
  }
  if (const Namespace* ns = object.ns()) {
    const Value* found = ns->find(name);
    return found != nullptr ? *found : Value(Undefined{"Namespace", &name, nullptr});
  }
  if (object.loop() != nullptr) {
    return loop_attribute(object, name);
  }
  if (std::optional<Value> method = method_of(object, name)) {
    return *method;
  }
  if (const DictData* dict = object.dict()) {
    if (const Value* found = dict_find(*dict, name)) {
      return *found;
    }
    if (dict->dual) {  // as a string it has the methods of one
      if (const FunctionPtr function = find_string_method(name)) {
        return bind("string method", function, dict->source);
      }
    }
  }
  if (const FunctionPtr function = object.is_empty_text() ? find_string_method(name) : nullptr) {
    return bind("string method", function, Str());
  }
  return Undefined{object.type_name(), &name, nullptr};
}

Value Interpreter::get_item(const Value& object, const Value& key, const std::string* name) {
  if (object.is_undefined()) {
    fail_undefined(*object.undefined());
  }
  int64_t index = 0;
  if (const DictData* dict = object.dict()) {
    if (const Value* found = dict_find(*dict, key, budget_)) {
      return *found;
    }
  } else if (as_integer(key, index)) {
    if (const Str* text = object.str()) {
      budget_.scan(text->size());
      const std::string_view view = text->view();
      const auto size = static_cast<int64_t>(text->ascii() ? view.size() : count_code_points(view));
      index += index < 0 ? size : 0;
      if (index >= 0 && index < size) {
        const size_t at = text->ascii() ? static_cast<size_t>(index)
                                        : code_point_offset(view, static_cast<size_t>(index));
        return text->slice(at, at + code_point_size(view, at));
      }
    } else if (const ListData* list = object.list();
               list != nullptr && list->kind <= ListKind::kRange) {
      const auto size = static_cast<int64_t>(list->items.size());
      index += index < 0 ? size : 0;
      if (index >= 0 && index < size) {
        return list->items[static_cast<size_t>(index)];
      }
    }
  }
  // Jinja falls back from an item to an attribute of that name.
  if (const Str* text = key.str()) {
    const std::string attribute(text->view());
    if (const Namespace* ns = object.ns()) {
      const Value* found = ns->find(attribute);
      return found != nullptr ? *found : Value(Undefined{"Namespace", name, nullptr});
    }
    if (object.loop() != nullptr) {
      Value found = loop_attribute(object, attribute);
      return found.is_undefined() ? Value(Undefined{"LoopContext", name, nullptr}) : found;
    }
    if (std::optional<Value> method = method_of(object, attribute)) {
      return *method;
    }
  }
  return Undefined{object.type_name(), name, nullptr};
}

ListPtr Interpreter::iterate(const Value& value) {
  if (const ListPtr* items = value.list_ptr()) {
    if ((*items)->kind != ListKind::kGenerator) {
      return *items;
    }
    ListData& generator = **items;
    std::vector<Value> rest(generator.items.begin() + static_cast<std::ptrdiff_t>(generator.next),
                            generator.items.end());
    generator.next = generator.items.size();
    return list(std::move(rest));
  }
  if (const DictData* dict = value.dict()) {
    return view_of(*dict, ListKind::kList, *this);
  }
  if (const Str* text = value.str()) {
    const std::string_view view = text->view();
    std::vector<Value> characters;
    budget_.check_item_count(text->ascii() ? view.size() : count_code_points(view));
    budget_.step(static_cast<int64_t>(view.size()));
    for (size_t pos = 0; pos < view.size();) {
      const size_t size = code_point_size(view, pos);
      characters.emplace_back(text->slice(pos, pos + size));
      pos += size;
    }
    return list(std::move(characters));
  }
  if (value.is_undefined() || value.is_empty_text()) {
    return list({});
  }
  fail("'{}' object is not iterable", value.type_name());
}

Value loop_cycle(Interpreter&, const Value& self, CallArgs& args) {
  if (args.positional.empty()) {
    fail("loop.cycle() needs at least one value");
  }
  const auto count = static_cast<int64_t>(args.positional.size());
  return args.positional[static_cast<size_t>(std::max<int64_t>(self.loop()->index0, 0) % count)];
}

namespace {

Value loop_changed(Interpreter& in, const Value& self, CallArgs& args) {
  LoopState& loop = *self.loop();
  if (!loop.running) {
    fail("loop.changed() was called after the loop ended");
  }
  Value now = in.list(args.positional, ListKind::kTuple);
  const bool changed = !loop.changed || !equal(*loop.changed, now, in.budget());
  loop.changed = std::move(now);
  return changed;
}

}  // namespace

Value Interpreter::loop_attribute(const Value& value, const std::string& name) {
  LoopState& loop = *value.loop();
  if (name == "index") {
    return loop.index0 + 1;
  }
  if (name == "index0") {
    return loop.index0;
  }
  if (name == "first") {
    return loop.index0 == 0;
  }
  if (name == "depth" || name == "depth0") {
    return int64_t{loop.depth0} + (name == "depth" ? 1 : 0);
  }
  if (name == "previtem") {
    return loop.before ? *loop.before : Value(Undefined{.hint = "there is no previous item"});
  }
  if (name == "cycle") {
    return bind("cycle", loop_cycle, value);
  }
  if (name == "changed") {
    return bind("changed", loop_changed, value);
  }
  const bool look_ahead = name == "last" || name == "nextitem";
  const bool count = name == "length" || name == "revindex" || name == "revindex0";
  if (!look_ahead && !count) {
    return Undefined{"LoopContext", &name, nullptr};
  }
  if (loop.scope.expired()) {
    fail("loop.{} was read after the loop's scope ended", name);
  }
  if (look_ahead) {
    if (!loop.after) {
      loop.after = pull(loop);
    }
    if (name == "last") {
      return !loop.after.has_value();
    }
    return loop.after ? *loop.after : Value(Undefined{.hint = "there is no next item"});
  }
  if (loop.filtered) {
    drop_filter(loop);
  }
  const auto length = static_cast<int64_t>(loop.items->items.size());
  if (name == "length") {
    return length;
  }
  return length - loop.index0 - (name == "revindex0" ? 1 : 0);
}

}  // namespace tutti::jinja
