#include "grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "grammar/char_set.h"

namespace tutti::grammar {

namespace {

constexpr int kMaxDepth = 200;
constexpr uint32_t kMaxCount = 1'000'000'000;

class GbnfParser {
 public:
  GbnfParser(std::string_view text, Syntax& syntax)
      : text_(text), syntax_(syntax), pool_(syntax.pool()) {}

  Status parse() {
    skip_space(/*lines=*/true);
    while (!done()) {
      TUTTI_RETURN_IF_ERROR(parse_rule());
      skip_space(/*lines=*/true);
    }
    for (const auto& [name, rule] : rules_) {
      if (!rule.defined) {
        at_ = rule.mentioned;
        return wrong(fmt::format("there is no rule {}", name));
      }
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) {
      return wrong("there is no rule root, which every text is one of");
    }
    syntax_.set_root(syntax_.rule(root->second.number));
    return ok_status();
  }

 private:
  struct Rule {
    uint32_t number = 0;
    bool defined = false;
    size_t mentioned = 0;
  };

  // A part of a rule: an expression as long as no rule is referred to, so that it is matched as one
  // terminal.
  struct Part {
    std::optional<ExprId> expr;
    NodeId node = Syntax::kNothing;
  };

  bool done() const { return at_ >= text_.size(); }

  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  Status wrong(std::string_view what) const {
    const std::string_view before = text_.substr(0, std::min(at_, text_.size()));
    const auto line = 1 + std::ranges::count(before, '\n');
    const size_t begin = before.rfind('\n') + 1;  // npos + 1 is 0
    return invalid("grammar: line {}, column {}: {}", line, before.size() - begin + 1, what);
  }

  // Blanks and comments; with `lines`, ends of lines too.
  void skip_space(bool lines) {
    while (!done()) {
      const char c = peek();
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }

  std::string parse_name() {
    const size_t begin = at_;
    while (name_char(peek())) {
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  Rule& rule_named(const std::string& name) {
    const auto [found, added] = rules_.try_emplace(name);
    if (added) {
      found->second = {.number = syntax_.add_rule("grammar: rule " + name), .mentioned = at_};
    }
    return found->second;
  }

  Status parse_rule() {
    const size_t begin = at_;
    const std::string name = parse_name();
    if (name.empty()) {
      return wrong("wanted the name of a rule");
    }
    skip_space(/*lines=*/false);
    if (!text_.substr(at_).starts_with("::=")) {
      return wrong(fmt::format("wanted ::= behind {}", name.substr(0, 60)));
    }
    Rule& rule = rule_named(name);
    if (rule.defined) {
      at_ = begin;
      return wrong(fmt::format("a second rule {}", name.substr(0, 60)));
    }
    rule.defined = true;
    const uint32_t number = rule.number;
    at_ += 3;
    skip_space(/*lines=*/true);
    TUTTI_TRY(const Part body, parse_either(0));
    skip_space(/*lines=*/false);
    if (!done() && peek() != '\n' && peek() != '\r') {
      return wrong(fmt::format("\"{}\" belongs to no rule", shown()));
    }
    syntax_.set_body(number, as_node(body));
    return ok_status();
  }

  std::string shown() const {
    return replace_invalid_utf8(
        text_.substr(at_, std::min<size_t>(text_.find('\n', at_) - at_, 20)));
  }

  NodeId as_node(const Part& part) {
    return part.expr.has_value() ? syntax_.terminal(*part.expr) : part.node;
  }

  Result<Part> parse_either(int depth) {
    if (depth > kMaxDepth) {
      return wrong(fmt::format("groups nested deeper than {}", kMaxDepth));
    }
    std::vector<ExprId> exprs;
    std::vector<NodeId> nodes;
    while (true) {
      TUTTI_TRY(const Part part, parse_sequence(depth));
      if (part.expr.has_value()) {
        exprs.push_back(*part.expr);
      } else {
        nodes.push_back(part.node);
      }
      // A next line may go on with an alternative.
      const size_t end = at_;
      skip_space(/*lines=*/true);
      if (peek() != '|') {
        at_ = end;
        break;
      }
      ++at_;
      skip_space(/*lines=*/true);
    }
    const ExprId expr = pool_.either(exprs);
    if (nodes.empty()) {
      return Part{.expr = expr};
    }
    nodes.push_back(syntax_.terminal(expr));
    return Part{.node = syntax_.choice(nodes)};
  }

  Result<Part> parse_sequence(int depth) {
    std::vector<Part> parts;
    while (true) {
      skip_space(depth > 0);
      // A new rule ends the one before.
      if (done() || std::string_view("|)\n\r").find(peek()) != std::string_view::npos) {
        break;
      }
      TUTTI_TRY(const Part part, parse_term(depth));
      parts.push_back(part);
    }
    std::vector<NodeId> nodes;
    std::vector<ExprId> exprs;
    const auto close = [&] {
      nodes.push_back(syntax_.terminal(pool_.concat(exprs)));
      exprs.clear();
    };
    for (const Part& part : parts) {
      if (part.expr.has_value()) {
        exprs.push_back(*part.expr);
      } else {
        close();
        nodes.push_back(part.node);
      }
    }
    if (nodes.empty()) {
      return Part{.expr = pool_.concat(exprs)};
    }
    close();
    return Part{.node = syntax_.sequence(nodes)};
  }

  Result<Part> parse_term(int depth) {
    TUTTI_TRY(Part part, parse_atom(depth));
    while (true) {
      TUTTI_TRY(const auto counts, parse_counts());
      if (!counts.has_value()) {
        return part;
      }
      if (part.expr.has_value()) {
        part.expr = pool_.repeat(*part.expr, counts->first, counts->second);
      } else {
        part.node = syntax_.repeat(part.node, counts->first, counts->second);
      }
    }
  }

  Result<std::optional<std::pair<uint32_t, uint32_t>>> parse_counts() {
    using Counts = std::optional<std::pair<uint32_t, uint32_t>>;
    const char c = peek();
    if (c == '*' || c == '+' || c == '?') {
      ++at_;
      return c == '*'   ? Counts({0, kUnbounded})
             : c == '+' ? Counts({1, kUnbounded})
                        : Counts({0, 1});
    }
    if (c != '{') {
      return Counts();
    }
    ++at_;
    TUTTI_TRY(const auto min, parse_number());
    std::optional<uint32_t> max = min;
    if (peek() == ',') {
      ++at_;
      skip_space(false);
      max = kUnbounded;
      if (peek() != '}') {
        TUTTI_TRY(max, parse_number());
      }
    }
    if (!min.has_value() || !max.has_value() || peek() != '}' || *min > *max) {
      return wrong("wanted a count: {n}, {n,} or {n,m}");
    }
    ++at_;
    return Counts({*min, *max});
  }

  Result<std::optional<uint32_t>> parse_number() {
    skip_space(false);
    const size_t begin = at_;
    uint64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint64_t>(peek() - '0');
      ++at_;
      if (value > kMaxCount) {
        return wrong(fmt::format("a count above {}", kMaxCount));
      }
    }
    const bool some = at_ > begin;
    skip_space(false);
    return some ? std::optional(static_cast<uint32_t>(value)) : std::optional<uint32_t>();
  }

  Result<Part> parse_atom(int depth) {
    const char c = peek();
    if (c == '"') {
      return parse_literal();
    }
    if (c == '[') {
      return parse_set();
    }
    if (c == '.') {
      ++at_;
      return Part{.expr = one_of(pool_, CharSet::all(), Writing::kPlain)};
    }
    if (c == '(') {
      ++at_;
      skip_space(/*lines=*/true);
      TUTTI_TRY(const Part part, parse_either(depth + 1));
      skip_space(/*lines=*/true);
      if (peek() != ')') {
        return wrong("a ( without its )");
      }
      ++at_;
      return part;
    }
    if (name_char(c)) {
      const size_t begin = at_;
      const std::string name = parse_name();
      const size_t end = at_;
      at_ = begin;
      const uint32_t rule = rule_named(name).number;
      at_ = end;
      return Part{.node = syntax_.rule(rule)};
    }
    return wrong(fmt::format("\"{}\" begins nothing that a rule may hold", shown()));
  }

  Result<Part> parse_literal() {
    std::string bytes;
    ++at_;
    while (peek() != '"') {
      if (done() || peek() == '\n') {
        return wrong("a \" without its other one on the same line");
      }
      TUTTI_TRY(const char32_t code, parse_char());
      append_utf8(bytes, code);
    }
    ++at_;
    return Part{.expr = pool_.literal(bytes)};
  }

  Result<Part> parse_set() {
    ++at_;
    const bool inverted = peek() == '^';
    at_ += inverted ? 1 : 0;
    std::vector<CharSet::Range> ranges;
    while (peek() != ']') {
      if (done()) {
        return wrong("a [ without its ]");
      }
      TUTTI_TRY(const char32_t first, parse_char());
      char32_t last = first;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        TUTTI_TRY(last, parse_char());
      }
      if (first > last) {
        return wrong("a range that ends before it begins");
      }
      ranges.push_back({first, last});
    }
    ++at_;
    const CharSet set(std::move(ranges));
    return Part{.expr = one_of(pool_, inverted ? set.complement() : set, Writing::kPlain)};
  }

  Result<char32_t> parse_char() {
    if (peek() == '\\') {
      ++at_;
      return parse_escape();
    }
    const Utf8Char c = decode_utf8(text_, at_);
    if (!c.valid) {
      return wrong("no valid UTF-8");
    }
    at_ += static_cast<size_t>(c.length);
    return c.code;
  }

  Result<char32_t> parse_escape() {
    const char c = peek();
    constexpr std::string_view kNames = "tnr\"\\[]-^";
    constexpr std::string_view kCodes = "\t\n\r\"\\[]-^";
    if (const size_t known = kNames.find(c); c != '\0' && known != std::string_view::npos) {
      ++at_;
      return static_cast<char32_t>(kCodes[known]);
    }
    const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    char32_t value = 0;
    for (size_t i = 1; i <= count; ++i) {
      const char digit = peek(i);
      const int number = digit >= '0' && digit <= '9'   ? digit - '0'
                         : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                         : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                        : -1;
      if (number < 0) {
        return wrong(fmt::format("\\{} wants {} hexadecimal digits", c, count));
      }
      value = value * 16 + static_cast<char32_t>(number);
    }
    if (count == 0) {
      return wrong(
          "no such escape; there are \\t \\n \\r \\\" \\\\ \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH");
    }
    if (value > kMaxChar || (value >= 0xD800 && value <= 0xDFFF)) {
      return wrong("no character has this code");
    }
    at_ += count + 1;
    return value;
  }

  const std::string_view text_;
  Syntax& syntax_;
  RegexPool& pool_;
  size_t at_ = 0;
  std::map<std::string, Rule> rules_;
};

}  // namespace

Status compile_gbnf(std::string_view text, Syntax& out) {
  return GbnfParser(text, out).parse();
}

}  // namespace tutti::grammar
