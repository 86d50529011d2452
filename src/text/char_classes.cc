#include "text/char_classes.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "text/unicode_props.h"
#include "text/unicode_regex.h"

namespace tutti {

namespace {

// Planes 4 to 13 are unassigned, 15 and 16 private, of 14 the beginning is in use: no classes
// there.
constexpr char32_t kAssignedEnd = 0x40000;
constexpr CodeRange kTagPlane = {0xE0000, 0xE0FFF};

// Gives `bits` to what the pattern matches.
void mark(std::string_view pattern, CharBits bits, std::vector<CharBits>& by_code) {
  std::string text;
  std::vector<std::pair<size_t, char32_t>> starts;  // byte offset of each code point, ascending
  const auto add = [&](char32_t first, char32_t last) {
    for (char32_t code = first; code <= last; ++code) {
      starts.emplace_back(text.size(), code);
      append_utf8(text, code);
    }
  };
  add(0, 0xD7FF);
  add(0xE000, kAssignedEnd - 1);
  add(kTagPlane.first, kTagPlane.last);
  const Result<UnicodeRegex> regex = UnicodeRegex::compile(pattern);
  TUTTI_CHECK(regex.ok());  // a constant of ours
  RegexSearch search(*regex, text.size());
  search.start(text);
  size_t i = 0;
  while (true) {
    const Result<std::optional<TextRange>> match = search.next();
    TUTTI_CHECK(match.ok());  // no backtracking in a set
    if (!*match) {
      return;
    }
    for (; i < starts.size() && starts[i].first < (*match)->end; ++i) {
      if (starts[i].first >= (*match)->begin) {
        by_code[starts[i].second] |= bits;
      }
    }
  }
}

std::vector<CharBits> plain_classes() {
  std::vector<CharBits> by_code(0x110000, 0);
  mark("\\p{L}+", kLetter, by_code);
  mark("\\p{M}+", kMark, by_code);
  mark("\\p{N}+", kNumber, by_code);
  mark("[\\p{P}\\p{S}]+", kPunctuation, by_code);
  for (const CodeRange& range : white_space_ranges()) {
    for (char32_t code = range.first; code <= range.last; ++code) {
      by_code[code] |= kWhiteSpace;
    }
  }
  by_code['\r'] |= kLineEnd;
  by_code['\n'] |= kLineEnd;
  return by_code;
}

std::vector<CharBits> word_classes() {
  std::vector<CharBits> by_code = plain_classes();
  mark("\\p{Han}+", kHan, by_code);
  mark("[\\p{Lu}\\p{Lt}]+", kCapital, by_code);
  mark("\\p{Ll}+", kSmall, by_code);
  return by_code;
}

std::vector<CharBits> deepseek_classes(bool inside) {
  std::vector<CharBits> by_code = plain_classes();
  for (char32_t code = 0; code < by_code.size(); ++code) {
    const bool is_cjk = (code >= 0x4E00 && code <= 0x9FA5) || (code >= 0x3040 && code <= 0x30FF);
    if (is_cjk != inside) {
      by_code[code] = kCjk;
    }
  }
  return by_code;
}

}  // namespace

CharTable::CharTable(const std::vector<CharBits>& by_code) {
  std::map<std::vector<CharBits>, uint16_t> known;
  const auto block_number = [&](const std::vector<CharBits>& block) {
    const auto [entry, is_new] = known.try_emplace(block, static_cast<uint16_t>(known.size()));
    if (is_new) {
      blocks_.insert(blocks_.end(), block.begin(), block.end());
    }
    return entry->second;
  };
  block_number(std::vector<CharBits>(kBlockSize, 0));  // block 0: beyond the last code point
  for (size_t begin = 0; begin < by_code.size(); begin += kBlockSize) {
    const auto at = by_code.begin() + static_cast<std::ptrdiff_t>(begin);
    block_of_.push_back(block_number({at, at + kBlockSize}));
  }
  for (size_t byte = 0; byte < bytes_.size(); ++byte) {
    bytes_[byte] = byte < 0x80 ? by_code[byte] : kMultiByte;
  }
}

const CharTable& CharTable::plain() {
  static const CharTable kTable(plain_classes());
  return kTable;
}

const CharTable& CharTable::words() {
  static const CharTable kTable(word_classes());
  return kTable;
}

const CharTable& CharTable::deepseek() {
  static const CharTable kTable(deepseek_classes(/*inside=*/false));
  return kTable;
}

const CharTable& CharTable::deepseek_cjk() {
  static const CharTable kTable(deepseek_classes(/*inside=*/true));
  return kTable;
}

}  // namespace tutti
