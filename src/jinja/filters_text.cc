#include <algorithm>

#include "base/utf8.h"
#include "jinja/filters.h"
#include "jinja/json_value.h"
#include "jinja/text_format.h"

namespace tutti::jinja::filters {

namespace {

Value change_case(Interpreter& in, const Value& input, CallArgs& args, CaseMap map) {
  ArgReader(args, "upper/lower/capitalize").done();
  return map_case(to_str(input, in.budget()), map, in.budget());
}

}  // namespace

Value string(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "string").done();
  return to_str(input, in.budget());
}

Value upper(Interpreter& in, const Value& input, CallArgs& args) {
  return change_case(in, input, args, CaseMap::kUpper);
}

Value lower(Interpreter& in, const Value& input, CallArgs& args) {
  return change_case(in, input, args, CaseMap::kLower);
}

Value capitalize(Interpreter& in, const Value& input, CallArgs& args) {
  return change_case(in, input, args, CaseMap::kCapitalize);
}

// Words begin after white space and - ( { [ <, unlike str.title().
Value title(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "title").done();
  const Str text = to_str(input, in.budget());
  const std::string_view view = text.view();
  StrBuilder out(in.budget());
  size_t begin = 0;
  const auto flush = [&](size_t end) {
    out.append(map_case(text.slice(begin, end), CaseMap::kCapitalize, in.budget()));
    begin = end;
  };
  for (size_t pos = 0; pos < view.size();) {
    const char32_t code = decode_utf8(view, pos).code;
    pos += code_point_size(view, pos);
    if (is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<') {
      in.budget().step();
      flush(pos);
    }
  }
  flush(view.size());
  return std::move(out).finish();
}

Value trim(Interpreter& in, const Value& input, CallArgs& args) {
  const Value text = to_str(input, in.budget());
  return find_string_method("strip")(in, text, args);
}

Value replace_text(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "replace");
  const Str text = to_str(input, in.budget());
  const Str from = to_str(reader.required("old"), in.budget());
  const Str to = to_str(reader.required("new"), in.budget());
  const int64_t count = reader.optional_int("count").value_or(-1);
  reader.done();
  return replace(text, from.view(), to, count, in.budget());
}

Value indent(Interpreter& in, const Value& input, CallArgs& args) {
  constexpr int64_t kMaxWidth = 10'000;
  ArgReader reader(args, "indent");
  const Value* width = reader.optional("width");
  const bool first = reader.boolean("first", false);
  const bool blank = reader.boolean("blank", false);
  reader.done();
  const Str* text = string_like(input);
  if (text == nullptr) {
    fail("the filter 'indent' needs a string, not {}", input.type_name());
  }
  Str prefix;
  int64_t spaces = 4;
  if (width != nullptr && width->str() != nullptr) {
    prefix = *width->str();
  } else {
    if (width != nullptr && !as_integer(*width, spaces)) {
      fail("the filter 'indent' needs a number or a string, not {}", width->type_name());
    }
    prefix = Str::literal(
        std::string(static_cast<size_t>(std::clamp<int64_t>(spaces, 0, kMaxWidth)), ' '));
  }
  StrBuilder with_end(in.budget());
  with_end.append(*text);
  with_end.append("\n");
  const std::vector<Str> lines = split_lines(std::move(with_end).finish(), false, in.budget());
  StrBuilder out(in.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out.append("\n");
    }
    if (i == 0 ? first : (blank || !lines[i].empty())) {
      out.append(prefix);
    }
    out.append(lines[i]);
  }
  return std::move(out).finish();
}

Value center(Interpreter& in, const Value& input, CallArgs& args) {
  if (args.positional.empty() && args.keyword.empty()) {
    args.positional.emplace_back(int64_t{80});
  }
  return find_string_method("center")(in, to_str(input, in.budget()), args);
}

Value escape(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "escape").done();
  static constexpr std::pair<char, std::string_view> kEntities[] = {
      {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
  Str text = to_str(input, in.budget());
  for (const auto& [character, entity] : kEntities) {
    text = replace(text,
                   std::string_view(&character, 1),
                   Str::borrowed(entity, TextOrigin::kTemplate),
                   -1,
                   in.budget());
  }
  return text;
}

Value format(Interpreter& in, const Value& input, CallArgs& args) {
  if (!args.positional.empty() && !args.keyword.empty()) {
    fail("the filter 'format' takes positional or keyword arguments, not both");
  }
  const Str text = to_str(input, in.budget());
  if (args.keyword.empty()) {
    return format_percent(text, args.positional, nullptr, in.budget());
  }
  const auto mapping = make_dict(in.budget());
  for (const auto& [name, value] : args.keyword) {
    dict_set(*mapping, make_str(name, TextOrigin::kTemplate, in.budget()), value, in.budget());
  }
  return format_percent(text, {}, mapping.get(), in.budget());
}

Value truncate(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "truncate");
  const int64_t length = reader.optional_int("length").value_or(255);
  const bool kill_words = reader.boolean("killwords", false);
  const Value* end_arg = reader.optional("end");
  const Str end = end_arg != nullptr ? to_str(*end_arg, in.budget()) : Str::literal("...");
  const int64_t leeway = reader.optional_int("leeway").value_or(5);
  reader.done();
  const Str* text = string_like(input);
  const auto end_size = static_cast<int64_t>(count_code_points(end.view()));
  if (length < end_size || leeway < 0) {
    fail("truncate: length must be at least that of the end text, and leeway not negative");
  }
  if (text == nullptr) {  // what is short enough may be anything that has a length
    CallArgs none;
    const Value items = filters::length(in, input, none);
    if (*items.integer() > length && *items.integer() - length > leeway) {
      fail("the filter 'truncate' needs a string, not {}", input.type_name());
    }
    return input;
  }
  in.budget().scan(text->size());
  const auto size = static_cast<int64_t>(count_code_points(text->view()));
  if (size <= length || size - length <= leeway) {
    return *text;
  }
  Str kept =
      text->slice(0, code_point_offset(text->view(), static_cast<size_t>(length - end_size)));
  if (!kill_words) {
    const size_t space = kept.view().rfind(' ');
    kept = space == std::string_view::npos ? kept : kept.slice(0, space);
  }
  StrBuilder out(in.budget());
  out.append(kept);
  out.append(end);
  return std::move(out).finish();
}

Value word_count(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "wordcount").done();
  const Value whole = to_str(input, in.budget());
  const std::string_view text = whole.str()->view();
  const FunctionPtr is_alnum = find_string_method("isalnum");
  int64_t words = 0;
  bool inside = false;
  for (size_t pos = 0; pos < text.size();) {
    const size_t size = code_point_size(text, pos);
    in.budget().step();
    const bool word =
        text[pos] == '_' || truthy(is_alnum(in, whole.str()->slice(pos, pos + size), args));
    words += word && !inside ? 1 : 0;
    inside = word;
    pos += size;
  }
  return words;
}

// Hugging Face's override: json.dumps(x, ensure_ascii, indent, separators, sort_keys).
Value to_json_text(Interpreter& in, const Value& input, CallArgs& args) {
  constexpr int64_t kMaxIndent = 100;
  ArgReader reader(args, "tojson");
  JsonStyle style;
  style.ensure_ascii = reader.boolean("ensure_ascii", false);
  const Value* indent_arg = reader.optional("indent");
  const Value* separators = reader.optional("separators");
  style.sort_keys = reader.boolean("sort_keys", false);
  reader.done();
  if (indent_arg != nullptr && !indent_arg->is_none()) {
    int64_t spaces = 0;
    if (const Str* text = indent_arg->str()) {
      style.indent = std::string(text->view().substr(0, static_cast<size_t>(kMaxIndent)));
    } else if (as_integer(*indent_arg, spaces)) {
      style.indent =
          std::string(static_cast<size_t>(std::clamp<int64_t>(spaces, 0, kMaxIndent)), ' ');
    } else {
      fail("tojson: indent must be a number or a string, not {}", indent_arg->type_name());
    }
    style.item_separator.resize(1);  // without the space
  }
  if (separators != nullptr && !separators->is_none()) {
    const ListPtr pair = in.iterate(*separators);
    if (pair->items.size() != 2 || pair->items[0].str() == nullptr ||
        pair->items[1].str() == nullptr) {
      fail("tojson: separators must be two strings");
    }
    style.item_separator = std::string(pair->items[0].str()->view());
    style.key_separator = std::string(pair->items[1].str()->view());
  }
  return to_json(input, style, in.budget());
}

// Not in Jinja2; templates converted from Python encoders use it.
Value from_json(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader(args, "from_json").done();
  if (input.dict() != nullptr) {
    return input;
  }
  const Str* text = input.str();
  if (text == nullptr) {
    fail("the filter 'from_json' needs a string, not {}", input.type_name());
  }
  in.budget().scan(text->size() * 16);
  const Result<Json> json = parse_json(text->view(), {.max_depth = kMaxValueDepth - 1});
  if (!json.ok()) {
    fail("from_json: {}", json.status().message());
  }
  return copy_json(
      *json, text->has_content() ? TextOrigin::kContent : TextOrigin::kTemplate, in.budget());
}

}  // namespace tutti::jinja::filters
