#include "jinja/str.h"

#include <algorithm>

#include "base/utf8.h"

namespace tutti::jinja {

namespace {

bool all_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

}  // namespace

Str Str::literal(std::string text) {
  auto buffer = std::make_shared<Buffer>();
  buffer->owned = std::move(text);
  buffer->text = buffer->owned;
  buffer->runs = {{buffer->text.size(), TextOrigin::kTemplate}};
  buffer->ascii = all_ascii(buffer->text);
  Str str;
  str.size_ = buffer->text.size();
  str.buffer_ = std::move(buffer);
  return str;
}

Str Str::borrowed(std::string_view text, TextOrigin origin) {
  auto buffer = std::make_shared<Buffer>();
  buffer->text = text;
  buffer->runs = {{text.size(), origin}};
  buffer->ascii = all_ascii(text);
  Str str;
  str.size_ = text.size();
  str.buffer_ = std::move(buffer);
  return str;
}

Str Str::slice(size_t begin, size_t end) const {
  Str part;
  if (begin < end && begin < size_) {
    part.buffer_ = buffer_;
    part.offset_ = offset_ + begin;
    part.size_ = std::min(end, size_) - begin;
  }
  return part;
}

size_t Str::first_run() const {
  if (!buffer_) {
    return 0;
  }
  const auto& runs = buffer_->runs;
  const auto it = std::upper_bound(
      runs.begin(), runs.end(), offset_, [](size_t at, const OriginRun& r) { return at < r.end; });
  return static_cast<size_t>(it - runs.begin());
}

bool Str::has_content() const {
  bool found = false;
  for_each_run([&](std::string_view, TextOrigin origin) {
    found = found || origin == TextOrigin::kContent;
  });
  return found;
}

void StrBuilder::append(std::string_view text, TextOrigin origin) {
  if (text.empty()) {
    return;
  }
  budget_.scan(text.size());
  live_.add(text.size());
  text_.append(text);
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = text_.size();
  } else {
    live_.add(sizeof(OriginRun));
    runs_.push_back({text_.size(), origin});
  }
}

void StrBuilder::append(const Str& text) {
  text.for_each_run([&](std::string_view part, TextOrigin origin) { append(part, origin); });
}

Str StrBuilder::finish() && {
  if (text_.empty()) {
    return {};
  }
  // A string costs its control block too: many tiny strings are as bad as one long one.
  live_.add(sizeof(Str::Buffer));
  auto buffer = std::make_shared<Str::Buffer>(std::move(live_));
  buffer->owned = std::move(text_);
  buffer->text = buffer->owned;
  buffer->runs = std::move(runs_);
  buffer->ascii = all_ascii(buffer->text);
  Str str;
  str.size_ = buffer->text.size();
  str.buffer_ = std::move(buffer);
  return str;
}

std::vector<TemplateSpan> StrBuilder::finish_spans() && {
  std::vector<TemplateSpan> spans;
  spans.reserve(runs_.size());
  size_t begin = 0;
  for (const OriginRun& run : runs_) {
    spans.push_back({text_.substr(begin, run.end - begin), run.origin});
    begin = run.end;
  }
  return spans;
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

size_t code_point_size(std::string_view text, size_t pos) {
  size_t end = pos + 1;
  while (end < text.size() && (text[end] & 0xC0) == 0x80) {
    ++end;
  }
  return end - pos;
}

size_t code_point_offset(std::string_view text, size_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) {
    pos += code_point_size(text, pos);
  }
  return pos;
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

}  // namespace tutti::jinja
