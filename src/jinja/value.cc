#include "jinja/value.h"

#include <algorithm>
#include <cmath>

#include "jinja/loop_state.h"

namespace tutti::jinja {

const char* Value::type_name() const {
  static constexpr const char* kNames[] = {"Undefined",
                                           "NoneType",
                                           "bool",
                                           "int",
                                           "float",
                                           "str",
                                           "list",
                                           "dict",
                                           "Namespace",
                                           "function",
                                           "LoopContext"};
  if (const ListData* l = list()) {
    static constexpr const char* kListNames[] = {
        "list", "tuple", "range", "generator", "dict_keys", "dict_values", "dict_items"};
    return kListNames[static_cast<size_t>(l->kind)];
  }
  return kNames[v_.index()];
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key == name) {
      return &value;
    }
  }
  return nullptr;
}

void fail_undefined(const Undefined& undefined) {
  if (undefined.hint != nullptr) {
    fail("{}", undefined.hint);
  }
  const std::string name = undefined.name != nullptr ? *undefined.name : "?";
  if (undefined.owner != nullptr) {
    fail("'{}' object has no attribute or item '{}'", undefined.owner, name);
  }
  fail("'{}' is undefined", name);
}

namespace {

bool is_hashable(const Value& key) {
  if (const ListData* list = key.list()) {
    return list->kind == ListKind::kTuple &&
           std::all_of(list->items.begin(), list->items.end(), is_hashable);
  }
  return key.dict() == nullptr && key.ns() == nullptr;
}

}  // namespace

const Value* dict_find(const DictData& dict, std::string_view key) {
  const auto it = dict.index.find(key);
  return it == dict.index.end() ? nullptr : &dict.items[it->second].second;
}

const Value* dict_find(const DictData& dict, const Value& key, Budget& budget) {
  if (const Str* name = key.str()) {
    return dict_find(dict, name->view());
  }
  if (!is_hashable(key)) {
    fail("unhashable type: '{}'", key.type_name());
  }
  if (dict.index.size() == dict.items.size()) {
    return nullptr;
  }
  for (const auto& [k, v] : dict.items) {
    budget.step();
    if (equal(k, key, budget)) {
      return &v;
    }
  }
  return nullptr;
}

void dict_set(DictData& dict, Value key, Value value, Budget& budget) {
  budget.step(2);  // hashing and copying; whole dicts are copied with this
  budget.scan(key.str() != nullptr ? key.str()->size() : 0);
  dict.depth = std::max(dict.depth, checked_depth(std::max(value_depth(key), value_depth(value))));
  if (const Value* found = dict_find(dict, key, budget)) {
    *const_cast<Value*>(found) = std::move(value);  // NOLINT: the dict under construction is ours
    return;
  }
  // The index node is about as large as the item.
  dict.live.add(4 * sizeof(Value));
  dict.items.emplace_back(std::move(key), std::move(value));
  if (const Str* name = dict.items.back().first.str()) {
    dict.index.emplace(name->view(), dict.items.size() - 1);
  }
}

const Str* string_like(const Value& value) {
  static const Str kEmpty;
  if (value.is_empty_text()) {
    return &kEmpty;
  }
  if (const DictData* dict = value.dict()) {
    return dict->dual ? &dict->source : nullptr;
  }
  return value.str();
}

bool as_integer(const Value& value, int64_t& out) {
  if (const int64_t* i = value.integer()) {
    out = *i;
    return true;
  }
  if (const bool* b = value.boolean()) {
    out = *b ? 1 : 0;
    return true;
  }
  return false;
}

bool as_double(const Value& value, double& out) {
  int64_t i = 0;
  if (as_integer(value, i)) {
    out = static_cast<double>(i);
    return true;
  }
  if (const double* d = value.real()) {
    out = *d;
    return true;
  }
  return false;
}

bool truthy(const Value& value) {
  if (const bool* b = value.boolean()) {
    return *b;
  }
  if (const int64_t* i = value.integer()) {
    return *i != 0;
  }
  if (const double* d = value.real()) {
    return *d != 0.0;
  }
  if (const Str* s = value.str()) {
    return !s->empty();
  }
  if (const ListData* l = value.list()) {
    return l->kind == ListKind::kGenerator || !l->items.empty();
  }
  if (const DictData* d = value.dict()) {
    return !d->items.empty();
  }
  return !value.is_undefined() && !value.is_none();
}

namespace {

// Lists equal lists and tuples equal tuples; views and generators equal only themselves.
bool equal_lists(const ListData& a, const ListData& b, Budget& budget) {
  if (&a == &b) {
    return true;
  }
  if (a.kind != b.kind || a.items.size() != b.items.size() ||
      (a.kind != ListKind::kList && a.kind != ListKind::kTuple && a.kind != ListKind::kRange)) {
    return false;
  }
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(a.items[i], b.items[i], budget)) {
      return false;
    }
  }
  return true;
}

bool equal_dicts(const DictData& a, const DictData& b, Budget& budget) {
  if (&a == &b) {
    return true;
  }
  if (a.items.size() != b.items.size()) {
    return false;
  }
  return std::all_of(a.items.begin(), a.items.end(), [&](const auto& item) {
    const Value* other = dict_find(b, item.first, budget);
    return other != nullptr && equal(item.second, *other, budget);
  });
}

}  // namespace

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  const Str* sa = a.str();
  const Str* sb = b.str();
  if (sa != nullptr || sb != nullptr) {
    sa = string_like(a);
    sb = string_like(b);
    if (sa == nullptr || sb == nullptr || sa->size() != sb->size()) {
      return false;
    }
    budget.scan(sa->size());
    return sa->view() == sb->view();
  }
  int64_t ia = 0;
  int64_t ib = 0;
  if (as_integer(a, ia) && as_integer(b, ib)) {
    return ia == ib;
  }
  double da = 0;
  double db = 0;
  if (as_double(a, da) && as_double(b, db)) {
    return da == db;
  }
  if (a.list() != nullptr && b.list() != nullptr) {
    return equal_lists(*a.list(), *b.list(), budget);
  }
  if (a.dict() != nullptr && b.dict() != nullptr) {
    return equal_dicts(*a.dict(), *b.dict(), budget);
  }
  if (a.is_undefined() || a.is_none()) {
    return a.is_undefined() ? b.is_undefined() : b.is_none();
  }
  return (a.ns() != nullptr && a.ns() == b.ns()) ||
         (a.callable() != nullptr && a.callable() == b.callable()) ||
         (a.loop() != nullptr && a.loop() == b.loop());
}

bool less(const Value& a, const Value& b, const char* op, Budget& budget) {
  budget.step();
  if (a.is_undefined()) {
    fail_undefined(*a.undefined());
  }
  if (b.is_undefined()) {
    fail_undefined(*b.undefined());
  }
  int64_t ia = 0;
  int64_t ib = 0;
  if (as_integer(a, ia) && as_integer(b, ib)) {
    return ia < ib;
  }
  double da = 0;
  double db = 0;
  if (as_double(a, da) && as_double(b, db)) {
    return da < db;
  }
  if (a.str() != nullptr && b.str() != nullptr) {
    budget.scan(std::min(a.str()->size(), b.str()->size()));
    return a.str()->view() < b.str()->view();  // UTF-8 orders like code points
  }
  const ListData* la = a.list();
  const ListData* lb = b.list();
  if (la != nullptr && lb != nullptr && la->kind == lb->kind &&
      (la->kind == ListKind::kList || la->kind == ListKind::kTuple)) {
    const size_t common = std::min(la->items.size(), lb->items.size());
    for (size_t i = 0; i < common; ++i) {
      if (!equal(la->items[i], lb->items[i], budget)) {
        return less(la->items[i], lb->items[i], op, budget);
      }
    }
    return la->items.size() < lb->items.size();
  }
  fail("'{}' not supported between instances of '{}' and '{}'", op, a.type_name(), b.type_name());
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  const Str* text = container.dict() == nullptr ? string_like(container) : nullptr;
  if (text != nullptr) {
    const Str* part = string_like(item);
    if (part == nullptr) {
      if (item.is_undefined()) {
        fail_undefined(*item.undefined());
      }
      fail("'in <string>' requires string as left operand, not {}", item.type_name());
    }
    budget.scan(text->size());
    return find_text(text->view(), part->view()) != std::string_view::npos;
  }
  if (ListData* list = container.list()) {
    for (size_t i = list->next; i < list->items.size(); ++i) {
      if (equal(list->items[i], item, budget)) {
        if (list->kind == ListKind::kGenerator) {
          list->next = i + 1;
        }
        return true;
      }
    }
    return false;
  }
  if (const DictData* dict = container.dict()) {
    return dict_find(*dict, item, budget) != nullptr;
  }
  if (container.is_undefined()) {
    return false;  // an undefined value iterates as empty
  }
  fail("argument of type '{}' is not iterable", container.type_name());
}

int value_depth(const Value& value) {
  if (const ListData* list = value.list()) {
    return list->depth;
  }
  if (const DictData* dict = value.dict()) {
    return dict->depth;
  }
  if (const Callable* callable = value.callable()) {
    return 1 + value_depth(callable->self);
  }
  if (const LoopState* loop = value.loop()) {
    return loop->depth;
  }
  return 0;
}

int checked_depth(int deepest) {
  if (deepest >= kMaxValueDepth) {
    fail("a list or dict is nested deeper than {} levels", kMaxValueDepth);
  }
  return deepest + 1;
}

ListPtr make_list(std::vector<Value> items, ListKind kind, Budget& budget) {
  LiveBytes live(budget);
  live.add(sizeof(ListData) + items.size() * sizeof(Value));
  budget.step(static_cast<int64_t>(items.size() / 2));
  auto list = std::make_shared<ListData>(std::move(live));
  list->kind = kind;
  int deepest = 0;
  for (const Value& item : items) {
    deepest = std::max(deepest, value_depth(item));
  }
  list->depth = checked_depth(deepest);
  list->items = std::move(items);
  return list;
}

Value make_str(std::string_view text, TextOrigin origin, Budget& budget) {
  StrBuilder out(budget);
  out.append(text, origin);
  return std::move(out).finish();
}

std::shared_ptr<DictData> make_dict(Budget& budget) {
  LiveBytes live(budget);
  live.add(sizeof(DictData));
  return std::make_shared<DictData>(std::move(live));
}

}  // namespace tutti::jinja
