#include "jinja/filters.h"

#include <algorithm>

namespace tutti::jinja {

namespace {

Value default_filter(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "default");
  const Value* fallback = reader.optional("default_value");
  const bool also_false = reader.boolean("boolean", false);
  reader.done();
  if (input.is_undefined() || (also_false && !truthy(input))) {
    return fallback != nullptr ? *fallback : make_str("", TextOrigin::kTemplate, in.budget());
  }
  return input;
}

struct Filter {
  std::string_view name;
  FunctionPtr function;
};

constexpr Filter kFilters[] = {
    {"abs", filters::absolute},
    {"attr", filters::attribute},
    {"batch", filters::batch},
    {"capitalize", filters::capitalize},
    {"center", filters::center},
    {"count", filters::length},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", filters::dict_sort},
    {"e", filters::escape},
    {"escape", filters::escape},
    {"first", filters::first},
    {"float", filters::to_float},
    {"forceescape", filters::escape},
    {"format", filters::format},
    {"from_json", filters::from_json},
    {"groupby", filters::group_by},
    {"indent", filters::indent},
    {"int", filters::to_int},
    {"items", filters::items},
    {"join", filters::join},
    {"last", filters::last},
    {"length", filters::length},
    {"list", filters::to_list},
    {"lower", filters::lower},
    {"map", filters::map},
    {"max", filters::maximum},
    {"min", filters::minimum},
    {"reject", filters::reject},
    {"rejectattr", filters::reject_attr},
    {"replace", filters::replace_text},
    {"reverse", filters::reverse},
    {"round", filters::round_number},
    {"safe", filters::string},
    {"select", filters::select},
    {"selectattr", filters::select_attr},
    {"slice", filters::slice},
    {"sort", filters::sort},
    {"string", filters::string},
    {"sum", filters::sum},
    {"title", filters::title},
    {"tojson", filters::to_json_text},
    {"trim", filters::trim},
    {"truncate", filters::truncate},
    {"unique", filters::unique},
    {"upper", filters::upper},
    {"wordcount", filters::word_count},
};

}  // namespace

FunctionPtr find_filter(std::string_view name) {
  const auto* const found = std::find_if(
      std::begin(kFilters), std::end(kFilters), [&](const Filter& f) { return f.name == name; });
  return found != std::end(kFilters) ? found->function : nullptr;
}

Value Interpreter::apply_filter(const std::string& name, const Value& input, CallArgs& args) {
  budget_.step();
  const FunctionPtr function = find_filter(name);
  if (function == nullptr) {
    fail("no filter is named '{}'", name);
  }
  return function(*this, input, args);
}

}  // namespace tutti::jinja
