// Which names a scope holds as undefined from its start, following Jinja2's idtracking.py: a name
// that the scope assigns before it reads it, and that no enclosing scope mentions, hides a global
// of that name from nested scopes even before the assignment runs.
#include <set>
#include <utility>

#include "jinja/ast.h"

namespace tutti::jinja {

namespace {

/// What one scope has mentioned so far, in source order.
struct Mentions {
  std::set<NameId> known;      ///< read, assigned or a parameter
  std::set<NameId> stored;     ///< assigned
  std::set<NameId> undefined;  ///< first mention was an assignment, unknown outside
};

class ScopeAnalyzer {
 public:
  explicit ScopeAnalyzer(const Program& program) : program_(program) {}

  void scope(Body& body, const std::vector<NameId>& parameters) {
    Mentions own;
    own.known.insert(parameters.begin(), parameters.end());
    visit(body.statements, own);
    body.undefined_at_start.assign(own.undefined.begin(), own.undefined.end());
    outer_.push_back(&own.known);
    enter_nested(body.statements);
    outer_.pop_back();
  }

 private:
  bool known_outside(NameId name) const {
    for (const auto* names : outer_) {
      if (names->contains(name)) {
        return true;
      }
    }
    return false;
  }

  void load(NameId name, Mentions& own) { own.known.insert(name); }

  void store(NameId name, Mentions& own) {
    own.stored.insert(name);
    if (own.known.insert(name).second && !known_outside(name)) {
      own.undefined.insert(name);
    }
  }

  void visit(const ExprPtr& expr, Mentions& own) {
    if (!expr) {
      return;
    }
    if (expr->kind == ExprKind::kName || expr->kind == ExprKind::kNamespaceRef) {
      load(expr->name, own);
    }
    visit_all(expr->children, own);
    if (expr->arguments) {
      visit_all(expr->arguments->positional, own);
      for (const auto& [key, value] : expr->arguments->keyword) {
        visit(value, own);
      }
      visit(expr->arguments->star, own);
      visit(expr->arguments->star_star, own);
    }
  }

  void visit_all(const std::vector<ExprPtr>& exprs, Mentions& own) {
    for (const ExprPtr& expr : exprs) {
      visit(expr, own);
    }
  }

  void visit_target(const Expr& target, Mentions& own) {
    if (target.kind == ExprKind::kName) {
      store(target.name, own);
    } else if (target.kind == ExprKind::kNamespaceRef) {
      load(target.name, own);
    }
    for (const ExprPtr& child : target.children) {
      visit_target(*child, own);
    }
  }

  void visit(const std::vector<StmtPtr>& statements, Mentions& own) {
    for (const StmtPtr& stmt : statements) {
      visit(*stmt, own);
    }
  }

  void visit(const Stmt& stmt, Mentions& own) {
    switch (stmt.kind) {
      case StmtKind::kIf:
        visit_if(stmt, own);
        return;
      case StmtKind::kFor:
        visit(stmt.exprs[0], own);  // the rest belongs to the loop's own scopes
        return;
      case StmtKind::kSet:
        visit_all(stmt.exprs, own);
        visit_target(*stmt.target, own);
        return;
      case StmtKind::kSetBlock:
        visit_target(*stmt.target, own);
        return;
      case StmtKind::kMacro:
        store(stmt.name, own);
        return;
      default:
        visit_all(stmt.exprs, own);
        return;
    }
  }

  Mentions branch_of(const std::vector<StmtPtr>& statements, const Mentions& own) {
    work_ += static_cast<int64_t>(own.known.size());
    if (work_ > kMaxWork) {
      fail("the template has too many names and branches");
    }
    Mentions branch = own;
    visit(statements, branch);
    return branch;
  }

  static void merge(const Mentions& branch, Mentions& own) {
    own.known.insert(branch.known.begin(), branch.known.end());
    own.stored.insert(branch.stored.begin(), branch.stored.end());
  }

  // A name assigned in some branches only keeps its outer meaning. Jinja2 counts three branches:
  // the first, all the elif parts together, and else.
  void visit_if(const Stmt& stmt, Mentions& own) {
    visit(stmt.branches[0].test, own);
    const std::set<NameId> stored_before = own.stored;
    const Mentions first = branch_of(stmt.branches[0].statements, own);
    Mentions middle = branch_of({}, own);
    for (size_t i = 1; i < stmt.branches.size(); ++i) {
      visit(stmt.branches[i].test, middle);
      merge(branch_of(stmt.branches[i].statements, middle), middle);
    }
    const Mentions last = branch_of(stmt.otherwise.statements, own);
    for (const Mentions* branch : {&first, &std::as_const(middle), &last}) {
      merge(*branch, own);
    }
    for (const NameId name : last.undefined) {
      if (first.stored.contains(name) && middle.stored.contains(name) &&
          !stored_before.contains(name)) {
        own.undefined.insert(name);
      }
    }
  }

  void enter_nested(std::vector<StmtPtr>& statements) {
    for (const StmtPtr& stmt : statements) {
      enter_nested(*stmt);
    }
  }

  void enter_nested(Stmt& stmt) {
    switch (stmt.kind) {
      case StmtKind::kIf:
        for (Branch& branch : stmt.branches) {
          enter_nested(branch.statements);
        }
        enter_nested(stmt.otherwise.statements);
        return;
      case StmtKind::kFor: {
        std::vector<NameId> parameters = names_of(*stmt.target);
        parameters.push_back(program_.loop_name);
        scope(stmt.body, parameters);
        scope(stmt.otherwise, {});
        return;
      }
      case StmtKind::kMacro:
      case StmtKind::kCall: {
        std::vector<NameId> parameters = stmt.macro->parameters;
        parameters.insert(parameters.end(),
                          {program_.caller_name, program_.varargs_name, program_.kwargs_name});
        scope(stmt.macro->body, parameters);
        return;
      }
      case StmtKind::kWith: {
        std::vector<NameId> parameters;
        for (const ExprPtr& target : stmt.targets) {
          const std::vector<NameId> names = names_of(*target);
          parameters.insert(parameters.end(), names.begin(), names.end());
        }
        scope(stmt.body, parameters);
        return;
      }
      case StmtKind::kBlock: {
        const auto outer = std::exchange(outer_, {});
        scope(stmt.body, {});
        outer_ = outer;
        return;
      }
      case StmtKind::kSetBlock:
      case StmtKind::kFilterBlock:
      case StmtKind::kScope:
        scope(stmt.body, {});
        return;
      default:
        return;
    }
  }

  static std::vector<NameId> names_of(const Expr& target) {
    std::vector<NameId> names;
    if (target.kind == ExprKind::kName) {
      names.push_back(target.name);
    }
    for (const ExprPtr& child : target.children) {
      const std::vector<NameId> more = names_of(*child);
      names.insert(names.end(), more.begin(), more.end());
    }
    return names;
  }

  // Copied names over all branches; a real template needs some thousands.
  static constexpr int64_t kMaxWork = 200'000;

  const Program& program_;
  int64_t work_ = 0;
  std::vector<const std::set<NameId>*> outer_;
};

}  // namespace

void analyze_scopes(Program& program) {
  ScopeAnalyzer(program).scope(program.body, {});
}

}  // namespace tutti::jinja
