// Does a template go through a sequence of that name and read that attribute of its items?
#include "jinja/ast.h"

namespace tutti::jinja {

namespace {

bool is_text(const Expr& expr, std::string_view text) {
  return expr.kind == ExprKind::kConst && expr.constant.str() != nullptr &&
         expr.constant.str()->view() == text;
}

class LoopSearch {
 public:
  LoopSearch(const Program& program, std::string_view sequence, std::string_view attribute)
      : program_(program), sequence_(sequence), attribute_(attribute) {}

  bool any(const std::vector<StmtPtr>& statements) {
    for (const StmtPtr& stmt : statements) {
      if (any(*stmt)) {
        return true;
      }
    }
    return false;
  }

 private:
  bool any(const Stmt& stmt) {
    const bool own_loop = stmt.kind == StmtKind::kFor && stmt.target->kind == ExprKind::kName &&
                          is_sequence(*stmt.exprs[0]);
    const NameId outer = item_;
    if (own_loop) {
      item_ = stmt.target->name;
    }
    bool found = any_expr(stmt.exprs) || any(stmt.body.statements);
    item_ = outer;
    found = found || any(stmt.otherwise.statements) ||
            (stmt.macro != nullptr && any(stmt.macro->body.statements));
    for (const Branch& branch : stmt.branches) {
      found = found || reads(branch.test) || any(branch.statements);
    }
    return found;
  }

  // Filters such as content|list keep it the same sequence.
  bool is_sequence(const Expr& expr) const {
    switch (expr.kind) {
      case ExprKind::kName:
        return program_.names[static_cast<size_t>(expr.name)] == sequence_;
      case ExprKind::kGetattr:
        return expr.text == sequence_;
      case ExprKind::kGetitem:
        return is_text(*expr.children[1], sequence_);
      case ExprKind::kFilter:
        return expr.children[0] != nullptr && is_sequence(*expr.children[0]);
      default:
        return false;
    }
  }

  bool is_item(const ExprPtr& expr) const {
    return item_ >= 0 && expr->kind == ExprKind::kName && expr->name == item_;
  }

  bool is_get_of_item(const Expr& callee) const {
    return callee.kind == ExprKind::kGetattr && callee.text == "get" && is_item(callee.children[0]);
  }

  bool any_expr(const std::vector<ExprPtr>& exprs) const {
    for (const ExprPtr& expr : exprs) {
      if (reads(expr)) {
        return true;
      }
    }
    return false;
  }

  // item.attribute, item['attribute'], item.get('attribute') anywhere in the expression.
  bool reads(const ExprPtr& expr) const {
    if (!expr) {
      return false;
    }
    if (expr->kind == ExprKind::kGetattr && is_item(expr->children[0]) &&
        expr->text == attribute_) {
      return true;
    }
    if (expr->kind == ExprKind::kGetitem && is_item(expr->children[0]) &&
        is_text(*expr->children[1], attribute_)) {
      return true;
    }
    if (expr->arguments) {
      const std::vector<ExprPtr>& positional = expr->arguments->positional;
      if (expr->kind == ExprKind::kCall && is_get_of_item(*expr->children[0]) &&
          !positional.empty() && is_text(*positional[0], attribute_)) {
        return true;
      }
      for (const auto& [name, value] : expr->arguments->keyword) {
        if (reads(value)) {
          return true;
        }
      }
      if (any_expr(positional)) {
        return true;
      }
    }
    return any_expr(expr->children);
  }

  const Program& program_;
  std::string_view sequence_;
  std::string_view attribute_;
  NameId item_ = -1;
};

}  // namespace

bool loop_reads(const Program& program, std::string_view sequence, std::string_view attribute) {
  return LoopSearch(program, sequence, attribute).any(program.body.statements);
}

}  // namespace tutti::jinja
