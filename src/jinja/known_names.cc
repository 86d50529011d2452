// Refuses filters and tests that nobody knows when a template is parsed, where Jinja2's compiler
// does: everywhere but in the parts of an if, which may ask for what is not there. A scope inside
// an if (a loop, a macro, a block assignment) is as strict as one outside.
#include <algorithm>

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
    const bool stops_early = expr->kind == ExprKind::kOr || expr->kind == ExprKind::kAnd ||
                             expr->kind == ExprKind::kCompare;
    Unknown inner = expr->kind == ExprKind::kCond ? Unknown::kRuns : unknown;
    for (const ExprPtr& child : expr->children) {
      check(child, inner);
      // What constants decide is gone before Jinja2 looks at names; what they do not decide runs.
      if (stops_early && is_constant(child)) {
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

  static bool is_constant(const ExprPtr& expr) {
    return !expr ||
           (expr->kind != ExprKind::kName && expr->kind != ExprKind::kCall && !expr->arguments &&
            std::all_of(expr->children.begin(), expr->children.end(), is_constant));
  }
};

}  // namespace

void check_names(const Program& program) {
  NameChecker().check(program.body);
}

}  // namespace tutti::jinja
