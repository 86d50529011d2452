// Refuses filters and tests that nobody knows when a template is parsed, where Jinja2's compiler
// does: everywhere but in the parts of an if, which may ask for what is not there. A scope inside
// an if (a loop, a macro, a block assignment) is as strict as one outside.
#include <algorithm>
#include <optional>

#include "jinja/ast.h"
#include "jinja/interpreter.h"

namespace tutti::jinja {

namespace {

// Filters that Jinja2 has and this engine has not: an error only where one runs. All of its tests
// are here.
constexpr std::string_view kOtherFilters[] = {"filesizeformat",
                                              "pprint",
                                              "random",
                                              "striptags",
                                              "urlencode",
                                              "urlize",
                                              "wordwrap",
                                              "xmlattr"};

bool is_filter(std::string_view name) {
  return find_filter(name) != nullptr ||
         std::find(std::begin(kOtherFilters), std::end(kOtherFilters), name) !=
             std::end(kOtherFilters);
}

enum class Unknown : uint8_t {
  kRefused,
  kRuns,  ///< an error only where it is evaluated
};

class NameChecker {
 public:
  void check(const Body& body) { check(body.statements, Unknown::kRefused); }

 private:
  void check(const std::vector<StmtPtr>& statements, Unknown unknown) {
    for (const StmtPtr& stmt : statements) {
      check(*stmt, unknown);
    }
  }

  void check(const Stmt& stmt, Unknown unknown) {
    switch (stmt.kind) {
      case StmtKind::kIf:
        for (const Branch& branch : stmt.branches) {
          check(branch.test, Unknown::kRuns);
          check(branch.statements, Unknown::kRuns);
        }
        check(stmt.otherwise.statements, Unknown::kRuns);
        return;
      case StmtKind::kFor:
        check(stmt.exprs[0], unknown);
        if (stmt.exprs.size() > 1) {
          check(stmt.exprs[1], Unknown::kRefused);
        }
        check(stmt.otherwise);
        break;
      case StmtKind::kSetBlock:
      case StmtKind::kFilterBlock:
        check_all(stmt.exprs, Unknown::kRefused);
        break;
      default:
        check_all(stmt.exprs, unknown);
        break;
    }
    check(stmt.body);
    if (stmt.macro) {
      check_all(stmt.macro->defaults, Unknown::kRefused);
      check(stmt.macro->body);
    }
  }

  void check_all(const std::vector<ExprPtr>& exprs, Unknown unknown) {
    for (const ExprPtr& expr : exprs) {
      check(expr, unknown);
    }
  }

  void check(const ExprPtr& expr, Unknown unknown) {
    if (!expr) {
      return;
    }
    const bool filter = expr->kind == ExprKind::kFilter;
    if (unknown == Unknown::kRefused &&
        (filter ? !is_filter(expr->text) : expr->kind == ExprKind::kTest && !is_test(expr->text))) {
      throw TemplateError{
          StatusCode::kInvalidArgument,
          fmt::format("no {} is named '{}'", filter ? "filter" : "test", expr->text),
          expr->line};
    }
    Unknown inner = expr->kind == ExprKind::kCond ? Unknown::kRuns : unknown;
    for (const ExprPtr& child : expr->children) {
      check(child, inner);
      if (child &&
          may_decide(*expr, *child)) {  // what follows is gone before Jinja2 looks at names
        inner = Unknown::kRuns;
      }
    }
    if (expr->arguments) {
      check_all(expr->arguments->positional, inner);
      for (const auto& [name, value] : expr->arguments->keyword) {
        check(value, inner);
      }
      check(expr->arguments->star, inner);
      check(expr->arguments->star_star, inner);
    }
  }

  // False where `operand`, if it is a constant, certainly does not end the evaluation of `expr`.
  static bool may_decide(const Expr& expr, const Expr& operand) {
    if (!is_constant(operand)) {
      return false;
    }
    const std::optional<bool> truth = truth_of(operand);
    return expr.kind == ExprKind::kCompare ||
           (expr.kind == ExprKind::kOr && truth.value_or(true)) ||
           (expr.kind == ExprKind::kAnd && !truth.value_or(false));
  }

  static bool is_constant(const Expr& expr) {
    return expr.kind != ExprKind::kName && expr.kind != ExprKind::kCall && !expr.arguments &&
           std::all_of(expr.children.begin(), expr.children.end(), [](const ExprPtr& child) {
             return !child || is_constant(*child);
           });
  }

  // Of a constant; nothing if that takes more than a look.
  static std::optional<bool> truth_of(const Expr& expr) {
    switch (expr.kind) {
      case ExprKind::kConst:
        return truthy(expr.constant);
      case ExprKind::kList:
      case ExprKind::kTuple:
      case ExprKind::kDict:
        return !expr.children.empty();
      case ExprKind::kAnd:
      case ExprKind::kOr: {
        const std::optional<bool> left = truth_of(*expr.children[0]);
        const bool decides = left == (expr.kind == ExprKind::kOr);
        return !left || decides ? left : truth_of(*expr.children[1]);
      }
      default:
        return std::nullopt;
    }
  }
};

}  // namespace

void check_names(const Program& program) {
  NameChecker().check(program.body);
}

}  // namespace tutti::jinja
