// Evaluates one parsed template once. Not shared between threads; the Program is.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/loop_state.h"
#include "jinja/value.h"

namespace tutti::jinja {

/// Variables of one scope. Small in practice: looked up by a scan whose cost is counted.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<NameId, Value>> variables;
  LiveBytes live;

  Scope(std::shared_ptr<Scope> parent_scope, Budget& budget)
      : parent(std::move(parent_scope)), live(budget) {
    live.add(sizeof(Scope));
  }
};

using ScopePtr = std::shared_ptr<Scope>;

class Interpreter {
 public:
  Interpreter(const Program& program, Budget& budget, int64_t now_unix)
      : program_(program), budget_(budget), now_unix_(now_unix) {}

  /// Runs the whole template. `globals`: name and value, later ones win. Throws TemplateError with
  /// its line filled in.
  std::vector<TemplateSpan> run(const std::vector<std::pair<std::string, Value>>& globals);

  // For filters, tests, methods and functions.
  Budget& budget() { return budget_; }

  int64_t now_unix() const { return now_unix_; }

  Value call(const Value& callee, CallArgs& args);
  Value apply_filter(const std::string& name, const Value& input, CallArgs& args);
  bool apply_test(const std::string& name, const Value& input, CallArgs& args);
  /// object[key], also by attribute as Jinja's getitem; undefined if there is none.
  Value get_item(const Value& object, const Value& key, const std::string* name);
  Value get_attribute(const Value& object, const std::string& name);
  /// Everything an iteration yields; an error for what cannot be iterated.
  ListPtr iterate(const Value& value);
  Namespace* new_namespace();
  Value loop_attribute(const Value& loop, const std::string& name);

  ListPtr list(std::vector<Value> items, ListKind kind = ListKind::kList) {
    return make_list(std::move(items), kind, budget_);
  }

 private:
  friend Value loop_cycle(Interpreter&, const Value&, CallArgs&);
  enum class Flow : uint8_t { kNormal, kBreak, kContinue };

  class DepthGuard;

  // Statements (exec.cc).
  Flow exec(const std::vector<StmtPtr>& statements);
  Flow exec(const Stmt& stmt);
  Flow exec_if(const Stmt& stmt);
  Flow exec_for(const Stmt& stmt, ListPtr items, int depth0);
  Flow exec_with(const Stmt& stmt);
  void exec_set_block(const Stmt& stmt);
  void exec_filter_block(const Stmt& stmt);
  void exec_macro(const Stmt& stmt);
  void exec_call_block(const Stmt& stmt);
  Flow run_body(const Body& body);  // in a new scope
  template <class Run>
  Str capture(Run&& run);
  bool advance(LoopState& loop);
  std::optional<Value> pull(LoopState& loop);
  Value unpacked(const Expr& target);
  void drop_filter(LoopState& loop);
  Value call_macro(const Callable& callable, CallArgs& args);
  void bind_macro_arguments(const Macro& macro, CallArgs& args);
  Value call_loop(const Value& loop, CallArgs& args);
  void start_scope(const Body& body);
  ScopePtr assigned_at_top();
  void assign(const Expr& target, Value value);
  void set_variable(NameId name, Value value);
  const Value* find_variable(NameId name);
  Value name_value(NameId name);

  // Expressions (eval.cc).
  Value eval(const Expr& expr);
  Value eval_compare(const Expr& expr);
  Value eval_collection(const Expr& expr);
  Value eval_call(const Expr& expr);
  Value eval_filter(const Expr& expr, const Value* block_input);
  Value eval_test(const Expr& expr);
  Value eval_item(const Expr& expr);
  Value eval_slice(const Value& object, const Expr& slice);
  Value eval_concat(const Expr& expr);
  CallArgs eval_arguments(const Arguments* arguments);

  const Program& program_;
  Budget& budget_;
  int64_t now_unix_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  LiveBytes namespace_bytes_{budget_};
  ScopePtr scope_;
  ScopePtr top_;  // of the template's top level
  StrBuilder* out_ = nullptr;
  int line_ = 0;
  int depth_ = 0;
};

class Interpreter::DepthGuard {
 public:
  explicit DepthGuard(Interpreter& interpreter) : depth_(interpreter.depth_) {
    if (depth_ >= interpreter.budget_.limits().max_call_depth) {
      fail("macros and blocks are nested deeper than the limit of {} evaluations", depth_);
    }
    ++depth_;
  }

  ~DepthGuard() { --depth_; }

  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  int& depth_;
};

/// Reads the arguments of one call by position or keyword and refuses the rest.
class ArgReader {
 public:
  ArgReader(CallArgs& args, const char* function) : args_(args), function_(function) {}

  /// The next parameter; nullptr if the caller left it out.
  const Value* optional(std::string_view name);
  const Value& required(std::string_view name);
  Str string(std::string_view name);
  std::optional<int64_t> optional_int(std::string_view name);
  bool boolean(std::string_view name, bool fallback);
  /// Errors if arguments are left.
  void done() const;

 private:
  CallArgs& args_;
  const char* function_;
  size_t position_ = 0;
  size_t keywords_used_ = 0;
};

/// a op b for the arithmetic operators (arithmetic.cc).
Value binary(Op op, const Value& a, const Value& b, Budget& budget);
Value negate(const Value& value);
/// printf-style str % args (arithmetic.cc). `may_stay_unused`: Python minds unused arguments only
/// of tuples and of what has no items.
Str format_percent(const Str& format,
                   const std::vector<Value>& args,
                   const DictData* mapping,
                   Budget& budget,
                   bool may_stay_unused = false);

/// Method of a built-in type, undefined if there is none (methods_*.cc). The error for methods
/// that would change the object names them.
Value find_method(const Value& object, const std::string& name);
FunctionPtr find_string_method(std::string_view name);
FunctionPtr find_filter(std::string_view name);
bool is_test(std::string_view name);
FunctionPtr find_function(std::string_view name);

}  // namespace tutti::jinja
