// Strings of the template language: immutable UTF-8 bytes shared by copies and slices, each byte
// range tagged with its origin (template or content). Positions here are bytes; the language's code
// point positions are converted by the functions at the end.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/budget.h"
#include "jinja/spans.h"

namespace tutti::jinja {

struct OriginRun {
  size_t end = 0;  ///< exclusive; the run starts at the previous run's end
  TextOrigin origin = TextOrigin::kTemplate;
};

class Str {
 public:
  Str() = default;

  /// Text of the template itself, held by the parsed template.
  static Str literal(std::string text);
  /// A view of `text`, which must outlive every copy and slice.
  static Str borrowed(std::string_view text, TextOrigin origin);

  std::string_view view() const {
    return buffer_ ? buffer_->text.substr(offset_, size_) : std::string_view();
  }

  size_t size() const { return size_; }

  bool empty() const { return size_ == 0; }

  /// Bytes [begin, end), sharing the buffer.
  Str slice(size_t begin, size_t end) const;

  /// True if every byte is ASCII (may say false for an ASCII slice of a longer text).
  bool ascii() const { return !buffer_ || buffer_->ascii; }

  /// Calls visit(std::string_view, TextOrigin) for each stretch of one origin, in order.
  template <class Visit>
  void for_each_run(Visit&& visit) const {
    size_t begin = offset_;
    const size_t stop = offset_ + size_;
    for (size_t i = first_run(); begin < stop; ++i) {
      const OriginRun& run = buffer_->runs[i];
      const size_t end = run.end < stop ? run.end : stop;
      visit(buffer_->text.substr(begin, end - begin), run.origin);
      begin = end;
    }
  }

  bool has_content() const;

 private:
  friend class StrBuilder;

  struct Buffer {
    Buffer() = default;

    explicit Buffer(LiveBytes live_bytes) : live(std::move(live_bytes)) {}

    std::string owned;
    std::string_view text;
    std::vector<OriginRun> runs;
    LiveBytes live;
    bool ascii = true;
  };

  size_t first_run() const;

  std::shared_ptr<const Buffer> buffer_;
  size_t offset_ = 0;
  size_t size_ = 0;
};

/// Appends text with its origin; every byte counts against the budget.
class StrBuilder {
 public:
  explicit StrBuilder(Budget& budget) : budget_(budget), live_(budget) {}

  void append(std::string_view text, TextOrigin origin);
  void append(const Str& text);

  /// Text that has no origin of its own (digits, punctuation of a printed list).
  void append(std::string_view text) { append(text, TextOrigin::kTemplate); }

  size_t size() const { return text_.size(); }

  Str finish() &&;
  std::vector<TemplateSpan> finish_spans() &&;

 private:
  Budget& budget_;
  LiveBytes live_;
  std::string text_;
  std::vector<OriginRun> runs_;
};

/// text.find(part, from) in time proportional to the text, whatever it and `part` are.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);
/// The same for rfind.
size_t rfind_text(std::string_view text, std::string_view part);

/// Number of code points.
size_t count_code_points(std::string_view text);
/// Byte offset of code point `index`, text.size() if there are fewer.
size_t code_point_offset(std::string_view text, size_t index);
/// Length in bytes of the code point at `pos` (1 for an invalid byte).
size_t code_point_size(std::string_view text, size_t pos);

/// Python's str.isspace() for one code point.
bool is_space(char32_t code);

enum class Side : uint8_t { kLeft, kRight, kBoth };

/// str.strip / lstrip / rstrip; `chars` nullptr means white space.
Str strip(const Str& text, Side side, const std::string_view* chars);

/// Without copying: the text between `begin` and `end` of every maximal separator-free stretch.
/// separator nullptr: runs of white space separate and leading and trailing ones are dropped.
/// max_splits < 0: no limit.
std::vector<Str> split(const Str& text,
                       const std::string_view* separator,
                       int64_t max_splits,
                       Budget& budget);
std::vector<Str> rsplit(const Str& text,
                        const std::string_view* separator,
                        int64_t max_splits,
                        Budget& budget);
/// str.splitlines() without the line ends.
std::vector<Str> split_lines(const Str& text, bool keep_ends, Budget& budget);

Str replace(const Str& text, std::string_view from, const Str& to, int64_t count, Budget& budget);

enum class CaseMap : uint8_t { kUpper, kLower, kTitle, kCapitalize, kSwap };

/// str.upper, lower, title, capitalize, swapcase with Unicode's one-to-one mappings.
Str map_case(const Str& text, CaseMap map, Budget& budget);

}  // namespace tutti::jinja
