#include "text/known_split.h"

#include <array>
#include <string>

#include "text/pretokenizer.h"
#include "text/word_patterns.h"

namespace tutti {

namespace {

// Written with \r and \n escaped; files have the characters themselves or the escapes.
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::array<std::string_view, 3> kDeepSeekPatterns = {
    R"(\p{N}{1,3})",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

std::string escape_line_ends(std::string_view pattern) {
  std::string out;
  for (const char c : pattern) {
    out += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
  }
  return out;
}

struct Char {
  CharBits bits = 0;
  uint32_t end = 0;  ///< byte offset after it
};

bool is_ascii_letter(uint8_t byte) {
  const auto lower = static_cast<uint8_t>(byte | 0x20U);
  return lower >= 'a' && lower <= 'z';
}

// One text being split. Each piece_* function returns the end of the piece that begins at `at`.
class Scanner {
 public:
  Scanner(const CharTable& table, std::string_view text)
      : Scanner(table, text.data(), static_cast<uint32_t>(text.size())) {}

  Scanner(const CharTable& table, const char* text, uint32_t size)
      : table_(table), text_(text), size_(size) {}

  // The alternatives of the pattern in their order, decided by the first character or two.
  template <int kDigits>
  uint32_t piece_qwen2(uint32_t at) const {
    const Char first = char_at(at);
    if ((first.bits & kLetter) != 0) {
      return skip<kLetter>(first.end);
    }
    if ((first.bits & kNumber) != 0) {
      return skip_numbers<kDigits>(first.end);
    }
    if (byte(at) == '\'') {
      if (const uint32_t length = contraction<true>(at)) {
        return at + length;
      }
    }
    // [^\r\n\p{L}\p{N}]?\p{L}+ and a space before punctuation look at the second character.
    const Char second = first.end < size_ ? char_at(first.end) : Char{kWhiteSpace, first.end};
    if ((first.bits & kLineEnd) == 0 && (second.bits & kLetter) != 0) {
      return skip<kLetter>(second.end);
    }
    constexpr CharBits kNotSymbol = kWhiteSpace | kLetter | kNumber;
    if ((first.bits & kWhiteSpace) == 0) {
      return skip<kLineEnd>(skip_until<kNotSymbol>(first.end));
    }
    if (byte(at) == ' ' && (second.bits & kNotSymbol) == 0) {
      return skip<kLineEnd>(skip_until<kNotSymbol>(second.end));
    }
    return white_space</*kLineEnds=*/true, /*kStop=*/0>(at);
  }

  // What may stand before a word does where there is one behind it. The first of the pattern's
  // alternatives that fits counts: a word of small letters before one of capitals, with something
  // before it before one without.
  template <bool kHanApart>
  uint32_t piece_words(uint32_t at) const {
    const Char first = char_at(at);
    if (kHanApart && (first.bits & kHan) != 0) {
      return skip<kHan>(first.end);
    }
    const bool may_precede = (first.bits & (kLetter | kNumber | kLineEnd)) == 0;
    const uint32_t begins[] = {may_precede ? first.end : at, at};
    for (const uint32_t begin : begins) {
      if (const uint32_t end = small_word<kHanApart>(begin)) {
        return with_contraction(end);
      }
    }
    for (const uint32_t begin : begins) {
      const uint32_t end = skip_class<kHanApart, kSmall>(begin);
      if (end != begin) {
        return with_contraction(end);
      }
    }
    if ((first.bits & kNumber) != 0) {
      return skip_numbers<3>(first.end);
    }
    constexpr CharBits kNotSymbol = kWhiteSpace | kLetter | kNumber;
    if ((first.bits & kWhiteSpace) == 0) {
      return after_symbols<kHanApart>(skip_until<kNotSymbol>(first.end));
    }
    if (byte(at) == ' ' && first.end < size_) {
      const Char second = char_at(first.end);
      if ((second.bits & kNotSymbol) == 0) {
        return after_symbols<kHanApart>(skip_until<kNotSymbol>(second.end));
      }
    }
    return white_space</*kLineEnds=*/true, /*kStop=*/0>(at);
  }

  uint32_t piece_gpt2(uint32_t at) const {
    if (byte(at) == '\'') {
      if (const uint32_t length = contraction<false>(at)) {
        return at + length;
      }
    }
    Char c = char_at(at);
    if (byte(at) == ' ' && c.end < size_) {
      const Char second = char_at(c.end);
      if ((second.bits & kWhiteSpace) == 0) {
        c = second;
      }
    }
    if ((c.bits & kLetter) != 0) {
      return skip<kLetter>(c.end);
    }
    if ((c.bits & kNumber) != 0) {
      return skip<kNumber>(c.end);
    }
    if ((c.bits & kWhiteSpace) == 0) {
      return skip_until<kWhiteSpace | kLetter | kNumber>(c.end);
    }
    return white_space<false, 0>(at);
  }

  // The first two patterns cut numbers and runs of CJK out, but for the third a run of CJK is a
  // text like what is between the runs: each of these texts ends where a character of the other
  // kind begins. What the third pattern does not match, between two matches, is one piece.
  uint32_t piece_deepseek(uint32_t at) const {
    const Char first = char_at(at);
    if ((first.bits & kNumber) != 0) {
      return skip_numbers<3>(first.end);
    }
    return (first.bits & kCjk) == 0
               ? piece_of_run(at)
               : Scanner(CharTable::deepseek_cjk(), text_, size_).piece_of_run(at);
  }

  Char char_at(uint32_t at) const {
    const uint8_t lead = byte(at);
    if (lead < 0x80) {
      return {table_.of_byte(lead), at + 1};
    }
    if (lead < 0xE0) {
      return {table_.of((lead & 0x1FU) << 6 | tail(at + 1)), at + 2};
    }
    if (lead < 0xF0) {
      return {table_.of((lead & 0x0FU) << 12 | tail(at + 1) << 6 | tail(at + 2)), at + 3};
    }
    return {table_.of((lead & 0x07U) << 18 | tail(at + 1) << 12 | tail(at + 2) << 6 | tail(at + 3)),
            at + 4};
  }

 private:
  static constexpr CharBits kDeepSeekStop = kNumber | kCjk;

  uint8_t byte(uint32_t at) const { return static_cast<uint8_t>(text_[at]); }

  uint32_t tail(uint32_t at) const { return byte(at) & 0x3FU; }

  // Whether the character is of a word: a letter or mark, but none of these.
  template <bool kHanApart, CharBits kNot>
  static bool in_word(CharBits bits) {
    return (bits & (kLetter | kMark)) != 0 && (bits & (kHanApart ? kHan | kNot : kNot)) == 0;
  }

  template <bool kHanApart, CharBits kNot>
  uint32_t skip_class(uint32_t at) const {
    while (at < size_) {
      const Char c = char_at(at);
      if (!in_word<kHanApart, kNot>(c.bits)) {
        break;
      }
      at = c.end;
    }
    return at;
  }

  // All but small letters, then at least one of all but capitals; 0: there is none. What is
  // neither may be either: the last of these ends the word if no small letter follows.
  template <bool kHanApart>
  uint32_t small_word(uint32_t at) const {
    uint32_t after_neither = 0;
    while (at < size_) {
      const Char c = char_at(at);
      if (!in_word<kHanApart, kSmall>(c.bits)) {
        break;
      }
      at = c.end;
      after_neither = (c.bits & kCapital) == 0 ? at : after_neither;
    }
    const uint32_t end = skip_class<kHanApart, kCapital>(at);
    return end != at ? end : after_neither;
  }

  uint32_t with_contraction(uint32_t at) const {
    return at < size_ && byte(at) == '\'' ? at + contraction<true>(at) : at;
  }

  template <bool kHanApart>
  uint32_t after_symbols(uint32_t at) const {
    if (kHanApart) {
      return skip<kLineEnd>(at);
    }
    while (at < size_ && (byte(at) == '\r' || byte(at) == '\n' || byte(at) == '/')) {
      ++at;
    }
    return at;
  }

  uint32_t piece_of_run(uint32_t at) const {
    const uint32_t end = match_deepseek(at);
    if (end != at) {
      return end;
    }
    do {
      at = char_at(at).end;
    } while (at < size_ && (char_at(at).bits & kDeepSeekStop) == 0 && match_deepseek(at) == at);
    return at;
  }

  // The end of the match of DeepSeek's third pattern at `at`, or `at`.
  uint32_t match_deepseek(uint32_t at) const {
    const Char first = char_at(at);
    constexpr CharBits kWord = kLetter | kMark;
    if ((first.bits & kWord) != 0) {
      return skip<kWord>(first.end);
    }
    const Char second = first.end < size_ ? char_at(first.end) : Char{kCjk, first.end};
    if ((first.bits & kPunctuation) != 0) {
      if (first.end == at + 1 && first.end < size_ && is_ascii_letter(byte(first.end))) {
        uint32_t end = first.end + 1;
        while (end < size_ && is_ascii_letter(byte(end))) {
          ++end;
        }
        return end;
      }
      return skip<kLineEnd>(skip<kPunctuation>(first.end));
    }
    if ((first.bits & kLineEnd) == 0 && (second.bits & kWord) != 0) {
      return skip<kWord>(second.end);
    }
    if (byte(at) == ' ' && (second.bits & kPunctuation) != 0) {
      return skip<kLineEnd>(skip<kPunctuation>(second.end));
    }
    return (first.bits & kWhiteSpace) != 0 ? white_space<true, kDeepSeekStop>(at) : at;
  }

  template <CharBits kMask>
  uint32_t skip(uint32_t at) const {
    while (at < size_) {
      const CharBits bits = table_.of_byte(byte(at));
      if ((bits & kMask) != 0) {
        ++at;
      } else if (bits != kMultiByte) {
        break;
      } else {
        const Char c = char_at(at);
        if ((c.bits & kMask) == 0) {
          break;
        }
        at = c.end;
      }
    }
    return at;
  }

  template <CharBits kMask>
  uint32_t skip_until(uint32_t at) const {
    while (at < size_) {
      const Char c = char_at(at);
      if ((c.bits & kMask) != 0) {
        break;
      }
      at = c.end;
    }
    return at;
  }

  // `at`: after the first number of the piece.
  template <int kDigits>
  uint32_t skip_numbers(uint32_t at) const {
    for (int digits = 1; digits < kDigits && at < size_; ++digits) {
      const Char c = char_at(at);
      if ((c.bits & kNumber) == 0) {
        break;
      }
      at = c.end;
    }
    return at;
  }

  // \s*[\r\n]+ (if kLineEnds), \s+(?!\S), \s+. `kStop`: characters that end the text.
  template <bool kLineEnds, CharBits kStop>
  uint32_t white_space(uint32_t at) const {
    uint32_t after_line_end = 0;
    uint32_t last = at;  // where the run's last character begins
    uint32_t end = at;
    bool at_end = true;
    while (end < size_) {
      const Char c = char_at(end);
      if ((c.bits & kWhiteSpace) == 0) {
        at_end = (c.bits & kStop) != 0;
        break;
      }
      last = end;
      end = c.end;
      if ((c.bits & kLineEnd) != 0) {
        after_line_end = end;
      }
    }
    if (kLineEnds && after_line_end != 0) {
      return after_line_end;
    }
    return at_end || last == at ? end : last;
  }

  // 's 't 're 've 'm 'll 'd; U+017F is an s without regard to case. 0: none.
  template <bool kAnyCase>
  uint32_t contraction(uint32_t at) const {
    const auto letter = [&](uint32_t i) -> char {
      if (at + i >= size_) {
        return '\0';
      }
      const uint8_t b = byte(at + i);
      return static_cast<char>(kAnyCase && is_ascii_letter(b) ? b | 0x20U : b);
    };
    const char first = letter(1);
    switch (first) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return 2;
      case 'r':
      case 'v':
        return letter(2) == 'e' ? 3 : 0;
      case 'l':
        return letter(2) == 'l' ? 3 : 0;
      case '\xC5':
        return kAnyCase && letter(2) == '\xBF' ? 3 : 0;
      default:
        return 0;
    }
  }

  const CharTable& table_;
  const char* text_;
  uint32_t size_;
};

template <class Piece>
size_t fill(uint32_t size, uint32_t& at, std::span<uint32_t> ends, Piece piece) {
  size_t count = 0;
  while (count < ends.size() && at < size) {
    at = piece(at);
    ends[count++] = at;
  }
  return count;
}

bool is_isolated(const SplitStep& step, std::string_view pattern) {
  return step.behavior == SplitBehavior::kIsolated && !step.invert &&
         escape_line_ends(step.regex.pattern()) == pattern;
}

// The same where the pattern leaves nothing out: only matches are kept.
bool is_kept(const SplitStep& step, std::string_view pattern) {
  return is_isolated(step, pattern) || (step.behavior == SplitBehavior::kRemoved && step.invert &&
                                        escape_line_ends(step.regex.pattern()) == pattern);
}

const CharTable& table_for(KnownSplit::Rule rule) {
  switch (rule) {
    case KnownSplit::Rule::kDeepSeek:
      return CharTable::deepseek();
    case KnownSplit::Rule::kO200k:
    case KnownSplit::Rule::kKimi:
      return CharTable::words();
    default:
      return CharTable::plain();
  }
}

}  // namespace

KnownSplit::KnownSplit(Rule rule) : rule_(rule), table_(&table_for(rule)) {}

std::optional<KnownSplit> KnownSplit::recognise(std::span<const SplitStep> steps) {
  if (steps.size() == 1 && is_isolated(steps[0], kGpt2Pattern)) {
    return KnownSplit(Rule::kGpt2);
  }
  if (steps.size() == 1 && is_isolated(steps[0], kQwen2Pattern)) {
    return KnownSplit(Rule::kQwen2);
  }
  if (steps.size() == 1 && is_isolated(steps[0], kLlama3Pattern)) {
    return KnownSplit(Rule::kLlama3);
  }
  if (steps.size() == 1 && is_kept(steps[0], kO200kPattern)) {
    return KnownSplit(Rule::kO200k);
  }
  if (steps.size() == 1 && is_kept(steps[0], kKimiPattern)) {
    return KnownSplit(Rule::kKimi);
  }
  if (steps.size() != kDeepSeekPatterns.size()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!is_isolated(steps[i], kDeepSeekPatterns[i])) {
      return std::nullopt;
    }
  }
  return KnownSplit(Rule::kDeepSeek);
}

size_t KnownSplit::next(std::string_view text, uint32_t& at, std::span<uint32_t> ends) const {
  const Scanner scanner(*table_, text);
  const auto size = static_cast<uint32_t>(text.size());
  switch (rule_) {
    case Rule::kGpt2:
      return fill(size, at, ends, [&](uint32_t i) { return scanner.piece_gpt2(i); });
    case Rule::kQwen2:
      return fill(size, at, ends, [&](uint32_t i) { return scanner.piece_qwen2<1>(i); });
    case Rule::kLlama3:
      return fill(size, at, ends, [&](uint32_t i) { return scanner.piece_qwen2<3>(i); });
    case Rule::kDeepSeek:
      return fill(size, at, ends, [&](uint32_t i) { return scanner.piece_deepseek(i); });
    case Rule::kO200k:
      return fill(size, at, ends, [&](uint32_t i) { return scanner.piece_words<false>(i); });
    case Rule::kKimi:
      return fill(size, at, ends, [&](uint32_t i) { return scanner.piece_words<true>(i); });
  }
  return 0;
}

// After a letter (or CJK, where that is a class of its own) comes a character that no rule puts
// into a letter's piece: every rule's piece with a letter in it ends with its run of letters, or
// with the contraction behind that.
uint32_t KnownSplit::safe_cut(std::string_view text, uint32_t from) const {
  const Scanner scanner(*table_, text);
  const auto size = static_cast<uint32_t>(text.size());
  while (from < size && (static_cast<uint8_t>(text[from]) & 0xC0U) == 0x80) {
    ++from;
  }
  const bool contracts = rule_ == Rule::kO200k || rule_ == Rule::kKimi;
  bool after_letter = false;
  while (from < size) {
    const Char c = scanner.char_at(from);
    if (after_letter && (c.bits & (kLetter | kMark | kNumber | kCjk | kHan)) == 0 &&
        !(contracts && text[from] == '\'')) {
      return from;
    }
    after_letter = (c.bits & (kLetter | kCjk)) != 0;
    from = c.end;
  }
  return size;
}

}  // namespace tutti
