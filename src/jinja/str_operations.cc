// Whole-string operations that keep the origin of every byte: strip, split, replace, case.
#include <cstring>

#include <utf8proc.h>

#include "base/utf8.h"
#include "jinja/str.h"

namespace tutti::jinja {

namespace {

bool strips(std::string_view text, size_t pos, const std::string_view* chars) {
  if (chars == nullptr) {
    return is_space(decode_utf8(text, pos).code);
  }
  return chars->find(text.substr(pos, code_point_size(text, pos))) != std::string_view::npos;
}

size_t previous_code_point(std::string_view text, size_t pos) {
  --pos;
  while (pos > 0 && (text[pos] & 0xC0) == 0x80) {
    --pos;
  }
  return pos;
}

bool is_line_end(char32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

// Results are capped by the budget before they exist: a megabyte of separators makes as many parts.
void push_part(std::vector<Str>& parts, Str part, Budget& budget) {
  budget.step();
  budget.check_item_count(parts.size());
  parts.push_back(std::move(part));
}

std::vector<Str> split_space(const Str& text, int64_t max_splits, Budget& budget) {
  const std::string_view view = text.view();
  std::vector<Str> parts;
  size_t pos = 0;
  while (true) {
    while (pos < view.size() && is_space(decode_utf8(view, pos).code)) {
      pos += code_point_size(view, pos);
    }
    if (pos >= view.size()) {
      return parts;
    }
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) >= max_splits) {
      push_part(parts, text.slice(pos, view.size()), budget);
      return parts;
    }
    const size_t begin = pos;
    while (pos < view.size() && !is_space(decode_utf8(view, pos).code)) {
      pos += code_point_size(view, pos);
    }
    push_part(parts, text.slice(begin, pos), budget);
  }
}

}  // namespace

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size() || part.size() > text.size() - from) {
    return std::string_view::npos;
  }
  if (part.empty()) {
    return from;
  }
  // std::string_view::find compares at every place; memmem is linear.
  const void* const found =
      memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t rfind_text(std::string_view text, std::string_view part) {
  constexpr size_t kShort = 16;
  if (part.size() <= kShort) {
    return text.rfind(part);
  }
  const std::string text_backward(text.rbegin(), text.rend());
  const std::string part_backward(part.rbegin(), part.rend());
  const size_t found = find_text(text_backward, part_backward);
  return found == std::string_view::npos ? found : text.size() - found - part.size();
}

Str strip(const Str& text, Side side, const std::string_view* chars) {
  const std::string_view view = text.view();
  size_t begin = 0;
  size_t end = view.size();
  if (side != Side::kRight) {
    while (begin < end && strips(view, begin, chars)) {
      begin += code_point_size(view, begin);
    }
  }
  if (side != Side::kLeft) {
    while (end > begin) {
      const size_t last = previous_code_point(view, end);
      if (!strips(view, last, chars)) {
        break;
      }
      end = last;
    }
  }
  return text.slice(begin, end);
}

std::vector<Str> split(const Str& text,
                       const std::string_view* separator,
                       int64_t max_splits,
                       Budget& budget) {
  budget.scan(text.size());
  if (separator == nullptr) {
    return split_space(text, max_splits, budget);
  }
  const std::string_view view = text.view();
  std::vector<Str> parts;
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t at = find_text(view, *separator, begin);
    if (at == std::string_view::npos) {
      break;
    }
    push_part(parts, text.slice(begin, at), budget);
    begin = at + separator->size();
  }
  push_part(parts, text.slice(begin, view.size()), budget);
  return parts;
}

std::vector<Str> rsplit(const Str& text,
                        const std::string_view* separator,
                        int64_t max_splits,
                        Budget& budget) {
  if (max_splits < 0) {
    return split(text, separator, max_splits, budget);
  }
  budget.scan(text.size());
  const std::string_view view = text.view();
  std::vector<Str> parts;
  size_t end = view.size();
  const auto space_before = [&](size_t pos) {
    return pos > 0 && is_space(decode_utf8(view, previous_code_point(view, pos)).code);
  };
  if (separator == nullptr) {
    while (true) {
      while (space_before(end)) {
        end = previous_code_point(view, end);
      }
      if (end == 0) {
        break;
      }
      size_t begin = end;
      if (static_cast<int64_t>(parts.size()) >= max_splits) {
        push_part(parts, text.slice(0, end), budget);
        break;
      }
      while (begin > 0 && !space_before(begin)) {
        begin = previous_code_point(view, begin);
      }
      push_part(parts, text.slice(begin, end), budget);
      end = begin;
    }
  } else {
    while (static_cast<int64_t>(parts.size()) < max_splits && end >= separator->size()) {
      const size_t at = rfind_text(view.substr(0, end), *separator);
      if (at == std::string_view::npos) {
        break;
      }
      push_part(parts, text.slice(at + separator->size(), end), budget);
      end = at;
    }
    push_part(parts, text.slice(0, end), budget);
  }
  return {parts.rbegin(), parts.rend()};
}

std::vector<Str> split_lines(const Str& text, bool keep_ends, Budget& budget) {
  budget.scan(text.size());
  const std::string_view view = text.view();
  std::vector<Str> lines;
  size_t begin = 0;
  for (size_t pos = 0; pos < view.size();) {
    const size_t size = code_point_size(view, pos);
    if (!is_line_end(decode_utf8(view, pos).code)) {
      pos += size;
      continue;
    }
    const bool pair = view[pos] == '\r' && pos + 1 < view.size() && view[pos + 1] == '\n';
    const size_t next = pos + size + (pair ? 1 : 0);
    push_part(lines, text.slice(begin, keep_ends ? next : pos), budget);
    begin = pos = next;
  }
  if (begin < view.size()) {
    push_part(lines, text.slice(begin, view.size()), budget);
  }
  return lines;
}

Str replace(const Str& text, std::string_view from, const Str& to, int64_t count, Budget& budget) {
  const std::string_view view = text.view();
  StrBuilder out(budget);
  size_t begin = 0;
  if (from.empty()) {  // Python inserts `to` before every character and at the end
    size_t pos = 0;
    for (; count != 0; --count) {
      budget.step();
      out.append(to);
      if (pos >= view.size()) {
        break;
      }
      const size_t next = pos + code_point_size(view, pos);
      out.append(text.slice(pos, next));
      pos = next;
    }
    out.append(text.slice(pos, view.size()));
    return std::move(out).finish();
  }
  if (find_text(view, from) == std::string_view::npos || count == 0) {
    budget.scan(view.size());
    return text;
  }
  for (; count != 0; --count) {
    const size_t at = find_text(view, from, begin);
    if (at == std::string_view::npos) {
      break;
    }
    budget.step();
    out.append(text.slice(begin, at));
    out.append(to);
    begin = at + from.size();
  }
  out.append(text.slice(begin, view.size()));
  return std::move(out).finish();
}

namespace {

bool is_cased(char32_t code) {
  const auto c = static_cast<utf8proc_int32_t>(code);
  return utf8proc_toupper(c) != c || utf8proc_tolower(c) != c;
}

void append_upper(std::string& out, char32_t code) {
  if (code == 0xDF) {  // the one common letter whose upper case is two
    out += "SS";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<int32_t>(code))));
  }
}

}  // namespace

Str map_case(const Str& text, CaseMap map, Budget& budget) {
  StrBuilder out(budget);
  bool inside_word = false;
  bool first = true;
  text.for_each_run([&](std::string_view part, TextOrigin origin) {
    std::string mapped;
    budget.step(static_cast<int64_t>(part.size() / 2));
    for (size_t pos = 0; pos < part.size(); pos += code_point_size(part, pos)) {
      const char32_t code = decode_utf8(part, pos).code;
      const auto c = static_cast<utf8proc_int32_t>(code);
      bool upper = map == CaseMap::kUpper;
      if (map == CaseMap::kTitle) {
        upper = !inside_word;
        inside_word = is_cased(code);
      } else if (map == CaseMap::kCapitalize) {
        upper = first;
      } else if (map == CaseMap::kSwap) {
        upper = utf8proc_toupper(c) != c;
      }
      first = false;
      if (upper) {
        append_upper(mapped, code);
      } else {
        append_utf8(mapped, static_cast<char32_t>(utf8proc_tolower(c)));
      }
    }
    out.append(mapped, origin);
  });
  return std::move(out).finish();
}

}  // namespace tutti::jinja
