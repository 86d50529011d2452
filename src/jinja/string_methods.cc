// Methods of strings, called as text.name(…). `self` is the string.
#include <algorithm>

#include <utf8proc.h>

#include "base/utf8.h"
#include "jinja/interpreter.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

namespace {

Value list_of(Interpreter& in, std::vector<Str> parts, ListKind kind = ListKind::kList) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (Str& part : parts) {
    items.emplace_back(std::move(part));
  }
  return in.list(std::move(items), kind);
}

template <CaseMap map>
Value change_case(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "upper/lower").done();
  return map_case(*self.str(), map, in.budget());
}

template <Side side>
Value strip_method(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "strip");
  const Value* chars = reader.optional("chars");
  reader.done();
  in.budget().scan(self.str()->size());
  if (chars == nullptr || chars->is_none()) {
    return strip(*self.str(), side, nullptr);
  }
  if (chars->str() == nullptr) {
    fail("strip() needs a string of characters, not {}", chars->type_name());
  }
  const std::string_view set = chars->str()->view();
  // The set is scanned for every stripped character.
  in.budget().scan(set.size() * std::min<size_t>(self.str()->size(), 1U << 16U));
  return strip(*self.str(), side, &set);
}

template <bool from_right>
Value split_method(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "split");
  const Value* separator = reader.optional("sep");
  const int64_t max_splits = reader.optional_int("maxsplit").value_or(-1);
  reader.done();
  std::string_view text;
  const bool white_space = separator == nullptr || separator->is_none();
  if (!white_space) {
    if (separator->str() == nullptr) {
      fail("split() needs a string or None, not {}", separator->type_name());
    }
    text = separator->str()->view();
    if (text.empty()) {
      fail("split(): empty separator");
    }
  }
  const std::string_view* sep = white_space ? nullptr : &text;
  return list_of(in,
                 from_right ? rsplit(*self.str(), sep, max_splits, in.budget())
                            : split(*self.str(), sep, max_splits, in.budget()));
}

Value splitlines(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "splitlines");
  const bool keep_ends = reader.boolean("keepends", false);
  reader.done();
  return list_of(in, split_lines(*self.str(), keep_ends, in.budget()));
}

template <bool from_right>
Value partition(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "partition");
  const Str separator = reader.string("sep");
  reader.done();
  if (separator.empty()) {
    fail("partition(): empty separator");
  }
  const Str& text = *self.str();
  const std::string_view view = text.view();
  in.budget().scan(view.size());
  const size_t at =
      from_right ? rfind_text(view, separator.view()) : find_text(view, separator.view());
  std::vector<Str> parts;
  if (at != std::string_view::npos) {
    const size_t after = at + separator.size();
    parts = {text.slice(0, at), text.slice(at, after), text.slice(after, view.size())};
  } else {
    parts = from_right ? std::vector<Str>{{}, {}, text} : std::vector<Str>{text, {}, {}};
  }
  return list_of(in, std::move(parts), ListKind::kTuple);
}

/// The part of `text` that start and end arguments select, with its byte offset.
std::pair<std::string_view, size_t> bounded(const Str& text, ArgReader& reader) {
  const std::string_view view = text.view();
  const auto size = static_cast<int64_t>(count_code_points(view));
  const auto clamp = [&](std::optional<int64_t> at, int64_t fallback) {
    const int64_t index = at.value_or(fallback);
    return static_cast<size_t>(std::clamp<int64_t>(index < 0 ? index + size : index, 0, size));
  };
  const std::optional<int64_t> start = reader.optional_int("start");
  const std::optional<int64_t> end = reader.optional_int("end");
  const size_t from = code_point_offset(view, clamp(start, 0));
  const size_t to = code_point_offset(view, clamp(end, size));
  return {view.substr(from, to > from ? to - from : 0), from};
}

template <bool at_end>
Value has_affix(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, at_end ? "endswith" : "startswith");
  const Value& wanted = reader.required("prefix");
  const std::string_view text =
      args.positional.size() > 1 ? bounded(*self.str(), reader).first : self.str()->view();
  const auto matches = [&](const Value& affix) {
    const Str* part = string_like(affix);
    if (part == nullptr) {
      fail("startswith/endswith needs a string or a tuple of strings, not {}", affix.type_name());
    }
    in.budget().scan(part->size());
    return at_end ? text.ends_with(part->view()) : text.starts_with(part->view());
  };
  if (const ListData* list = wanted.list(); list != nullptr && list->kind == ListKind::kTuple) {
    return std::any_of(list->items.begin(), list->items.end(), matches);
  }
  return matches(wanted);
}

enum class Find : uint8_t { kFind, kRfind, kIndex, kRindex };

template <Find mode>
Value find_method_of(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "find");
  const Str wanted = reader.string("sub");
  const auto [text, offset] = bounded(*self.str(), reader);
  reader.done();
  in.budget().scan(self.str()->size());
  const bool from_right = mode == Find::kRfind || mode == Find::kRindex;
  const size_t at = from_right ? rfind_text(text, wanted.view()) : find_text(text, wanted.view());
  if (at == std::string_view::npos) {
    if (mode == Find::kIndex || mode == Find::kRindex) {
      fail("substring not found");
    }
    return int64_t{-1};
  }
  return static_cast<int64_t>(count_code_points(self.str()->view().substr(0, offset + at)));
}

Value count_method(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "count");
  const Str wanted = reader.string("sub");
  const auto [text, offset] = bounded(*self.str(), reader);
  reader.done();
  in.budget().scan(self.str()->size());
  if (wanted.empty()) {
    return static_cast<int64_t>(count_code_points(text) + 1);
  }
  int64_t count = 0;
  for (size_t at = find_text(text, wanted.view()); at != std::string_view::npos;
       at = find_text(text, wanted.view(), at + wanted.size())) {
    in.budget().step();
    ++count;
  }
  return count;
}

Value replace_method(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "replace");
  const Str from = reader.string("old");
  const Str to = reader.string("new");
  const int64_t count = reader.optional_int("count").value_or(-1);
  reader.done();
  return replace(*self.str(), from.view(), to, count, in.budget());
}

Value join_method(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "join");
  const ListPtr items = in.iterate(reader.required("iterable"));
  reader.done();
  StrBuilder out(in.budget());
  bool first = true;
  for (const Value& item : items->items) {
    in.budget().step();
    const Str* text = string_like(item);
    if (text == nullptr) {
      fail("join(): expected str items, got {}", item.type_name());
    }
    if (!first) {
      out.append(*self.str());
    }
    first = false;
    out.append(*text);
  }
  return std::move(out).finish();
}

template <bool at_end>
Value remove_affix(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, at_end ? "removesuffix" : "removeprefix");
  const Str affix = reader.string("affix");
  reader.done();
  in.budget().scan(affix.size());
  const Str& text = *self.str();
  if (at_end) {
    return text.view().ends_with(affix.view()) ? text.slice(0, text.size() - affix.size()) : text;
  }
  return text.view().starts_with(affix.view()) ? text.slice(affix.size(), text.size()) : text;
}

enum class Pad : uint8_t { kLeft, kRight, kCenter, kZero };

template <Pad mode>
Value pad_method(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader reader(args, "center/ljust/rjust/zfill");
  const std::optional<int64_t> width = reader.optional_int("width");
  const Value* fill_arg = mode == Pad::kZero ? nullptr : reader.optional("fillchar");
  reader.done();
  if (!width) {
    fail("center/ljust/rjust/zfill needs a width");
  }
  const Str fill = fill_arg != nullptr ? to_str(*fill_arg, in.budget())
                                       : Str::literal(mode == Pad::kZero ? "0" : " ");
  if (count_code_points(fill.view()) != 1) {
    fail("the fill character must be exactly one character long");
  }
  const Str& text = *self.str();
  const auto size = static_cast<int64_t>(count_code_points(text.view()));
  const int64_t missing = std::max<int64_t>(*width - size, 0);
  int64_t left = missing;
  if (mode == Pad::kLeft) {
    left = 0;
  } else if (mode == Pad::kCenter) {  // CPython's str.center puts the odd space by this rule
    left = missing / 2 + (missing & *width & 1);
  }
  StrBuilder out(in.budget());
  const std::string_view view = text.view();
  const size_t sign =
      mode == Pad::kZero && !view.empty() && (view[0] == '-' || view[0] == '+') ? 1 : 0;
  out.append(text.slice(0, sign));
  for (int64_t i = 0; i < left; ++i) {
    in.budget().step();
    out.append(fill);
  }
  out.append(text.slice(sign, text.size()));
  for (int64_t i = left; i < missing; ++i) {
    in.budget().step();
    out.append(fill);
  }
  return std::move(out).finish();
}

bool is_letter(char32_t code) {
  const utf8proc_category_t c = utf8proc_category(static_cast<int32_t>(code));
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t code) {
  return utf8proc_category(static_cast<int32_t>(code)) == UTF8PROC_CATEGORY_ND;
}

bool is_numeric(char32_t code) {
  const utf8proc_category_t c = utf8proc_category(static_cast<int32_t>(code));
  return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool is_alnum(char32_t code) {
  return is_letter(code) || is_numeric(code);
}

template <bool (*predicate)(char32_t)>
Value all_code_points(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "is…").done();
  const std::string_view text = self.str()->view();
  in.budget().step(static_cast<int64_t>(text.size() / 8));
  for (size_t pos = 0; pos < text.size(); pos += code_point_size(text, pos)) {
    if (!predicate(decode_utf8(text, pos).code)) {
      return false;
    }
  }
  return !text.empty();
}

/// str.isupper / islower: at least one cased character and none of the other case.
template <bool upper>
Value has_case(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "isupper/islower").done();
  const std::string_view text = self.str()->view();
  in.budget().step(static_cast<int64_t>(text.size() / 8));
  bool any = false;
  for (size_t pos = 0; pos < text.size(); pos += code_point_size(text, pos)) {
    switch (utf8proc_category(static_cast<int32_t>(decode_utf8(text, pos).code))) {
      case UTF8PROC_CATEGORY_LU:
        any = any || upper;
        if (!upper) {
          return false;
        }
        break;
      case UTF8PROC_CATEGORY_LL:
        any = any || !upper;
        if (upper) {
          return false;
        }
        break;
      case UTF8PROC_CATEGORY_LT:
        return false;
      default:
        break;
    }
  }
  return any;
}

// str.format with {}, {0} and {name}: no attribute access, no format specification.
Value format_method(Interpreter& in, const Value& self, CallArgs& args) {
  const Str& format = *self.str();
  const std::string_view text = format.view();
  StrBuilder out(in.budget());
  size_t next = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", pos), text.size());
    out.append(format.slice(pos, brace));
    if (brace == text.size()) {
      break;
    }
    in.budget().step();
    if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
      out.append(format.slice(brace, brace + 1));
      pos = brace + 2;
      continue;
    }
    const size_t close = text.find('}', brace);
    if (text[brace] == '}' || close == std::string_view::npos) {
      fail("format(): single '{}' in the format string", text[brace]);
    }
    const std::string_view field = text.substr(brace + 1, close - brace - 1);
    const bool number =
        !field.empty() && field.size() < 6 &&
        std::all_of(field.begin(), field.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Value* value = nullptr;
    if (field.empty() || number) {
      const size_t index = number ? static_cast<size_t>(std::stoi(std::string(field))) : next++;
      value = index < args.positional.size() ? &args.positional[index] : nullptr;
    } else {
      for (const auto& [name, keyword] : args.keyword) {
        value = name == field ? &keyword : value;
      }
    }
    if (value == nullptr) {
      fail("format(): no argument for '{{{}}}' (only {{}}, {{0}} and {{name}} are supported)",
           replace_invalid_utf8(field.substr(0, 40)));
    }
    append_str(out, *value, in.budget());
    pos = close + 1;
  }
  return std::move(out).finish();
}

Value casefold(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "casefold").done();
  StrBuilder out(in.budget());
  self.str()->for_each_run([&](std::string_view part, TextOrigin origin) {
    std::string folded;
    in.budget().step(static_cast<int64_t>(part.size() / 2));
    for (size_t pos = 0; pos < part.size();) {
      const Utf8Char c = decode_utf8(part, pos);
      int32_t codes[4];
      int state = 0;
      const auto count = utf8proc_decompose_char(
          static_cast<int32_t>(c.code), codes, 4, UTF8PROC_CASEFOLD, &state);
      for (utf8proc_ssize_t i = 0; i < count; ++i) {
        append_utf8(folded, static_cast<char32_t>(codes[i]));
      }
      pos += static_cast<size_t>(c.length);
    }
    out.append(folded, origin);
  });
  return std::move(out).finish();
}

Value expand_tabs(Interpreter& in, const Value& self, CallArgs& args) {
  constexpr int64_t kMaxTab = 1000;
  ArgReader reader(args, "expandtabs");
  const int64_t width = std::clamp<int64_t>(reader.optional_int("tabsize").value_or(8), 0, kMaxTab);
  reader.done();
  const Str& text = *self.str();
  const std::string_view view = text.view();
  StrBuilder out(in.budget());
  int64_t column = 0;
  for (size_t pos = 0; pos < view.size();) {
    in.budget().step();
    const size_t size = code_point_size(view, pos);
    if (view[pos] == '\t') {
      const int64_t spaces = width > 0 ? width - column % width : 0;
      out.append(std::string(static_cast<size_t>(spaces), ' '));
      column += spaces;
    } else {
      out.append(text.slice(pos, pos + size));
      column = view[pos] == '\n' || view[pos] == '\r' ? 0 : column + 1;
    }
    pos += size;
  }
  return std::move(out).finish();
}

/// Upper case begins words and lower case only continues them.
Value is_title(Interpreter& in, const Value& self, CallArgs& args) {
  ArgReader(args, "istitle").done();
  const std::string_view text = self.str()->view();
  in.budget().step(static_cast<int64_t>(text.size() / 8));
  bool any = false;
  bool inside = false;
  for (size_t pos = 0; pos < text.size(); pos += code_point_size(text, pos)) {
    const auto category = utf8proc_category(static_cast<int32_t>(decode_utf8(text, pos).code));
    const bool upper = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
    const bool lower = category == UTF8PROC_CATEGORY_LL;
    if ((upper && inside) || (lower && !inside)) {
      return false;
    }
    inside = upper || lower;
    any = any || inside;
  }
  return any;
}

bool is_ascii_char(char32_t code) {
  return code < 0x80;
}

// Python's strings have it, so that it is defined, callable and no sequence.
Value not_available(Interpreter&, const Value&, CallArgs&) {
  fail(
      "encode, format_map, isidentifier, isprintable, maketrans and translate of strings are not "
      "available in chat templates");
}

struct StringMethod {
  std::string_view name;
  FunctionPtr function;
};

constexpr StringMethod kStringMethods[] = {
    {"capitalize", change_case<CaseMap::kCapitalize>},
    {"casefold", casefold},
    {"center", pad_method<Pad::kCenter>},
    {"count", count_method},
    {"encode", not_available},
    {"endswith", has_affix<true>},
    {"expandtabs", expand_tabs},
    {"find", find_method_of<Find::kFind>},
    {"format", format_method},
    {"format_map", not_available},
    {"index", find_method_of<Find::kIndex>},
    {"isalnum", all_code_points<is_alnum>},
    {"isalpha", all_code_points<is_letter>},
    {"isascii", all_code_points<is_ascii_char>},
    {"isdecimal", all_code_points<is_digit>},
    {"isdigit", all_code_points<is_digit>},
    {"isidentifier", not_available},
    {"islower", has_case<false>},
    {"isnumeric", all_code_points<is_numeric>},
    {"isprintable", not_available},
    {"isspace", all_code_points<is_space>},
    {"istitle", is_title},
    {"isupper", has_case<true>},
    {"join", join_method},
    {"ljust", pad_method<Pad::kLeft>},
    {"lower", change_case<CaseMap::kLower>},
    {"lstrip", strip_method<Side::kLeft>},
    {"maketrans", not_available},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace_method},
    {"rfind", find_method_of<Find::kRfind>},
    {"rindex", find_method_of<Find::kRindex>},
    {"rjust", pad_method<Pad::kRight>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<Side::kRight>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<false>},
    {"strip", strip_method<Side::kBoth>},
    {"swapcase", change_case<CaseMap::kSwap>},
    {"title", change_case<CaseMap::kTitle>},
    {"translate", not_available},
    {"upper", change_case<CaseMap::kUpper>},
    {"zfill", pad_method<Pad::kZero>},
};

}  // namespace

FunctionPtr find_string_method(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kStringMethods),
                                         std::end(kStringMethods),
                                         [&](const StringMethod& m) { return m.name == name; });
  return found != std::end(kStringMethods) ? found->function : nullptr;
}

}  // namespace tutti::jinja
