#include "text/normalizer.h"

#include <algorithm>
#include <array>
#include <bitset>
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

Result<bool> wants_nfc(const Json& json, const std::string& where, int depth) {
  if (!json.is_object() || depth > kMaxDepth) {
    return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
  }
  FieldReader reader(json.as_object(), where);
  const std::string type = reader.required_string("type");
  TUTTI_RETURN_IF_ERROR(reader.status());
  if (type == "NFC") {
    return true;
  }
  if (type != "Sequence") {
    return error(StatusCode::kUnsupported,
                 "{}: normalizer type \"{}\" is not supported; supported: null, NFC, Sequence",
                 where,
                 type);
  }
  const JsonArray* parts = reader.optional_array("normalizers");
  TUTTI_RETURN_IF_ERROR(reader.status());
  bool nfc = false;
  for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
    TUTTI_TRY(const bool part,
              wants_nfc((*parts)[i], fmt::format("{}.normalizers[{}]", where, i), depth + 1));
    nfc = nfc || part;
  }
  return nfc;
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

Normalizer Normalizer::nfc() {
  Normalizer normalizer;
  normalizer.inert_ = std::make_shared<const InertSet>();
  return normalizer;
}

Result<Normalizer> Normalizer::from_json(const Json* json, const std::string& where) {
  if (json == nullptr || json->is_null()) {
    return Normalizer();
  }
  TUTTI_TRY(const bool is_nfc, wants_nfc(*json, where, 0));
  return is_nfc ? nfc() : Normalizer();
}

void Normalizer::append(std::string_view text, std::string& out) const {
  if (is_identity()) {
    out += text;
    return;
  }
  CodePoints codes;
  size_t copied = 0;    // text[0, copied) is already in `out`
  size_t previous = 0;  // where the inert character before `i` begins
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      previous = i++;
      continue;
    }
    Utf8Char c = decode_utf8(text, i);
    if (inert_->contains(c.code)) {
      previous = inert_->is_wall(c.code) ? i + usize(c.length) : i;
      i += usize(c.length);
      continue;
    }
    // Normalise from the inert character before this one up to the next.
    const size_t begin = std::max(previous, copied);
    out += text.substr(copied, begin - copied);
    codes.clear();
    for (size_t j = begin; j < text.size();) {
      c = decode_utf8(text, j);
      if (j > i && inert_->contains(c.code)) {
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
