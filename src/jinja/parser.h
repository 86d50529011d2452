// Recursive-descent parser with the grammar of Jinja2's parser.py (version 3.1).
#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace tutti::jinja {

class Parser {
 public:
  /// `source` is normalized text that must outlive the parser.
  Parser(std::string_view source, const Limits& limits, Program& program);

  void parse();

 private:
  using Names = std::initializer_list<std::string_view>;

  class DepthGuard;

  // Tokens.
  Token take();
  const Token& look();
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  Token expect(TokenType type, const char* what);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  bool at_name(Names names) const;
  static std::string describe(const Token& token);
  [[noreturn]] void fail_here(const std::string& what) const;
  NameId intern(std::string_view name);

  // Nodes.
  ExprPtr node(ExprKind kind, int line);
  ExprPtr node(ExprKind kind, int line, ExprPtr a, ExprPtr b = nullptr);
  ExprPtr finish(ExprPtr expr);
  StmtPtr statement_node(StmtKind kind, int line);

  // Statements (parser_statements.cc).
  std::vector<StmtPtr> parse_until(Names ends);
  std::vector<StmtPtr> parse_block(Names ends);
  StmtPtr parse_statement();
  StmtPtr parse_if();
  StmtPtr parse_for();
  StmtPtr parse_set();
  StmtPtr parse_macro();
  StmtPtr parse_call_block();
  StmtPtr parse_filter_block();
  StmtPtr parse_with();
  StmtPtr parse_named_block();
  StmtPtr parse_print();
  StmtPtr parse_loop_control();
  void parse_signature(Macro& macro);
  ExprPtr parse_target(std::string_view end_name);
  ExprPtr as_target(ExprPtr expr);
  void end_scope_of_macro(Macro& macro);

  // Expressions (parser_expressions.cc).
  struct TupleRules {
    bool conditional = true;         ///< allow `a if b else c`
    bool only_primary = false;       ///< names and literals: assignment targets
    bool parenthesized = false;      ///< () is a tuple
    std::string_view end_name = {};  ///< this name also ends it
  };

  ExprPtr parse_tuple(const TupleRules& rules);
  bool at_tuple_end(const TupleRules& rules) const;
  ExprPtr parse_expression(bool conditional = true);
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter = true);
  ExprPtr parse_primary();
  ExprPtr parse_literal();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filter_chain(ExprPtr expr);
  ExprPtr parse_attribute(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr expr);
  ExprPtr parse_index();
  ExprPtr parse_call(ExprPtr expr);
  ExprPtr parse_filters(ExprPtr expr, bool inline_start);
  ExprPtr parse_test(ExprPtr expr);
  std::unique_ptr<Arguments> parse_arguments();
  void note_use(std::string_view name);
  void take_dotted_name(std::string& name);

  Lexer lexer_;
  const Limits& limits_;
  Program& program_;
  Token current_;
  std::unique_ptr<Token> ahead_;
  std::unordered_map<std::string, NameId> ids_;
  std::vector<Macro*> macros_;            // enclosing macros, innermost last
  std::vector<std::string_view> blocks_;  // names of {% block %}
  int depth_ = 0;
  int loops_ = 0;  // enclosing loops of the innermost macro
  int64_t nodes_ = 0;
};

class Parser::DepthGuard {
 public:
  explicit DepthGuard(Parser& parser) : parser_(parser) {
    if (++parser_.depth_ > parser_.limits_.max_depth) {
      --parser_.depth_;
      parser_.fail_here(
          fmt::format("nested deeper than the limit of {} levels", parser_.limits_.max_depth));
    }
  }

  ~DepthGuard() { --parser_.depth_; }

  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Parser& parser_;
};

}  // namespace tutti::jinja
