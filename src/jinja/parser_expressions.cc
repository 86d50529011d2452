#include <algorithm>
#include <charconv>

#include "jinja/parser.h"

namespace tutti::jinja {

bool Parser::at_tuple_end(const TupleRules& rules) const {
  return current_.type == TokenType::kVariableEnd || current_.type == TokenType::kBlockEnd ||
         current_.is_op(")") || (!rules.end_name.empty() && current_.is_name(rules.end_name));
}

ExprPtr Parser::parse_tuple(const TupleRules& rules) {
  const int line = current_.line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) {
      expect_op(",");
    }
    if (at_tuple_end(rules)) {
      break;
    }
    items.push_back(rules.only_primary ? parse_primary() : parse_expression(rules.conditional));
    if (!current_.is_op(",")) {
      break;
    }
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) {
      return std::move(items[0]);
    }
    if (!rules.parenthesized) {
      fail_here(fmt::format("expected an expression, got {}", describe(current_)));
    }
  }
  ExprPtr tuple = node(ExprKind::kTuple, line);
  tuple->children = std::move(items);
  return finish(std::move(tuple));
}

ExprPtr Parser::parse_expression(bool conditional) {
  const DepthGuard guard(*this);
  return conditional ? parse_conditional() : parse_or();
}

ExprPtr Parser::parse_conditional() {
  int line = current_.line;
  ExprPtr expr = parse_or();
  while (skip_name("if")) {
    ExprPtr cond = node(ExprKind::kCond, line);
    cond->children.push_back(parse_or());
    cond->children.push_back(std::move(expr));
    cond->children.push_back(skip_name("else") ? parse_expression() : nullptr);
    expr = finish(std::move(cond));
    line = current_.line;
  }
  return expr;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (current_.is_name("or")) {
    const int line = take().line;
    left = node(ExprKind::kOr, line, std::move(left), parse_and());
  }
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (current_.is_name("and")) {
    const int line = take().line;
    left = node(ExprKind::kAnd, line, std::move(left), parse_not());
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!current_.is_name("not")) {
    return parse_compare();
  }
  const DepthGuard guard(*this);
  const int line = take().line;
  return node(ExprKind::kNot, line, parse_not());
}

ExprPtr Parser::parse_compare() {
  struct Comparison {
    std::string_view text;
    Op op;
  };

  static constexpr Comparison kComparisons[] = {{"==", Op::kEq},
                                                {"!=", Op::kNe},
                                                {"<", Op::kLt},
                                                {"<=", Op::kLe},
                                                {">", Op::kGt},
                                                {">=", Op::kGe}};
  const int line = current_.line;
  ExprPtr first = parse_sum();
  ExprPtr compare;
  const auto add = [&](Op op) {
    if (!compare) {
      compare = node(ExprKind::kCompare, line);
      compare->children.push_back(std::move(first));
    }
    compare->ops.push_back(op);
    compare->children.push_back(parse_sum());
  };
  while (true) {
    const auto* const found =
        std::find_if(std::begin(kComparisons), std::end(kComparisons), [&](const Comparison& c) {
          return current_.is_op(c.text);
        });
    if (found != std::end(kComparisons)) {
      take();
      add(found->op);
    } else if (skip_name("in")) {
      add(Op::kIn);
    } else if (current_.is_name("not") && look().is_name("in")) {
      take();
      take();
      add(Op::kNotIn);
    } else {
      return compare ? finish(std::move(compare)) : std::move(first);
    }
  }
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (current_.is_op("+") || current_.is_op("-")) {
    const Token op = take();
    left = node(ExprKind::kBinary, op.line, std::move(left), parse_concat());
    left->op = op.text == "+" ? Op::kAdd : Op::kSub;
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  ExprPtr first = parse_product();
  if (!current_.is_op("~")) {
    return first;
  }
  ExprPtr concat = node(ExprKind::kConcat, current_.line);
  concat->children.push_back(std::move(first));
  while (skip_op("~")) {
    concat->children.push_back(parse_product());
  }
  return finish(std::move(concat));
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (current_.is_op("*") || current_.is_op("/") || current_.is_op("//") ||
         current_.is_op("%")) {
    const Token op = take();
    left = node(ExprKind::kBinary, op.line, std::move(left), parse_power());
    left->op = op.text == "*"   ? Op::kMul
               : op.text == "/" ? Op::kDiv
               : op.text == "%" ? Op::kMod
                                : Op::kFloorDiv;
  }
  return left;
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary();
  while (current_.is_op("**")) {
    const int line = take().line;
    left = node(ExprKind::kBinary, line, std::move(left), parse_unary());
    left->op = Op::kPow;
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  ExprPtr expr;
  if (current_.is_op("-") || current_.is_op("+")) {
    const DepthGuard guard(*this);
    const Token sign = take();
    expr = node(sign.text == "-" ? ExprKind::kNeg : ExprKind::kPos, sign.line, parse_unary(false));
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filter ? parse_filter_chain(std::move(expr)) : std::move(expr);
}

void Parser::note_use(std::string_view name) {
  for (Macro* macro : macros_) {
    macro->uses_caller = macro->uses_caller || name == "caller";
    macro->uses_varargs = macro->uses_varargs || name == "varargs";
    macro->uses_kwargs = macro->uses_kwargs || name == "kwargs";
  }
}

ExprPtr Parser::parse_primary() {
  if (current_.is_op("(")) {
    take();
    ExprPtr expr = parse_tuple({.parenthesized = true});
    expect_op(")");
    return expr;
  }
  if (current_.is_op("[")) {
    return parse_list();
  }
  if (current_.is_op("{")) {
    return parse_dict();
  }
  if (current_.type != TokenType::kName ||
      at_name({"true", "True", "false", "False", "none", "None"})) {
    return parse_literal();
  }
  const Token name = take();
  ExprPtr expr = node(ExprKind::kName, name.line);
  expr->name = intern(name.text);
  note_use(name.text);
  return expr;
}

ExprPtr Parser::parse_literal() {
  ExprPtr expr = node(ExprKind::kConst, current_.line);
  std::string digits;
  if (current_.type == TokenType::kName) {
    const Token name = take();
    if (name.text == "none" || name.text == "None") {
      expr->constant = None{};
    } else {
      expr->constant = name.text == "true" || name.text == "True";
    }
  } else if (current_.type == TokenType::kString) {
    std::string text;
    while (current_.type == TokenType::kString) {
      text += Lexer::unescape(take());
    }
    expr->constant = Str::literal(std::move(text));
  } else if (current_.type == TokenType::kInteger || current_.type == TokenType::kFloat) {
    const Token number = take();
    std::copy_if(number.text.begin(), number.text.end(), std::back_inserter(digits), [](char c) {
      return c != '_';
    });
    const char* begin = digits.data();
    const char* const end = begin + digits.size();
    std::errc code{};
    if (number.type == TokenType::kFloat) {
      double value = 0;
      code = std::from_chars(begin, end, value).ec;
      expr->constant = value;
    } else {
      const char kind = digits.size() > 2 ? static_cast<char>(digits[1] | 0x20) : '\0';
      const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
      int64_t value = 0;
      code = std::from_chars(begin + (base == 10 ? 0 : 2), end, value, base).ec;
      expr->constant = value;
    }
    if (code != std::errc()) {
      fail_here("a number does not fit 64 bits");
    }
  } else {
    fail_here(fmt::format("expected an expression, got {}", describe(current_)));
  }
  return expr;
}

ExprPtr Parser::parse_list() {
  ExprPtr list = node(ExprKind::kList, take().line);
  while (!current_.is_op("]")) {
    if (!list->children.empty()) {
      expect_op(",");
      if (current_.is_op("]")) {
        break;
      }
    }
    list->children.push_back(parse_expression());
  }
  take();
  return finish(std::move(list));
}

ExprPtr Parser::parse_dict() {
  ExprPtr dict = node(ExprKind::kDict, take().line);
  while (!current_.is_op("}")) {
    if (!dict->children.empty()) {
      expect_op(",");
      if (current_.is_op("}")) {
        break;
      }
    }
    dict->children.push_back(parse_expression());
    expect_op(":");
    dict->children.push_back(parse_expression());
  }
  take();
  return finish(std::move(dict));
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (current_.is_op(".")) {
      expr = parse_attribute(std::move(expr));
    } else if (current_.is_op("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (current_.is_op("(")) {
      expr = parse_call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_filter_chain(ExprPtr expr) {
  while (true) {
    if (current_.is_op("|")) {
      expr = parse_filters(std::move(expr), false);
    } else if (current_.is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (current_.is_op("(")) {
      expr = parse_call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_attribute(ExprPtr expr) {
  const int line = take().line;
  if (current_.type == TokenType::kInteger) {
    return node(ExprKind::kGetitem, line, std::move(expr), parse_literal());
  }
  ExprPtr attribute = node(ExprKind::kGetattr, line, std::move(expr));
  attribute->text = std::string(expect(TokenType::kName, "an attribute name").text);
  return attribute;
}

ExprPtr Parser::parse_subscript(ExprPtr expr) {
  const int line = take().line;
  std::vector<ExprPtr> keys;
  while (!current_.is_op("]")) {
    if (!keys.empty()) {
      expect_op(",");
    }
    keys.push_back(parse_index());
  }
  take();
  if (keys.size() == 1) {
    const Str* name = keys[0]->kind == ExprKind::kConst ? keys[0]->constant.str() : nullptr;
    ExprPtr item = node(ExprKind::kGetitem, line, std::move(expr), std::move(keys[0]));
    item->text = name != nullptr ? std::string(name->view()) : std::string();
    return item;
  }
  ExprPtr tuple = node(ExprKind::kTuple, line);
  tuple->children = std::move(keys);
  for (const ExprPtr& key : tuple->children) {
    if (key->kind == ExprKind::kSlice) {
      fail_here("a slice cannot be part of a tuple index");
    }
  }
  return node(ExprKind::kGetitem, line, std::move(expr), finish(std::move(tuple)));
}

ExprPtr Parser::parse_index() {
  const int line = current_.line;
  ExprPtr start;
  if (!current_.is_op(":")) {
    start = parse_expression();
    if (!current_.is_op(":")) {
      return start;
    }
  }
  take();
  const auto at_end = [&] { return current_.is_op("]") || current_.is_op(","); };
  ExprPtr slice = node(ExprKind::kSlice, line);
  slice->children.push_back(std::move(start));
  slice->children.push_back(at_end() || current_.is_op(":") ? nullptr : parse_expression());
  slice->children.push_back(skip_op(":") && !at_end() ? parse_expression() : nullptr);
  return finish(std::move(slice));
}

std::unique_ptr<Arguments> Parser::parse_arguments() {
  auto arguments = std::make_unique<Arguments>();
  expect_op("(");
  bool first = true;
  while (!current_.is_op(")")) {
    if (!first) {
      expect_op(",");
      if (current_.is_op(")")) {
        break;
      }
    }
    first = false;
    const bool keyword = current_.type == TokenType::kName && look().is_op("=");
    const bool positional = !keyword && !current_.is_op("*") && !current_.is_op("**");
    if (arguments->star_star || (arguments->star && !keyword && !current_.is_op("**")) ||
        (positional && !arguments->keyword.empty())) {
      fail_here("arguments of a call are out of order");
    }
    if (skip_op("*")) {
      arguments->star = parse_expression();
    } else if (skip_op("**")) {
      arguments->star_star = parse_expression();
    } else if (keyword) {
      std::string key(take().text);
      take();
      arguments->keyword.emplace_back(std::move(key), parse_expression());
    } else {
      arguments->positional.push_back(parse_expression());
    }
  }
  take();
  return arguments;
}

ExprPtr Parser::parse_call(ExprPtr expr) {
  ExprPtr call = node(ExprKind::kCall, current_.line, std::move(expr));
  call->arguments = parse_arguments();
  return finish(std::move(call));
}

// A dot after the name of a filter or test belongs to the name: x|trim.upper() names no filter.
void Parser::take_dotted_name(std::string& name) {
  while (skip_op(".")) {
    name += ".";
    name += expect(TokenType::kName, "a name").text;
  }
}

ExprPtr Parser::parse_filters(ExprPtr expr, bool inline_start) {
  while (inline_start || current_.is_op("|")) {
    if (!inline_start) {
      take();
    }
    inline_start = false;
    const Token name = expect(TokenType::kName, "a filter name");
    ExprPtr filter = node(ExprKind::kFilter, name.line);
    filter->text = std::string(name.text);
    take_dotted_name(filter->text);
    filter->children.push_back(std::move(expr));
    if (current_.is_op("(")) {
      filter->arguments = parse_arguments();
    }
    expr = finish(std::move(filter));
  }
  return expr;
}

ExprPtr Parser::parse_test(ExprPtr expr) {
  const int line = take().line;
  const bool negated = skip_name("not");
  ExprPtr test = node(ExprKind::kTest, line);
  test->text = std::string(expect(TokenType::kName, "a test name").text);
  take_dotted_name(test->text);
  test->children.push_back(std::move(expr));
  const bool value_follows =
      current_.type == TokenType::kString || current_.type == TokenType::kInteger ||
      current_.type == TokenType::kFloat || current_.is_op("[") || current_.is_op("{");
  if (current_.is_op("(")) {
    test->arguments = parse_arguments();
  } else if (value_follows ||
             (current_.type == TokenType::kName && !at_name({"else", "or", "and"}))) {
    if (current_.is_name("is")) {
      fail_here("tests cannot be chained with 'is'");
    }
    const DepthGuard guard(*this);
    test->arguments = std::make_unique<Arguments>();
    test->arguments->positional.push_back(parse_postfix(parse_primary()));
  }
  test = finish(std::move(test));
  return negated ? node(ExprKind::kNot, line, std::move(test)) : std::move(test);
}

}  // namespace tutti::jinja
