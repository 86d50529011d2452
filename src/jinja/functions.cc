// Arguments of calls, and the global functions.
#include <algorithm>

#include "base/utf8.h"
#include "jinja/interpreter.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

const Value* ArgReader::optional(std::string_view name) {
  const size_t position = position_++;
  if (position < args_.positional.size()) {
    return &args_.positional[position];
  }
  for (const auto& [key, value] : args_.keyword) {
    if (key == name) {
      ++keywords_used_;
      return &value;
    }
  }
  return nullptr;
}

const Value& ArgReader::required(std::string_view name) {
  const Value* value = optional(name);
  if (value == nullptr) {
    fail("{}() needs the argument '{}'", function_, name);
  }
  return *value;
}

Str ArgReader::string(std::string_view name) {
  const Value& value = required(name);
  const Str* text = string_like(value);
  if (text == nullptr) {
    if (value.is_undefined()) {
      fail_undefined(*value.undefined());
    }
    fail("{}(): argument '{}' must be a string, not {}", function_, name, value.type_name());
  }
  return *text;
}

std::optional<int64_t> ArgReader::optional_int(std::string_view name) {
  const Value* value = optional(name);
  int64_t number = 0;
  if (value == nullptr || value->is_none()) {
    return std::nullopt;
  }
  if (!as_integer(*value, number)) {
    fail("{}(): argument '{}' must be an integer, not {}", function_, name, value->type_name());
  }
  return number;
}

bool ArgReader::boolean(std::string_view name, bool fallback) {
  const Value* value = optional(name);
  return value == nullptr ? fallback : truthy(*value);
}

void ArgReader::done() const {
  if (args_.positional.size() > position_) {
    fail("{}() takes at most {} arguments, got {}", function_, position_, args_.positional.size());
  }
  if (keywords_used_ < args_.keyword.size()) {
    fail("{}() got an unexpected keyword argument (one of: {})",
         function_,
         args_.keyword.back().first);
  }
}

namespace {

Value range_function(Interpreter& in, const Value&, CallArgs& args) {
  constexpr int64_t kMaxItems = 100'000;  // Jinja2's sandbox refuses more
  ArgReader reader(args, "range");
  const std::optional<int64_t> first = reader.optional_int("start");
  const std::optional<int64_t> second = reader.optional_int("stop");
  const int64_t step = reader.optional_int("step").value_or(1);
  reader.done();
  if (!first || step == 0) {
    fail("range() needs one to three integers and a step other than 0");
  }
  const int64_t start = second ? *first : 0;
  const int64_t stop = second ? *second : *first;
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) >= kMaxItems) {
      fail("range() is limited to {} numbers", kMaxItems);
    }
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) {
      break;
    }
  }
  ListPtr list = in.list(std::move(items), ListKind::kRange);
  list->start = start;
  list->stop = stop;
  list->step = step;
  return list;
}

Value dict_function(Interpreter& in, const Value&, CallArgs& args) {
  const auto dict = make_dict(in.budget());
  if (args.positional.size() > 1) {
    fail("dict() takes at most one positional argument");
  }
  if (!args.positional.empty()) {
    const Value& source = args.positional[0];
    if (const DictData* from = source.dict()) {
      for (const auto& [key, value] : from->items) {
        dict_set(*dict, key, value, in.budget());
      }
    } else {
      const ListPtr pairs = in.iterate(source);
      for (const Value& pair : pairs->items) {
        const ListPtr items = in.iterate(pair);
        if (items->items.size() != 2) {
          fail("dict() needs pairs of key and value");
        }
        dict_set(*dict, items->items[0], items->items[1], in.budget());
      }
    }
  }
  for (const auto& [name, value] : args.keyword) {
    dict_set(*dict, make_str(name, TextOrigin::kTemplate, in.budget()), value, in.budget());
  }
  return DictPtr(dict);
}

Value namespace_function(Interpreter& in, const Value& self, CallArgs& args) {
  const Value values = dict_function(in, self, args);
  Namespace* ns = in.new_namespace();
  for (const auto& [key, value] : values.dict()->items) {
    if (key.str() == nullptr) {
      fail("namespace() needs string keys");
    }
    ns->attributes.emplace_back(std::string(key.str()->view()), value);
  }
  return ns;
}

Value raise_exception(Interpreter& in, const Value&, CallArgs& args) {
  ArgReader reader(args, "raise_exception");
  const Str message = to_str(reader.required("message"), in.budget());
  reader.done();
  constexpr size_t kMaxMessage = 2000;
  throw TemplateError{StatusCode::kInvalidArgument,
                      replace_invalid_utf8(message.view().substr(0, kMaxMessage)),
                      kRaisedByTemplate};
}

Value strftime_now(Interpreter& in, const Value&, CallArgs& args) {
  constexpr size_t kMaxFormat = 256;
  ArgReader reader(args, "strftime_now");
  const Str format = reader.string("format");
  reader.done();
  if (format.size() > kMaxFormat) {
    fail("strftime_now: the format is longer than {} bytes", kMaxFormat);
  }
  return make_str(format_time(in.now_unix(), format.view()),
                  format.has_content() ? TextOrigin::kContent : TextOrigin::kTemplate,
                  in.budget());
}

}  // namespace

FunctionPtr find_function(std::string_view name) {
  struct Function {
    std::string_view name;
    FunctionPtr function;
  };

  static constexpr Function kFunctions[] = {{"range", range_function},
                                            {"dict", dict_function},
                                            {"namespace", namespace_function},
                                            {"raise_exception", raise_exception},
                                            {"strftime_now", strftime_now}};
  for (const Function& function : kFunctions) {
    if (function.name == name) {
      return function.function;
    }
  }
  return nullptr;
}

}  // namespace tutti::jinja
