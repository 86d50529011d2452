#include <algorithm>
#include <charconv>

#include "jinja/filters.h"
#include "jinja/text_format.h"

namespace tutti::jinja::filters {

AttributePath::AttributePath(const Value& path, Budget& budget) {
  const Str* text = path.str();
  if (text == nullptr) {
    if (!path.is_none()) {
      parts_.push_back(path);
    }
    return;
  }
  const std::string_view dot = ".";
  for (const Str& part : split(*text, &dot, -1, budget)) {
    int64_t index = 0;
    const std::string_view view = part.view();
    const auto [end, code] = std::from_chars(view.data(), view.data() + view.size(), index);
    const bool number = code == std::errc() && end == view.data() + view.size() && view[0] != '-';
    parts_.push_back(number ? Value(index) : Value(part));
  }
}

Value AttributePath::of(Interpreter& in, Value item, const Value* fallback) const {
  for (const Value& part : parts_) {
    item = in.get_item(item, part, nullptr);
    if (fallback != nullptr && !fallback->is_none() && item.is_undefined()) {
      item = *fallback;
    }
  }
  return item;
}

Value length(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "length").done();
  if (const Str* text = input.str()) {
    in.budget().scan(text->size());
    return static_cast<int64_t>(text->ascii() ? text->size() : count_code_points(text->view()));
  }
  if (const DictData* dict = input.dict()) {
    return static_cast<int64_t>(dict->items.size());
  }
  const ListData* list = input.list();
  if (list != nullptr && list->kind != ListKind::kGenerator) {
    return static_cast<int64_t>(list->items.size());
  }
  if (input.is_undefined() || input.is_empty_text()) {
    return int64_t{0};
  }
  fail("object of type '{}' has no len()", input.type_name());
}

Value first(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "first").done();
  ListData* list = input.list();
  if (list != nullptr && list->next < list->items.size()) {
    return list->kind == ListKind::kGenerator ? list->items[list->next++] : list->items[0];
  }
  if (const Str* text = input.str(); text != nullptr && !text->empty()) {
    return text->slice(0, code_point_size(text->view(), 0));
  }
  const ListPtr items = in.iterate(input);
  return items->items.empty() ? Undefined{.hint = "No first item, sequence was empty."}
                              : items->items[0];
}

Value last(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "last").done();
  const ListData* list = input.list();
  if (list != nullptr && list->kind == ListKind::kGenerator) {
    fail("'generator' object is not reversible; use the filter 'list' first");
  }
  const ListPtr items = in.iterate(input);
  return items->items.empty() ? Undefined{.hint = "No last item, sequence was empty."}
                              : items->items.back();
}

Value to_list(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "list").done();
  const ListPtr items = in.iterate(input);
  return items->kind == ListKind::kList ? items : in.list(items->items);
}

Value items(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "items").done();
  if (input.is_undefined()) {
    return in.list({}, ListKind::kGenerator);
  }
  if (input.dict() == nullptr) {
    fail("the filter 'items' needs a mapping, not {}", input.type_name());
  }
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.dict()->items) {
    pairs.push_back(in.list({key, value}, ListKind::kTuple));
  }
  return in.list(std::move(pairs), ListKind::kGenerator);
}

Value join(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "join");
  const Value* separator_arg = reader.optional("d");
  const Value* attribute_arg = reader.optional("attribute");
  reader.done();
  const Str separator = separator_arg != nullptr ? to_str(*separator_arg, in.budget()) : Str();
  const AttributePath path(attribute_arg != nullptr ? *attribute_arg : Value(None{}), in.budget());
  const ListPtr list = in.iterate(input);
  StrBuilder out(in.budget());
  for (size_t i = 0; i < list->items.size(); ++i) {
    in.budget().step();
    if (i > 0) {
      out.append(separator);
    }
    append_str(out, path.of(in, list->items[i]), in.budget());
  }
  return std::move(out).finish();
}

namespace {

/// The arguments after the first `count` positional ones.
CallArgs rest_of(const CallArgs& args, size_t count) {
  CallArgs rest = args;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

std::string name_argument(const CallArgs& args, size_t position, const char* filter) {
  const Str* name = position < args.positional.size() ? args.positional[position].str() : nullptr;
  if (name == nullptr) {
    fail("the filter '{}' needs a name as argument {}", filter, position + 1);
  }
  return std::string(name->view());
}

}  // namespace

Value map(Interpreter& in, const Value& input, CallArgs& args) {
  std::vector<Value> out;
  if (!truthy(input)) {
    return in.list({}, ListKind::kGenerator);
  }
  const ListPtr list = in.iterate(input);
  if (args.positional.empty() && !args.keyword.empty()) {
    ArgReader reader(args, "map");
    const Value& attribute_arg = reader.required("attribute");
    const Value* fallback = reader.optional("default");
    reader.done();
    const AttributePath path(attribute_arg, in.budget());
    for (const Value& item : list->items) {
      in.budget().step();
      out.push_back(path.of(in, item, fallback));
    }
  } else {
    const std::string filter = name_argument(args, 0, "map");
    CallArgs rest = rest_of(args, 1);
    for (const Value& item : list->items) {
      out.push_back(in.apply_filter(filter, item, rest));
    }
  }
  return in.list(std::move(out), ListKind::kGenerator);
}

namespace {

struct Selection {
  bool keep;          ///< keep what passes, or what does not
  bool by_attribute;  ///< the first argument is an attribute path
};

Value select_items(Interpreter& in, const Value& input, CallArgs& args, Selection selection) {
  std::vector<Value> out;
  if (!truthy(input)) {
    return in.list({}, ListKind::kGenerator);
  }
  const size_t test_position = selection.by_attribute ? 1 : 0;
  if (args.positional.size() < test_position) {
    fail("selectattr and rejectattr need an attribute name");
  }
  const AttributePath path(selection.by_attribute ? args.positional[0] : Value(None{}),
                           in.budget());
  const bool has_test = args.positional.size() > test_position;
  const std::string test = has_test ? name_argument(args, test_position, "select") : "";
  CallArgs rest = rest_of(args, test_position + (has_test ? 1 : 0));
  const ListPtr list = in.iterate(input);
  for (const Value& item : list->items) {
    in.budget().step();
    const Value subject = path.of(in, item);
    const bool passes = has_test ? in.apply_test(test, subject, rest) : truthy(subject);
    if (passes == selection.keep) {
      out.push_back(item);
    }
  }
  return in.list(std::move(out), ListKind::kGenerator);
}

}  // namespace

Value select(Interpreter& in, const Value& input, CallArgs& args) {
  return select_items(in, input, args, {.keep = true, .by_attribute = false});
}

Value reject(Interpreter& in, const Value& input, CallArgs& args) {
  return select_items(in, input, args, {.keep = false, .by_attribute = false});
}

Value select_attr(Interpreter& in, const Value& input, CallArgs& args) {
  return select_items(in, input, args, {.keep = true, .by_attribute = true});
}

Value reject_attr(Interpreter& in, const Value& input, CallArgs& args) {
  return select_items(in, input, args, {.keep = false, .by_attribute = true});
}

Value reverse(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "reverse").done();
  const ListPtr list = in.iterate(input);
  if (input.str() != nullptr) {
    StrBuilder out(in.budget());
    for (auto it = list->items.rbegin(); it != list->items.rend(); ++it) {
      out.append(*it->str());
    }
    return std::move(out).finish();
  }
  return in.list({list->items.rbegin(), list->items.rend()}, ListKind::kGenerator);
}

Value batch(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "batch");
  const int64_t count = reader.optional_int("linecount").value_or(0);
  const Value* fill = reader.optional("fill_with");
  reader.done();
  if (count < 1) {
    fail("the filter 'batch' needs a positive number");
  }
  const ListPtr list = in.iterate(input);
  std::vector<Value> rows;
  std::vector<Value> row;
  for (const Value& item : list->items) {
    in.budget().step();
    if (static_cast<int64_t>(row.size()) == count) {
      rows.emplace_back(in.list(std::exchange(row, {})));
    }
    row.push_back(item);
  }
  if (!row.empty()) {
    if (fill != nullptr && !fill->is_none()) {
      in.budget().check_item_count(static_cast<size_t>(count));
      row.resize(static_cast<size_t>(count), *fill);
    }
    rows.emplace_back(in.list(std::move(row)));
  }
  return in.list(std::move(rows), ListKind::kGenerator);
}

Value slice(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "slice");
  const int64_t slices = reader.optional_int("slices").value_or(0);
  const Value* fill = reader.optional("fill_with");
  reader.done();
  if (slices < 1) {
    fail("the filter 'slice' needs a positive number");
  }
  in.budget().check_item_count(static_cast<size_t>(slices));
  const ListPtr list = in.iterate(input);
  const auto size = static_cast<int64_t>(list->items.size());
  const int64_t per_slice = size / slices;
  const int64_t with_extra = size % slices;
  std::vector<Value> columns;
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    in.budget().step();
    const int64_t end = begin + per_slice + (i < with_extra ? 1 : 0);
    std::vector<Value> column(list->items.begin() + begin, list->items.begin() + end);
    if (fill != nullptr && !fill->is_none() && i >= with_extra) {
      column.push_back(*fill);
    }
    columns.emplace_back(in.list(std::move(column)));
    begin = end;
  }
  return in.list(std::move(columns), ListKind::kGenerator);
}

// foo|attr("bar"): an attribute only, never an item.
Value attribute(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "attr");
  const std::string name(reader.string("name").view());
  reader.done();
  if (const DictData* dict = input.dict(); dict != nullptr && dict_find(*dict, name) != nullptr) {
    return Undefined{.owner = "dict"};
  }
  Value found = in.get_attribute(input, name);
  return found.is_undefined() ? Value(Undefined{.owner = input.type_name()}) : found;
}

}  // namespace tutti::jinja::filters
