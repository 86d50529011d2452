#include "jinja/text_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <utf8proc.h>

#include "base/utf8.h"
#include "jinja/ast.h"
#include "jinja/loop_state.h"

namespace tutti::jinja {

namespace {

// "inf" and "nan" have no digits to lay out.
const char* special_float(double value, const char* nan, const char* inf, const char* minus_inf) {
  if (std::isnan(value)) {
    return nan;
  }
  return value > 0 ? inf : minus_inf;
}

}  // namespace

std::string float_repr(double value) {
  if (!std::isfinite(value)) {
    return special_float(value, "nan", "inf", "-inf");
  }
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), end.ptr, exponent);
  std::string digits;
  std::copy_if(text.begin(),
               text.begin() + static_cast<std::ptrdiff_t>(e),
               std::back_inserter(digits),
               [](char c) { return c >= '0' && c <= '9'; });
  std::string out = text.front() == '-' ? "-" : "";
  if (exponent < -4 || exponent >= 16) {  // Python's float_repr_style "short"
    out += digits.substr(0, 1);
    if (digits.size() > 1) {
      out += "." + digits.substr(1);
    }
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return out + digits + std::string(whole - digits.size(), '0') + ".0";
  }
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

namespace {

bool is_printable(char32_t code) {
  switch (utf8proc_category(static_cast<int32_t>(code))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

void append_repr_char(std::string& out, char32_t code, char quote) {
  if (code == '\\' || code == static_cast<char32_t>(quote)) {
    out.push_back('\\');
    out.push_back(static_cast<char>(code));
  } else if (code == '\n') {
    out += "\\n";
  } else if (code == '\r') {
    out += "\\r";
  } else if (code == '\t') {
    out += "\\t";
  } else if (is_printable(code)) {
    append_utf8(out, code);
  } else if (code < 0x100) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(code));
  } else if (code < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(code));
  }
}

void append_str_repr(StrBuilder& out, const Str& text) {
  const std::string_view view = text.view();
  const bool single = view.find('\'') == std::string_view::npos;
  const char quote = single || view.find('"') != std::string_view::npos ? '\'' : '"';
  const std::string_view quote_text(&quote, 1);
  out.append(quote_text);
  text.for_each_run([&](std::string_view part, TextOrigin origin) {
    std::string escaped;
    for (size_t pos = 0; pos < part.size();) {
      const Utf8Char c = decode_utf8(part, pos);
      append_repr_char(escaped, c.code, quote);
      pos += static_cast<size_t>(c.length);
      if (escaped.size() > 4096) {  // checked against the budget in pieces
        out.append(escaped, origin);
        escaped.clear();
      }
    }
    out.append(escaped, origin);
  });
  out.append(quote_text);
}

void append_list_repr(StrBuilder& out, const ListData& list, Budget& budget) {
  if (list.kind == ListKind::kRange) {
    out.append(list.step == 1 ? fmt::format("range({}, {})", list.start, list.stop)
                              : fmt::format("range({}, {}, {})", list.start, list.stop, list.step));
    return;
  }
  static constexpr std::string_view kOpen[] = {
      "[", "(", "", "", "dict_keys([", "dict_values([", "dict_items(["};
  const auto kind = static_cast<size_t>(list.kind);
  if (list.kind == ListKind::kGenerator) {
    fail("a generator cannot be printed; use the filter 'list' or 'join'");
  }
  out.append(kOpen[kind]);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) {
      out.append(", ");
    }
    append_repr(out, list.items[i], budget);
  }
  if (list.kind == ListKind::kTuple) {
    out.append(list.items.size() == 1 ? ",)" : ")");
  } else {
    out.append(list.kind == ListKind::kList ? "]" : "])");
  }
}

// {'a': 1} for dicts; namespaces print the same inside <Namespace …>.
template <class Items, class AppendKey>
void append_items(StrBuilder& out, const Items& items, Budget& budget, AppendKey&& append_key) {
  out.append("{");
  bool first = true;
  for (const auto& [key, value] : items) {
    if (!first) {
      out.append(", ");
    }
    first = false;
    append_key(key);
    out.append(": ");
    append_repr(out, value, budget);
  }
  out.append("}");
}

void append_namespace_repr(StrBuilder& out, const Namespace& ns, Budget& budget) {
  for (const auto& [name, value] : ns.attributes) {
    // Only namespaces can contain themselves, and one inside another is rare enough to refuse.
    if (value.ns() != nullptr || value_depth(value) > 0) {
      fail("a namespace that holds lists, dicts or namespaces cannot be printed");
    }
  }
  out.append("<Namespace ");
  append_items(out, ns.attributes, budget, [&](const std::string& name) {
    append_str_repr(out, Str::borrowed(name, TextOrigin::kTemplate));
  });
  out.append(">");
}

}  // namespace

void append_repr(StrBuilder& out, const Value& value, Budget& budget) {
  budget.step();
  if (const Str* text = value.str()) {
    append_str_repr(out, *text);
  } else if (value.is_undefined()) {
    out.append("Undefined");
  } else if (const DictData* dict = value.dict()) {
    append_items(
        out, dict->items, budget, [&](const Value& key) { append_repr(out, key, budget); });
  } else if (const ListData* list = value.list()) {
    append_list_repr(out, *list, budget);
  } else if (value.is_none()) {
    out.append("None");
  } else if (const bool* b = value.boolean()) {
    out.append(*b ? "True" : "False");
  } else if (const int64_t* i = value.integer()) {
    out.append(fmt::format("{}", *i));
  } else if (const double* d = value.real()) {
    out.append(float_repr(*d));
  } else if (const Namespace* ns = value.ns()) {
    append_namespace_repr(out, *ns, budget);
  } else if (const LoopState* loop = value.loop()) {
    out.append(fmt::format("<LoopContext {}/{}>", loop->index0 + 1, loop->items->items.size()));
  } else if (const Callable* callable = value.callable();
             callable != nullptr && callable->macro != nullptr) {
    out.append(callable->macro->anonymous ? "<Macro anonymous>"
                                          : fmt::format("<Macro '{}'>", callable->macro->name));
  } else {
    fail("a {} cannot be printed", value.type_name());
  }
}

void append_str(StrBuilder& out, const Value& value, Budget& budget) {
  if (const Str* text = string_like(value)) {
    out.append(*text);
  } else if (!value.is_undefined()) {
    append_repr(out, value, budget);
  }
}

Str to_str(const Value& value, Budget& budget) {
  if (const Str* text = string_like(value)) {
    return *text;
  }
  StrBuilder out(budget);
  append_str(out, value, budget);
  return std::move(out).finish();
}

}  // namespace tutti::jinja
