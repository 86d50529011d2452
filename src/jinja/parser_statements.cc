#include <algorithm>

#include "base/utf8.h"
#include "jinja/parser.h"

namespace tutti::jinja {

Parser::Parser(std::string_view source, const Limits& limits, Program& program)
    : lexer_(source), limits_(limits), program_(program) {
  program_.loop_name = intern("loop");
  program_.caller_name = intern("caller");
  program_.varargs_name = intern("varargs");
  program_.kwargs_name = intern("kwargs");
  current_ = lexer_.next();
}

void Parser::parse() {
  program_.body.statements = parse_until({});
}

std::unique_ptr<Program> parse_program(std::string_view source, const Limits& limits) {
  auto program = std::make_unique<Program>();
  Parser(source, limits, *program).parse();
  check_names(*program);
  analyze_scopes(*program);
  return program;
}

Token Parser::take() {
  const Token taken = current_;
  if (ahead_) {
    current_ = *ahead_;
    ahead_.reset();
  } else {
    current_ = lexer_.next();
  }
  return taken;
}

const Token& Parser::look() {
  if (!ahead_) {
    ahead_ = std::make_unique<Token>(lexer_.next());
  }
  return *ahead_;
}

std::string Parser::describe(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "template text";
    case TokenType::kBlockBegin:
      return "'{%'";
    case TokenType::kBlockEnd:
      return "'%}'";
    case TokenType::kVariableBegin:
      return "'{{'";
    case TokenType::kVariableEnd:
      return "'}}'";
    case TokenType::kEnd:
      return "the end of the template";
    default:
      // A token can be as long as the template.
      return fmt::format("'{}'", replace_invalid_utf8(token.text.substr(0, 40)));
  }
}

void Parser::fail_here(const std::string& what) const {
  throw TemplateError{StatusCode::kInvalidArgument, what, current_.line};
}

bool Parser::skip_op(std::string_view op) {
  if (!current_.is_op(op)) {
    return false;
  }
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current_.is_name(name)) {
    return false;
  }
  take();
  return true;
}

Token Parser::expect(TokenType type, const char* what) {
  if (current_.type != type) {
    fail_here(fmt::format("expected {}, got {}", what, describe(current_)));
  }
  return take();
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) {
    fail_here(fmt::format("expected '{}', got {}", op, describe(current_)));
  }
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) {
    fail_here(fmt::format("expected '{}', got {}", name, describe(current_)));
  }
}

bool Parser::at_name(Names names) const {
  return current_.type == TokenType::kName &&
         std::find(names.begin(), names.end(), current_.text) != names.end();
}

NameId Parser::intern(std::string_view name) {
  const auto [it, inserted] =
      ids_.emplace(std::string(name), static_cast<NameId>(program_.names.size()));
  if (inserted) {
    program_.names.emplace_back(name);
  }
  return it->second;
}

ExprPtr Parser::node(ExprKind kind, int line) {
  if (++nodes_ > limits_.max_nodes) {
    fail_here(
        fmt::format("the template has more than {} expressions and statements", limits_.max_nodes));
  }
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

ExprPtr Parser::node(ExprKind kind, int line, ExprPtr a, ExprPtr b) {
  ExprPtr expr = node(kind, line);
  expr->children.push_back(std::move(a));
  if (b) {
    expr->children.push_back(std::move(b));
  }
  return finish(std::move(expr));
}

// Chains such as a|f|f|f… are parsed by loops: their depth is counted here.
ExprPtr Parser::finish(ExprPtr expr) {
  const auto deepen = [&](const ExprPtr& child) {
    if (child) {
      expr->depth = std::max(expr->depth, child->depth + 1);
    }
  };
  std::for_each(expr->children.begin(), expr->children.end(), deepen);
  if (expr->arguments) {
    std::for_each(expr->arguments->positional.begin(), expr->arguments->positional.end(), deepen);
    for (const auto& [key, value] : expr->arguments->keyword) {
      deepen(value);
    }
    deepen(expr->arguments->star);
    deepen(expr->arguments->star_star);
  }
  if (expr->depth > limits_.max_depth) {
    fail_here(fmt::format("an expression is nested deeper than the limit of {} levels",
                          limits_.max_depth));
  }
  return expr;
}

StmtPtr Parser::statement_node(StmtKind kind, int line) {
  if (++nodes_ > limits_.max_nodes) {
    fail_here(
        fmt::format("the template has more than {} expressions and statements", limits_.max_nodes));
  }
  auto stmt = std::make_unique<Stmt>();
  stmt->kind = kind;
  stmt->line = line;
  return stmt;
}

std::vector<StmtPtr> Parser::parse_until(Names ends) {
  std::vector<StmtPtr> statements;
  StmtPtr output;
  const auto add_output = [&](ExprPtr expr) {
    if (!output) {
      output = statement_node(StmtKind::kOutput, expr->line);
    }
    output->exprs.push_back(std::move(expr));
  };
  while (current_.type != TokenType::kEnd) {
    const Token token = take();
    if (token.type == TokenType::kData) {
      ExprPtr text = node(ExprKind::kConst, token.line);
      text->constant = Str::literal(std::string(token.text));
      add_output(std::move(text));
    } else if (token.type == TokenType::kVariableBegin) {
      add_output(parse_tuple({}));
      expect(TokenType::kVariableEnd, "'}}'");
    } else {
      if (output) {
        statements.push_back(std::move(output));
      }
      if (at_name(ends)) {
        return statements;
      }
      statements.push_back(parse_statement());
      expect(TokenType::kBlockEnd, "'%}'");
    }
  }
  if (ends.size() > 0) {
    fail_here(fmt::format("unexpected end of the template, expected '{}'",
                          fmt::join(ends.begin(), ends.end(), "' or '")));
  }
  if (output) {
    statements.push_back(std::move(output));
  }
  return statements;
}

std::vector<StmtPtr> Parser::parse_block(Names ends) {
  skip_op(":");
  expect(TokenType::kBlockEnd, "'%}'");
  return parse_until(ends);
}

StmtPtr Parser::parse_statement() {
  const DepthGuard guard(*this);
  if (current_.type != TokenType::kName) {
    fail_here(fmt::format("expected a tag name, got {}", describe(current_)));
  }

  struct Tag {
    std::string_view name;
    StmtPtr (Parser::*parse)();
  };

  static constexpr Tag kTags[] = {
      {"if", &Parser::parse_if},
      {"for", &Parser::parse_for},
      {"set", &Parser::parse_set},
      {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block},
      {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with},
      {"generation", &Parser::parse_with},
      {"block", &Parser::parse_named_block},
      {"print", &Parser::parse_print},
      {"break", &Parser::parse_loop_control},
      {"continue", &Parser::parse_loop_control},
  };
  for (const Tag& tag : kTags) {
    if (current_.text == tag.name) {
      return (this->*tag.parse)();
    }
  }
  if (at_name({"include", "import", "from", "extends", "autoescape", "do"})) {
    fail_here(fmt::format("the tag '{}' is not available in chat templates", current_.text));
  }
  fail_here(fmt::format("unknown tag {}", describe(current_)));
}

StmtPtr Parser::parse_if() {
  StmtPtr stmt = statement_node(StmtKind::kIf, take().line);
  while (true) {
    Branch branch;
    branch.test = parse_tuple({.conditional = false});
    branch.statements = parse_block({"elif", "else", "endif"});
    stmt->branches.push_back(std::move(branch));
    const Token end = take();
    if (end.text == "elif") {
      continue;
    }
    if (end.text == "else") {
      stmt->otherwise.statements = parse_block({"endif"});
      take();
    }
    return stmt;
  }
}

StmtPtr Parser::parse_for() {
  StmtPtr stmt = statement_node(StmtKind::kFor, take().line);
  stmt->target = parse_target("in");
  expect_name("in");
  stmt->exprs.push_back(parse_tuple({.conditional = false, .end_name = "recursive"}));
  if (skip_name("if")) {
    stmt->exprs.push_back(parse_expression());
  }
  stmt->recursive = skip_name("recursive");
  ++loops_;
  stmt->body.statements = parse_block({"endfor", "else"});
  --loops_;
  if (take().text == "else") {
    stmt->otherwise.statements = parse_block({"endfor"});
    take();
  }
  return stmt;
}

StmtPtr Parser::parse_set() {
  const int line = take().line;
  ExprPtr target;
  if (current_.type == TokenType::kName && look().is_op(".")) {
    target = node(ExprKind::kNamespaceRef, line);
    target->name = intern(take().text);
    take();
    target->text = std::string(expect(TokenType::kName, "an attribute name").text);
  } else {
    target = parse_target({});
  }
  if (skip_op("=")) {
    StmtPtr stmt = statement_node(StmtKind::kSet, line);
    stmt->target = std::move(target);
    stmt->exprs.push_back(parse_tuple({}));
    return stmt;
  }
  StmtPtr stmt = statement_node(StmtKind::kSetBlock, line);
  stmt->target = std::move(target);
  stmt->exprs.push_back(parse_filters(nullptr, false));
  stmt->body.statements = parse_block({"endset"});
  take();
  return stmt;
}

void Parser::parse_signature(Macro& macro) {
  expect_op("(");
  while (!current_.is_op(")")) {
    if (!macro.parameters.empty()) {
      expect_op(",");
    }
    macro.parameters.push_back(intern(expect(TokenType::kName, "a parameter name").text));
    if (skip_op("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      fail_here("a parameter without a default follows one with a default");
    }
  }
  expect_op(")");
}

// A parameter of one of the special names is an ordinary parameter.
void Parser::end_scope_of_macro(Macro& macro) {
  const auto has = [&](NameId id) {
    return std::find(macro.parameters.begin(), macro.parameters.end(), id) !=
           macro.parameters.end();
  };
  macro.uses_caller = macro.uses_caller && !has(program_.caller_name);
  macro.uses_varargs = macro.uses_varargs && !has(program_.varargs_name);
  macro.uses_kwargs = macro.uses_kwargs && !has(program_.kwargs_name);
}

StmtPtr Parser::parse_macro() {
  StmtPtr stmt = statement_node(StmtKind::kMacro, take().line);
  stmt->macro = std::make_unique<Macro>();
  const Token name = expect(TokenType::kName, "a macro name");
  stmt->name = intern(name.text);
  stmt->macro->name = std::string(name.text);
  parse_signature(*stmt->macro);
  macros_.push_back(stmt->macro.get());
  const int outer_loops = std::exchange(loops_, 0);
  stmt->macro->body.statements = parse_block({"endmacro"});
  loops_ = outer_loops;
  macros_.pop_back();
  end_scope_of_macro(*stmt->macro);
  take();
  return stmt;
}

StmtPtr Parser::parse_call_block() {
  StmtPtr stmt = statement_node(StmtKind::kCall, take().line);
  stmt->macro = std::make_unique<Macro>();
  stmt->macro->name = "caller";
  stmt->macro->anonymous = true;
  if (current_.is_op("(")) {
    parse_signature(*stmt->macro);
  }
  stmt->exprs.push_back(parse_expression());
  if (stmt->exprs[0]->kind != ExprKind::kCall) {
    fail_here("a call block needs a call, as in {% call name(...) %}");
  }
  macros_.push_back(stmt->macro.get());
  const int outer_loops = std::exchange(loops_, 0);
  stmt->macro->body.statements = parse_block({"endcall"});
  loops_ = outer_loops;
  macros_.pop_back();
  end_scope_of_macro(*stmt->macro);
  take();
  return stmt;
}

StmtPtr Parser::parse_filter_block() {
  StmtPtr stmt = statement_node(StmtKind::kFilterBlock, take().line);
  stmt->exprs.push_back(parse_filters(nullptr, true));
  stmt->body.statements = parse_block({"endfilter"});
  take();
  return stmt;
}

// {% with a = 1, b = 2 %} and {% generation %}: a scope of their own.
StmtPtr Parser::parse_with() {
  const Token tag = take();
  if (tag.text == "generation") {
    StmtPtr stmt = statement_node(StmtKind::kScope, tag.line);
    stmt->body.statements = parse_block({"endgeneration"});
    take();
    return stmt;
  }
  StmtPtr stmt = statement_node(StmtKind::kWith, tag.line);
  while (current_.type != TokenType::kBlockEnd) {
    if (!stmt->targets.empty()) {
      expect_op(",");
    }
    stmt->targets.push_back(parse_target({}));
    expect_op("=");
    stmt->exprs.push_back(parse_expression());
  }
  stmt->body.statements = parse_block({"endwith"});
  take();
  return stmt;
}

// {% block name %}: without inheritance it is only printed where it stands.
StmtPtr Parser::parse_named_block() {
  const int line = take().line;
  const std::string_view name = expect(TokenType::kName, "a block name").text;
  if (std::find(blocks_.begin(), blocks_.end(), name) != blocks_.end()) {
    fail_here(fmt::format("the block '{}' is defined twice", name));
  }
  constexpr size_t kMaxBlocks = 1000;
  if (blocks_.size() >= kMaxBlocks) {
    fail_here(fmt::format("more than {} blocks", kMaxBlocks));
  }
  blocks_.push_back(name);
  StmtPtr stmt = statement_node(skip_name("scoped") ? StmtKind::kScope : StmtKind::kBlock, line);
  if (at_name({"required"})) {
    fail_here("a required block needs a template that extends this one");
  }
  const int outer_loops = std::exchange(loops_, 0);
  stmt->body.statements = parse_block({"endblock"});
  loops_ = outer_loops;
  take();
  skip_name(name);
  return stmt;
}

StmtPtr Parser::parse_print() {
  StmtPtr stmt = statement_node(StmtKind::kOutput, take().line);
  while (current_.type != TokenType::kBlockEnd) {
    if (!stmt->exprs.empty()) {
      expect_op(",");
    }
    stmt->exprs.push_back(parse_expression());
  }
  return stmt;
}

StmtPtr Parser::parse_loop_control() {
  if (loops_ == 0) {
    fail_here(fmt::format("'{}' outside of a loop", current_.text));
  }
  const Token token = take();
  return statement_node(token.text == "break" ? StmtKind::kBreak : StmtKind::kContinue, token.line);
}

ExprPtr Parser::parse_target(std::string_view end_name) {
  return as_target(parse_tuple({.only_primary = true, .end_name = end_name}));
}

ExprPtr Parser::as_target(ExprPtr expr) {
  if (expr->kind == ExprKind::kTuple) {
    for (ExprPtr& child : expr->children) {
      child = as_target(std::move(child));
    }
  } else if (expr->kind != ExprKind::kName) {
    fail_here(
        "cannot assign to this expression; a name or names separated by commas were expected");
  }
  return expr;
}

}  // namespace tutti::jinja
