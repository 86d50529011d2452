#include "text/normalizer.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstring>
#include <vector>

#include <utf8proc.h>

#include "base/check.h"
#include "base/checked.h"
#include "base/json_fields.h"
#include "base/utf8.h"
#include "text/unicode_props.h"

namespace tutti {

namespace {

// No code point from here on decomposes, and none is a combining mark.
constexpr char32_t kEnd = 0x30000;
// Every code point below U+0300 is its own NFC and combines with nothing before it.
constexpr char32_t kFirstMark = 0x300;
// Full canonical decompositions have at most four code points.
constexpr size_t kMaxDecomposition = 8;
constexpr int kMaxDepth = 16;

// Marks and composites (with their parts) that came with Unicode 10 and later. The reference
// implementation's tables are those of Unicode 9.0: to it these are ordinary characters that
// neither move nor combine.
constexpr std::array<CodeRange, 65> kNewMarks = {
    {{0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
     {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
     {0x1ABF, 0x1ADD},   {0x1AE0, 0x1AEB},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
     {0x105C9, 0x105C9}, {0x105D2, 0x105D2}, {0x105DA, 0x105DA}, {0x105E4, 0x105E4},
     {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC}, {0x10EFA, 0x10EFB},
     {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
     {0x1133B, 0x1133B}, {0x11382, 0x11385}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
     {0x11390, 0x11391}, {0x113B8, 0x113B8}, {0x113BB, 0x113BB}, {0x113C2, 0x113C2},
     {0x113C5, 0x113C5}, {0x113C7, 0x113C9}, {0x113CE, 0x113D0}, {0x1145E, 0x1145E},
     {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11935, 0x11935}, {0x11938, 0x11938},
     {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
     {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
     {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x1611E, 0x16129}, {0x1612F, 0x1612F},
     {0x16D63, 0x16D63}, {0x16D67, 0x16D6A}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F},
     {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
     {0x1E5EE, 0x1E5EF}, {0x1E6E3, 0x1E6E3}, {0x1E6E6, 0x1E6E6}, {0x1E6EE, 0x1E6EF},
     {0x1E6F5, 0x1E6F5}}};

}  // namespace

bool Normalizer::ignores(char32_t code) {
  const auto* const after = std::upper_bound(
      kNewMarks.begin(), kNewMarks.end(), code, [](char32_t c, const CodeRange& r) {
        return c < r.first;
      });
  return after != kNewMarks.begin() && code <= std::prev(after)->last;
}

namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

void append_decomposed(char32_t code, CodePoints& out) {
  std::array<utf8proc_int32_t, kMaxDecomposition> buffer{};
  int last_boundclass = 0;
  const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code),
                                                         buffer.data(),
                                                         kMaxDecomposition,
                                                         UTF8PROC_DECOMPOSE,
                                                         &last_boundclass);
  TUTTI_CHECK(count >= 1 && count <= static_cast<utf8proc_ssize_t>(kMaxDecomposition));
  out.insert(out.end(), buffer.begin(), buffer.begin() + count);
}

int combining_class(utf8proc_int32_t code) {
  return static_cast<int>(utf8proc_get_property(code)->combining_class);
}

// utf8proc orders marks by bubble sort, quadratic on hostile text: sort each run here first.
void order_marks(CodePoints& codes) {
  for (size_t begin = 0; begin < codes.size();) {
    size_t end = begin;
    while (end < codes.size() && combining_class(codes[end]) != 0) {
      ++end;
    }
    std::stable_sort(codes.begin() + static_cast<std::ptrdiff_t>(begin),
                     codes.begin() + static_cast<std::ptrdiff_t>(end),
                     [](utf8proc_int32_t a, utf8proc_int32_t b) {
                       return combining_class(a) < combining_class(b);
                     });
    begin = end + 1;
  }
}

void compose(CodePoints& codes) {
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(codes.data(),
                               static_cast<utf8proc_ssize_t>(codes.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  TUTTI_CHECK(count >= 0 && static_cast<size_t>(count) <= codes.size());
  codes.resize(static_cast<size_t>(count));
}

}  // namespace

/// Code points that are their own NFC and never change, or are changed by, what stands before them:
/// text may be cut before each of them. Conservative: a code point left out only costs time.
class Normalizer::InertSet {
 public:
  InertSet() {
    CodePoints codes;
    for (char32_t c = kFirstMark; c < kEnd; ++c) {
      if (c == 0xAC00) {
        c = 0xD7A4;  // Hangul syllables decompose into jamo and compose back: treated below
      }
      if (c == 0xD800) {
        c = 0xE000;  // surrogates are no characters
      }
      mark(c, codes);
    }
    for (char32_t c = 0x1161; c < 0x1200; ++c) {
      reactive_.set(c);  // jamo vowels and finals join the syllable before them
    }
    for (const CodeRange& range : kNewMarks) {
      for (char32_t c = range.first; c <= range.last; ++c) {
        walls_.set(c);
        reactive_.reset(c);
      }
    }
    for (char32_t c = 0xC0; c < kFirstMark; ++c) {
      mark_tail(c, codes);
    }
  }

  bool contains(char32_t code) const {
    return code < kFirstMark || code >= kEnd || !reactive_.test(code);
  }

  /// True if every character of `text` is inert, so that the text is its own NFC.
  bool covers(std::string_view text) const {
    constexpr uint64_t kHighBits = 0x8080808080808080ULL;
    for (size_t i = 0; i < text.size();) {
      uint64_t block = 0;
      if (i + sizeof(block) <= text.size()) {
        std::memcpy(&block, text.data() + i, sizeof(block));
        if ((block & kHighBits) == 0) {
          i += sizeof(block);
          continue;
        }
      }
      const Utf8Char c = decode_utf8(text, i);
      if (!contains(c.code)) {
        return false;
      }
      i += usize(c.length);
    }
    return true;
  }

  /// Inert, and what follows does not join it either.
  bool is_wall(char32_t code) const { return code < kEnd && walls_.test(code); }

 private:
  void mark(char32_t code, CodePoints& codes) {
    if (combining_class(static_cast<utf8proc_int32_t>(code)) != 0) {
      reactive_.set(code);
    }
    if (!mark_tail(code, codes)) {
      return;
    }
    order_marks(codes);
    compose(codes);
    if (codes.size() != 1 || codes[0] != static_cast<utf8proc_int32_t>(code)) {
      reactive_.set(code);
    }
  }

  // Whatever stands second or later in a decomposition can join what stands before it.
  bool mark_tail(char32_t code, CodePoints& codes) {
    codes.clear();
    append_decomposed(code, codes);
    for (size_t i = 1; i < codes.size(); ++i) {
      reactive_.set(static_cast<size_t>(codes[i]));
    }
    return codes.size() > 1 || codes[0] != static_cast<utf8proc_int32_t>(code);
  }

  std::bitset<kEnd> reactive_;
  std::bitset<kEnd> walls_;
};

class Normalizer::Parser {
 public:
  explicit Parser(Normalizer& out) : out_(out) {}

  Status parse(const Json& json, const std::string& where, int depth) {
    if (!json.is_object() || depth > kMaxDepth) {
      return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
    }
    FieldReader reader(json.as_object(), where);
    const std::string type = reader.required_string("type");
    TUTTI_RETURN_IF_ERROR(reader.status());
    if (type == "NFC") {
      return add({std::make_shared<const InertSet>(), {}, {}}, where);
    }
    if (type == "Replace") {
      return parse_replace(reader, where);
    }
    if (type != "Sequence") {
      return error(StatusCode::kUnsupported,
                   "{}: normalizer type \"{}\" is not supported; supported: null, NFC, Replace, "
                   "Sequence",
                   where,
                   type);
    }
    const JsonArray* parts = reader.optional_array("normalizers");
    TUTTI_RETURN_IF_ERROR(reader.status());
    for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      TUTTI_RETURN_IF_ERROR(
          parse((*parts)[i], fmt::format("{}.normalizers[{}]", where, i), depth + 1));
    }
    return ok_status();
  }

 private:
  Status parse_replace(FieldReader& reader, const std::string& where) {
    const JsonObject* pattern = reader.optional_object("pattern");
    const std::string content = reader.required_string("content");
    TUTTI_RETURN_IF_ERROR(reader.status());
    const Json* literal = pattern != nullptr ? pattern->find("String") : nullptr;
    if (literal == nullptr || !literal->is_string() || literal->as_string().empty()) {
      return error(
          StatusCode::kUnsupported,
          "{}.pattern: wanted {{\"String\": \"...\"}}, not empty; a Regex is not supported "
          "in a Replace normalizer",
          where);
    }
    growth_ *= std::max<size_t>(1, content.size() / literal->as_string().size());
    if (growth_ > kMaxGrowth) {
      return error(StatusCode::kUnsupported,
                   "{}: replacements would grow a text more than {}-fold",
                   where,
                   kMaxGrowth);
    }
    return add({nullptr, std::string(literal->as_string()), content}, where);
  }

  Status add(Step step, const std::string& where) {
    if (out_.steps_.size() >= kMaxSteps) {
      return error(StatusCode::kUnsupported, "{}: more than {} normalizers", where, kMaxSteps);
    }
    out_.steps_.push_back(std::move(step));
    return ok_status();
  }

  static constexpr size_t kMaxGrowth = 64;
  static constexpr size_t kMaxSteps = 16;
  Normalizer& out_;
  size_t growth_ = 1;
};

Normalizer Normalizer::nfc() {
  Normalizer normalizer;
  normalizer.steps_.push_back({std::make_shared<const InertSet>(), {}, {}});
  return normalizer;
}

Result<Normalizer> Normalizer::from_json(const Json* json, const std::string& where) {
  Normalizer normalizer;
  if (json != nullptr && !json->is_null()) {
    TUTTI_RETURN_IF_ERROR(Parser(normalizer).parse(*json, where, 0));
  }
  return normalizer;
}

bool Normalizer::is_normal(std::string_view text) const {
  return std::all_of(steps_.begin(), steps_.end(), [&](const Step& step) {
    return step.inert != nullptr ? step.inert->covers(text)
                                 : text.find(step.pattern) == std::string_view::npos;
  });
}

void Normalizer::append(std::string_view text, std::string& out) const {
  if (steps_.empty()) {
    out += text;
    return;
  }
  std::string input;
  std::string output;
  for (size_t i = 0; i + 1 < steps_.size(); ++i) {
    output.clear();
    append_step(steps_[i], i == 0 ? text : std::string_view(input), output);
    input.swap(output);
  }
  append_step(steps_.back(), steps_.size() == 1 ? text : std::string_view(input), out);
}

void Normalizer::append_step(const Step& step, std::string_view text, std::string& out) {
  if (step.inert != nullptr) {
    append_nfc(*step.inert, text, out);
    return;
  }
  size_t done = 0;
  for (size_t at = text.find(step.pattern); at != std::string_view::npos;
       at = text.find(step.pattern, done)) {
    out += text.substr(done, at - done);
    out += step.content;
    done = at + step.pattern.size();
  }
  out += text.substr(done);
}

void Normalizer::append_nfc(const InertSet& inert, std::string_view text, std::string& out) {
  CodePoints codes;
  size_t copied = 0;    // text[0, copied) is already in `out`
  size_t previous = 0;  // where the inert character before `i` begins
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      previous = i++;
      continue;
    }
    Utf8Char c = decode_utf8(text, i);
    if (inert.contains(c.code)) {
      previous = inert.is_wall(c.code) ? i + usize(c.length) : i;
      i += usize(c.length);
      continue;
    }
    // Normalise from the inert character before this one up to the next.
    const size_t begin = std::max(previous, copied);
    out += text.substr(copied, begin - copied);
    codes.clear();
    for (size_t j = begin; j < text.size();) {
      c = decode_utf8(text, j);
      if (j > i && inert.contains(c.code)) {
        break;
      }
      append_decomposed(c.code, codes);
      j += usize(c.length);
      copied = j;
    }
    order_marks(codes);
    compose(codes);
    for (const utf8proc_int32_t code : codes) {
      append_utf8(out, static_cast<char32_t>(code));
    }
    i = copied;
    previous = copied;
  }
  out += text.substr(copied);
}

}  // namespace tutti
