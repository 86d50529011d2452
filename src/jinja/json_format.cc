// json.dumps with Python's separators, escapes and number texts.
#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

namespace {

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget)
      : style_(style), budget_(budget), live_(budget) {}

  void write(const Value& value, size_t level) {
    budget_.step();
    if (const Str* text = value.str()) {
      content_ = content_ || text->has_content();
      quote(text->view());
    } else if (const DictData* dict = value.dict()) {
      write_dict(*dict, level);
    } else if (const ListData* list = value.list();
               list != nullptr &&
               (list->kind == ListKind::kList || list->kind == ListKind::kTuple)) {
      write_list(*list, level);
    } else if (!write_scalar(value)) {
      if (value.is_undefined()) {
        fail_undefined(*value.undefined());
      }
      fail("Object of type {} is not JSON serializable", value.type_name());
    }
  }

  Str finish() && {
    StrBuilder out(budget_);
    out.append(text_, content_ ? TextOrigin::kContent : TextOrigin::kTemplate);
    return std::move(out).finish();
  }

 private:
  void put(std::string_view text) {
    live_.add(text.size());
    text_.append(text);
  }

  bool write_scalar(const Value& value) {
    if (value.is_none()) {
      put("null");
    } else if (const bool* b = value.boolean()) {
      put(*b ? "true" : "false");
    } else if (const int64_t* i = value.integer()) {
      put(fmt::format("{}", *i));
    } else if (const double* d = value.real()) {
      put(std::isnan(*d)    ? "NaN"
          : !std::isinf(*d) ? float_repr(*d)
          : *d > 0          ? "Infinity"
                            : "-Infinity");
    } else {
      return false;
    }
    return true;
  }

  void quote(std::string_view text) {
    std::string out = "\"";
    for (size_t pos = 0; pos < text.size();) {
      const auto c = static_cast<unsigned char>(text[pos]);
      if (c < 0x80) {
        escape_ascii(out, static_cast<char>(c));
        ++pos;
      } else {
        const Utf8Char decoded = decode_utf8(text, pos);
        escape_wide(out, decoded.code);
        pos += static_cast<size_t>(decoded.length);
      }
      if (out.size() > 4096) {  // checked against the budget in pieces
        put(out);
        out.clear();
      }
    }
    out.push_back('"');
    put(out);
    budget_.scan(text.size());
  }

  void escape_ascii(std::string& out, char c) const {
    static constexpr std::string_view kFrom = "\"\\\n\r\t\b\f";
    static constexpr std::string_view kTo = "\"\\nrtbf";
    const size_t known = kFrom.find(c);
    if (known != std::string_view::npos) {
      out.push_back('\\');
      out.push_back(kTo[known]);
    } else if (c < 0x20 || (c == 0x7F && style_.ensure_ascii)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }

  void escape_wide(std::string& out, char32_t code) const {
    if (!style_.ensure_ascii) {
      append_utf8(out, code);
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    } else {
      const uint32_t offset = static_cast<uint32_t>(code) - 0x10000;
      out +=
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (offset >> 10U), 0xDC00 + (offset & 0x3FFU));
    }
  }

  void new_line(size_t level) {
    if (style_.indent) {
      put("\n");
      for (size_t i = 0; i < level; ++i) {
        put(*style_.indent);
      }
    }
  }

  void write_list(const ListData& list, size_t level) {
    if (list.items.empty()) {
      put("[]");
      return;
    }
    put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) {
        put(style_.item_separator);
      }
      new_line(level + 1);
      write(list.items[i], level + 1);
    }
    new_line(level);
    put("]");
  }

  void write_key(const Value& key) {
    if (const Str* text = key.str()) {
      content_ = content_ || text->has_content();
      quote(text->view());
      return;
    }
    put("\"");
    if (!write_scalar(key)) {
      fail("keys must be str, int, float, bool or None, not {}", key.type_name());
    }
    put("\"");
  }

  void write_dict(const DictData& dict, size_t level) {
    if (dict.items.empty()) {
      put("{}");
      return;
    }
    std::vector<const std::pair<Value, Value>*> items;
    items.reserve(dict.items.size());
    for (const auto& item : dict.items) {
      items.push_back(&item);
    }
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [&](const auto* a, const auto* b) {
        return less(a->first, b->first, "<", budget_);
      });
    }
    put("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) {
        put(style_.item_separator);
      }
      new_line(level + 1);
      write_key(items[i]->first);
      put(style_.key_separator);
      write(items[i]->second, level + 1);
    }
    new_line(level);
    put("}");
  }

  const JsonStyle& style_;
  Budget& budget_;
  LiveBytes live_;
  std::string text_;
  bool content_ = false;
};

}  // namespace

Str to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return std::move(writer).finish();
}

}  // namespace tutti::jinja
