#include "grammar/pattern.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/utf8.h"

namespace tutti::grammar {

namespace {

constexpr int kMaxDepth = 200;
constexpr uint32_t kMaxCount = 1'000'000'000;

// What a part of a pattern matches, by whether the match must begin where the text does (bit 0) and
// end where it does (bit 1).
struct Match {
  std::array<ExprId, 4> by_anchor{
      RegexPool::kNothing, RegexPool::kNothing, RegexPool::kNothing, RegexPool::kNothing};

  static Match of(ExprId expr, unsigned anchors = 0) {
    Match match;
    match.by_anchor[anchors] = expr;
    return match;
  }

  bool anchored() const {
    return by_anchor[1] != RegexPool::kNothing || by_anchor[2] != RegexPool::kNothing ||
           by_anchor[3] != RegexPool::kNothing;
  }
};

CharSet digits() {
  return CharSet({{'0', '9'}});
}

CharSet word_chars() {
  return CharSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
}

// WhiteSpace and LineTerminator of ECMA-262.
CharSet spaces() {
  return CharSet({{'\t', '\r'},
                  {' ', ' '},
                  {0xA0, 0xA0},
                  {0x1680, 0x1680},
                  {0x2000, 0x200A},
                  {0x2028, 0x2029},
                  {0x202F, 0x202F},
                  {0x205F, 0x205F},
                  {0x3000, 0x3000},
                  {0xFEFF, 0xFEFF}});
}

CharSet line_ends() {
  return CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
}

class PatternParser {
 public:
  PatternParser(RegexPool& pool, std::string_view pattern, Writing writing)
      : pool_(pool), text_(pattern), writing_(writing) {}

  Result<Match> parse() {
    TUTTI_TRY(const Match match, parse_either(0));
    if (at_ < text_.size()) {
      return wrong("a ) without its (");
    }
    return match;
  }

 private:
  bool done() const { return at_ >= text_.size(); }

  char peek() const { return done() ? '\0' : text_[at_]; }

  bool take(std::string_view what) {
    if (!text_.substr(at_).starts_with(what)) {
      return false;
    }
    at_ += what.size();
    return true;
  }

  Status wrong(std::string_view what) const {
    return invalid("pattern {}: at byte {}: {}", shown(), at_, what);
  }

  Status unsupported(std::string_view what) const {
    return error(StatusCode::kUnsupported,
                 "pattern {}: at byte {}: {} cannot be enforced; write it without",
                 shown(),
                 at_,
                 what);
  }

  std::string shown() const {
    return fmt::format(
        "\"{}\"{}", replace_invalid_utf8(text_.substr(0, 60)), text_.size() > 60 ? "…" : "");
  }

  Result<Match> parse_either(int depth) {
    if (depth > kMaxDepth) {
      return wrong(fmt::format("groups nested deeper than {}", kMaxDepth));
    }
    std::array<std::vector<ExprId>, 4> options;
    do {
      TUTTI_TRY(const Match one, parse_sequence(depth));
      for (size_t i = 0; i < options.size(); ++i) {
        options[i].push_back(one.by_anchor[i]);
      }
    } while (take("|"));
    Match out;
    for (size_t i = 0; i < options.size(); ++i) {
      out.by_anchor[i] = pool_.either(options[i]);
    }
    return out;
  }

  // Put together from behind, so that long sequences are made in one go.
  Result<Match> parse_sequence(int depth) {
    std::vector<Match> parts;
    while (!done() && peek() != '|' && peek() != ')') {
      TUTTI_TRY(const Match part, parse_term(depth));
      parts.push_back(part);
    }
    Match out = Match::of(RegexPool::kEmpty);
    for (size_t i = parts.size(); i-- > 0;) {
      out = follow(parts[i], out);
    }
    return out;
  }

  // Before a ^ and behind a $ only the empty text fits.
  Match follow(const Match& first, const Match& second) {
    const auto only_empty = [&](ExprId expr) {
      return pool_.nullable(expr) ? RegexPool::kEmpty : RegexPool::kNothing;
    };
    Match out;
    for (unsigned a = 0; a < 4; ++a) {
      for (unsigned b = 0; b < 4; ++b) {
        ExprId left = first.by_anchor[a];
        ExprId right = second.by_anchor[b];
        if (left == RegexPool::kNothing || right == RegexPool::kNothing) {
          continue;
        }
        left = (b & 1U) != 0 ? only_empty(left) : left;
        right = (a & 2U) != 0 ? only_empty(right) : right;
        out.by_anchor[a | b] = pool_.either(out.by_anchor[a | b], pool_.concat(left, right));
      }
    }
    return out;
  }

  Result<Match> parse_term(int depth) {
    if (take("^")) {
      return Match::of(RegexPool::kEmpty, 1);
    }
    if (take("$")) {
      return Match::of(RegexPool::kEmpty, 2);
    }
    TUTTI_TRY(Match match, parse_atom(depth));
    while (true) {
      const size_t begin = at_;
      TUTTI_TRY(const auto counts, parse_counts());
      if (!counts.has_value()) {
        return match;
      }
      if (repeated_ == begin && begin != 0) {
        return wrong("two counts in a row");
      }
      take("?");  // a lazy count has the same language
      repeated_ = at_;
      if (match.anchored()) {
        if (counts->second > 1) {
          return unsupported("an anchor inside a repetition");
        }
        if (counts->first == 0) {
          match.by_anchor[0] = pool_.optional(match.by_anchor[0]);
        }
        continue;
      }
      match = Match::of(pool_.repeat(match.by_anchor[0], counts->first, counts->second));
    }
  }

  // Nothing if no count is here.
  Result<std::optional<std::pair<uint32_t, uint32_t>>> parse_counts() {
    using Counts = std::optional<std::pair<uint32_t, uint32_t>>;
    if (take("*")) {
      return Counts({0, kUnbounded});
    }
    if (take("+")) {
      return Counts({1, kUnbounded});
    }
    if (take("?")) {
      return Counts({0, 1});
    }
    if (peek() != '{') {
      return Counts();
    }
    const size_t begin = at_++;
    TUTTI_TRY(const auto min, parse_number());
    std::optional<uint32_t> max = min;
    if (min.has_value() && take(",")) {
      if (peek() == '}') {
        max = kUnbounded;
      } else {
        TUTTI_TRY(max, parse_number());
      }
    }
    if (!min.has_value() || !max.has_value() || !take("}")) {
      at_ = begin;
      return wrong("{ begins no count; write \\{ for the character");
    }
    if (*min > *max) {
      at_ = begin;
      return wrong(fmt::format("a count from {} to {}", *min, *max));
    }
    return Counts({*min, *max});
  }

  Result<std::optional<uint32_t>> parse_number() {
    uint64_t value = 0;
    const size_t begin = at_;
    while (!done() && peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint64_t>(text_[at_++] - '0');
      if (value > kMaxCount) {
        return wrong(fmt::format("a count above {}", kMaxCount));
      }
    }
    return begin == at_ ? std::optional<uint32_t>() : static_cast<uint32_t>(value);
  }

  Result<Match> parse_atom(int depth) {
    if (take("(")) {
      return parse_group(depth);
    }
    if (take("[")) {
      TUTTI_TRY(const CharSet set, parse_set());
      return chars(set);
    }
    if (take(".")) {
      return chars(line_ends().complement());
    }
    if (const char c = peek(); c == '*' || c == '+' || c == '?' || c == '{') {
      return wrong(fmt::format("{} has nothing to repeat; write \\{} for the character", c, c));
    }
    if (take("\\")) {
      TUTTI_TRY(const CharSet set, parse_escape(/*in_set=*/false));
      return chars(set);
    }
    TUTTI_TRY(const char32_t code, parse_char());
    return chars(CharSet::of(code));
  }

  Match chars(const CharSet& set) { return Match::of(one_of(pool_, set, writing_)); }

  Result<Match> parse_group(int depth) {
    if (take("?")) {
      if (take("=") || take("!") || take("<=") || take("<!")) {
        return unsupported("look-around");
      }
      if (take("<") || take("P<")) {
        const size_t end = text_.find('>', at_);
        if (end == std::string_view::npos) {
          return wrong("the name of a group without its >");
        }
        at_ = end + 1;
      } else if (!take(":")) {
        return unsupported("this kind of group");
      }
    }
    TUTTI_TRY(const Match match, parse_either(depth + 1));
    if (!take(")")) {
      return wrong("a ( without its )");
    }
    return match;
  }

  Result<CharSet> parse_set() {
    const bool inverted = take("^");
    CharSet set;
    while (!take("]")) {
      if (done()) {
        return wrong("a [ without its ]");
      }
      TUTTI_TRY(const CharSet first, parse_set_item());
      const bool range = peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!range || !single(first)) {
        set = set | first;
        continue;
      }
      ++at_;
      TUTTI_TRY(const CharSet last, parse_set_item());
      if (!single(last)) {
        set = set | first | CharSet::of('-') | last;
        continue;
      }
      const char32_t from = first.ranges()[0].first;
      const char32_t to = last.ranges()[0].first;
      if (from > to) {
        return wrong("a range that ends before it begins");
      }
      set = set | CharSet({{from, to}});
    }
    return inverted ? set.complement() : set;
  }

  static bool single(const CharSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
  }

  Result<CharSet> parse_set_item() {
    if (take("\\")) {
      return parse_escape(/*in_set=*/true);
    }
    TUTTI_TRY(const char32_t code, parse_char());
    return CharSet::of(code);
  }

  Result<char32_t> parse_char() {
    const Utf8Char c = decode_utf8(text_, at_);
    if (!c.valid) {
      return wrong("no valid UTF-8");
    }
    at_ += static_cast<size_t>(c.length);
    return c.code;
  }

  Result<CharSet> parse_escape(bool in_set) {
    if (done()) {
      return wrong("\\ at the end");
    }
    const char c = text_[at_];
    switch (c) {
      case 'd':
        ++at_;
        return digits();
      case 'D':
        ++at_;
        return digits().complement();
      case 'w':
        ++at_;
        return word_chars();
      case 'W':
        ++at_;
        return word_chars().complement();
      case 's':
        ++at_;
        return spaces();
      case 'S':
        ++at_;
        return spaces().complement();
      case 'b':
        if (!in_set) {
          return unsupported("a word boundary (\\b)");
        }
        ++at_;
        return CharSet::of('\b');
      case 'B':
        return unsupported("a word boundary (\\B)");
      case 'p':
      case 'P':
        return unsupported("a Unicode property (\\p)");
      case 'k':
        return unsupported("a back-reference");
      case 'x':
      case 'u':
        return parse_hex();
      case 'c':
        return parse_control();
      default:
        break;
    }
    constexpr std::string_view kNames = "tnvfr0";
    constexpr std::string_view kCodes("\t\n\v\f\r\0", 6);
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      ++at_;
      if (c == '0' && peek() >= '0' && peek() <= '9') {
        return unsupported("an octal escape");
      }
      return CharSet::of(static_cast<char32_t>(kCodes[known]));
    }
    if (c >= '1' && c <= '9') {
      return unsupported("a back-reference");
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      return wrong(fmt::format("\\{} is no escape", c));
    }
    TUTTI_TRY(const char32_t code, parse_char());
    return CharSet::of(code);
  }

  Result<CharSet> parse_control() {
    if (at_ + 1 >= text_.size()) {
      return wrong("\\c without a letter");
    }
    const char letter = text_[at_ + 1];
    if (!((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))) {
      return wrong("\\c without a letter");
    }
    at_ += 2;
    return CharSet::of(static_cast<char32_t>(letter) % 32);
  }

  Result<CharSet> parse_hex() {
    const char kind = text_[at_++];
    const bool braces = kind == 'u' && take("{");
    const size_t wanted = braces ? 6 : kind == 'u' ? 4 : 2;
    TUTTI_TRY(const char32_t first, parse_digits(wanted, braces));
    if (braces && !take("}")) {
      return wrong("\\u{ without its }");
    }
    // A pair of surrogates is one character.
    if (first >= 0xD800 && first <= 0xDBFF && !braces && take("\\u")) {
      TUTTI_TRY(const char32_t second, parse_digits(4, false));
      if (second < 0xDC00 || second > 0xDFFF) {
        return wrong("half a surrogate pair");
      }
      return CharSet::of(0x10000 + ((first - 0xD800) << 10U) + (second - 0xDC00));
    }
    if ((first >= 0xD800 && first <= 0xDFFF) || first > kMaxChar) {
      return wrong("no character has this code");
    }
    return CharSet::of(first);
  }

  Result<char32_t> parse_digits(size_t most, bool fewer) {
    char32_t value = 0;
    size_t count = 0;
    for (; count < most && !done(); ++count) {
      const char c = text_[at_];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) {
        break;
      }
      value = value * 16 + static_cast<char32_t>(digit);
      ++at_;
    }
    if (count == 0 || (!fewer && count != most)) {
      return wrong(fmt::format("wanted {} hexadecimal digits", most));
    }
    return value;
  }

  RegexPool& pool_;
  const std::string_view text_;
  const Writing writing_;
  size_t at_ = 0;
  size_t repeated_ = 0;  // behind the last count
};

}  // namespace

Result<ExprId> compile_pattern(
    RegexPool& pool, std::string_view pattern, PatternUse use, Writing writing, ExprId any_char) {
  TUTTI_TRY(const Match match, PatternParser(pool, pattern, writing).parse());
  const ExprId padding =
      use == PatternUse::kWhole ? RegexPool::kEmpty : pool.repeat(any_char, 0, kUnbounded);
  std::vector<ExprId> options;
  for (unsigned anchors = 0; anchors < 4; ++anchors) {
    const ExprId parts[] = {(anchors & 1U) != 0 ? RegexPool::kEmpty : padding,
                            match.by_anchor[anchors],
                            (anchors & 2U) != 0 ? RegexPool::kEmpty : padding};
    options.push_back(pool.concat(parts));
  }
  return pool.either(options);
}

}  // namespace tutti::grammar
