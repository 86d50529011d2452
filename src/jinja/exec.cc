#include <algorithm>
#include <unordered_map>

#include "jinja/interpreter.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

std::vector<TemplateSpan> Interpreter::run(
    const std::vector<std::pair<std::string, Value>>& globals) {
  try {
    scope_ = std::make_shared<Scope>(nullptr, budget_);
    std::unordered_map<std::string_view, const Value*> known;
    for (const auto& [name, value] : globals) {
      known[name] = &value;
    }
    for (size_t id = 0; id < program_.names.size(); ++id) {
      const auto found = known.find(program_.names[id]);
      if (found != known.end()) {
        set_variable(static_cast<NameId>(id), *found->second);
      } else if (const FunctionPtr function = find_function(program_.names[id])) {
        auto callable = std::make_shared<Callable>();
        callable->name = program_.names[id].c_str();
        callable->function = function;
        set_variable(static_cast<NameId>(id), CallablePtr(std::move(callable)));
      }
    }
    scope_ = std::make_shared<Scope>(scope_, budget_);
    top_ = scope_;
    start_scope(program_.body);
    StrBuilder out(budget_);
    out_ = &out;
    exec(program_.body.statements);
    return std::move(out).finish_spans();
  } catch (TemplateError& error) {
    if (error.line == 0) {
      error.line = line_;
    }
    throw;
  }
}

void Interpreter::start_scope(const Body& body) {
  for (const NameId name : body.undefined_at_start) {
    set_variable(name, Undefined{.name = &program_.names[static_cast<size_t>(name)]});
  }
}

// What a named block sees: names of the top level that were assigned by now. One that is assigned
// later still has its global meaning there.
ScopePtr Interpreter::assigned_at_top() {
  auto scope = std::make_shared<Scope>(top_->parent, budget_);
  for (const auto& [id, value] : top_->variables) {
    budget_.step();
    const std::string* own_name = &program_.names[static_cast<size_t>(id)];
    if (!value.is_undefined() || value.undefined()->name != own_name) {
      scope->live.add(sizeof(std::pair<NameId, Value>));
      scope->variables.emplace_back(id, value);
    }
  }
  return scope;
}

const Value* Interpreter::find_variable(NameId name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    budget_.step(static_cast<int64_t>(scope->variables.size() / 32));
    for (const auto& [id, value] : scope->variables) {
      if (id == name) {
        return &value;
      }
    }
  }
  return nullptr;
}

Value Interpreter::name_value(NameId name) {
  if (const Value* found = find_variable(name)) {
    return *found;
  }
  return Undefined{.name = &program_.names[static_cast<size_t>(name)]};
}

void Interpreter::set_variable(NameId name, Value value) {
  budget_.step(static_cast<int64_t>(scope_->variables.size() / 32));
  for (auto& [id, old] : scope_->variables) {
    if (id == name) {
      old = std::move(value);
      return;
    }
  }
  scope_->live.add(sizeof(std::pair<NameId, Value>));
  scope_->variables.emplace_back(name, std::move(value));
}

void Interpreter::assign(const Expr& target, Value value) {
  if (target.kind == ExprKind::kName) {
    set_variable(target.name, std::move(value));
    return;
  }
  if (target.kind == ExprKind::kNamespaceRef) {
    Namespace* ns = name_value(target.name).ns();
    if (ns == nullptr) {
      fail("cannot assign attribute '{}': '{}' is not a namespace",
           target.text,
           program_.names[static_cast<size_t>(target.name)]);
    }
    for (auto& [name, old] : ns->attributes) {
      budget_.step();
      if (name == target.text) {
        old = std::move(value);
        return;
      }
    }
    namespace_bytes_.add(sizeof(std::pair<std::string, Value>) + target.text.size());
    ns->attributes.emplace_back(target.text, std::move(value));
    return;
  }
  const ListPtr items = iterate(value);
  const size_t got = items->items.size();
  if (got != target.children.size()) {
    fail("cannot unpack {} values into {} names", got, target.children.size());
  }
  for (size_t i = 0; i < got; ++i) {
    assign(*target.children[i], items->items[i]);
  }
}

template <class Run>
Str Interpreter::capture(Run&& run) {
  StrBuilder buffer(budget_);
  StrBuilder* const outer = std::exchange(out_, &buffer);
  run();
  out_ = outer;
  return std::move(buffer).finish();
}

Interpreter::Flow Interpreter::exec(const std::vector<StmtPtr>& statements) {
  const DepthGuard guard(*this);
  for (const StmtPtr& stmt : statements) {
    const Flow flow = exec(*stmt);
    if (flow != Flow::kNormal) {
      return flow;
    }
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_body(const Body& body) {
  const ScopePtr outer = scope_;
  scope_ = std::make_shared<Scope>(outer, budget_);
  start_scope(body);
  const Flow flow = exec(body.statements);
  scope_ = outer;
  return flow;
}

Interpreter::Flow Interpreter::exec(const Stmt& stmt) {
  budget_.step();
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::kOutput:
      for (const ExprPtr& expr : stmt.exprs) {
        if (expr->kind == ExprKind::kConst) {
          append_str(*out_, expr->constant, budget_);
        } else {
          append_str(*out_, eval(*expr), budget_);
        }
      }
      return Flow::kNormal;
    case StmtKind::kIf:
      return exec_if(stmt);
    case StmtKind::kFor:
      return exec_for(stmt, iterate(eval(*stmt.exprs[0])), 0);
    case StmtKind::kSet:
      assign(*stmt.target, eval(*stmt.exprs[0]));
      return Flow::kNormal;
    case StmtKind::kSetBlock:
      exec_set_block(stmt);
      return Flow::kNormal;
    case StmtKind::kMacro:
      exec_macro(stmt);
      return Flow::kNormal;
    case StmtKind::kCall:
      exec_call_block(stmt);
      return Flow::kNormal;
    case StmtKind::kFilterBlock:
      exec_filter_block(stmt);
      return Flow::kNormal;
    case StmtKind::kWith:
      return exec_with(stmt);
    case StmtKind::kScope:
      return run_body(stmt.body);
    case StmtKind::kBlock: {
      const ScopePtr outer = std::exchange(scope_, assigned_at_top());
      run_body(stmt.body);
      scope_ = outer;
      return Flow::kNormal;
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::exec_if(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches) {
    if (truthy(eval(*branch.test))) {
      return exec(branch.statements);
    }
  }
  return exec(stmt.otherwise.statements);
}

Interpreter::Flow Interpreter::exec_with(const Stmt& stmt) {
  std::vector<Value> values;
  for (const ExprPtr& expr : stmt.exprs) {
    values.push_back(eval(*expr));
  }
  const ScopePtr outer = scope_;
  scope_ = std::make_shared<Scope>(outer, budget_);
  for (size_t i = 0; i < values.size(); ++i) {
    assign(*stmt.targets[i], std::move(values[i]));
  }
  start_scope(stmt.body);
  const Flow flow = exec(stmt.body.statements);
  scope_ = outer;
  return flow;
}

void Interpreter::exec_set_block(const Stmt& stmt) {
  Value text = capture([&] { run_body(stmt.body); });
  if (stmt.exprs[0]) {
    text = eval_filter(*stmt.exprs[0], &text);
  }
  assign(*stmt.target, std::move(text));
}

void Interpreter::exec_filter_block(const Stmt& stmt) {
  const Value text = capture([&] { run_body(stmt.body); });
  append_str(*out_, eval_filter(*stmt.exprs[0], &text), budget_);
}

void Interpreter::exec_macro(const Stmt& stmt) {
  auto callable = std::make_shared<Callable>();
  callable->name = stmt.macro->name.c_str();
  callable->macro = stmt.macro.get();
  callable->scope = scope_;
  set_variable(stmt.name, CallablePtr(std::move(callable)));
}

void Interpreter::exec_call_block(const Stmt& stmt) {
  const Expr& call_expr = *stmt.exprs[0];
  auto caller = std::make_shared<Callable>();
  caller->name = "caller";
  caller->macro = stmt.macro.get();
  caller->scope = scope_;
  const Value callee = eval(*call_expr.children[0]);
  CallArgs args = eval_arguments(call_expr.arguments.get());
  args.keyword.emplace_back("caller", CallablePtr(std::move(caller)));
  append_str(*out_, call(callee, args), budget_);
}

// What was assigned to a target. After its test a loop hands on the unpacked values, as Jinja2's
// generated code does: loop.previtem shows them.
Value Interpreter::unpacked(const Expr& target) {
  if (target.kind != ExprKind::kTuple) {
    return name_value(target.name);
  }
  std::vector<Value> values;
  for (const ExprPtr& child : target.children) {
    values.push_back(unpacked(*child));
  }
  return list(std::move(values), ListKind::kTuple);
}

// The next item that passes the loop's test.
std::optional<Value> Interpreter::pull(LoopState& loop) {
  while (loop.next < loop.items->items.size()) {
    budget_.step();
    Value item = loop.items->items[loop.next++];
    if (!loop.filtered) {
      return item;
    }
    const ScopePtr outer = scope_;
    scope_ = std::make_shared<Scope>(loop.scope.lock(), budget_);
    assign(*loop.node->target, item);
    const bool passes = truthy(eval(*loop.node->exprs[1]));
    if (passes && loop.node->target->kind == ExprKind::kTuple) {
      item = unpacked(*loop.node->target);
    }
    scope_ = outer;
    if (passes) {
      return item;
    }
  }
  return std::nullopt;
}

bool Interpreter::advance(LoopState& loop) {
  std::optional<Value> item = loop.after ? std::exchange(loop.after, std::nullopt) : pull(loop);
  if (!item) {
    return false;
  }
  ++loop.index0;
  loop.before = std::exchange(loop.current, std::move(item));
  return true;
}

// The length of a filtered loop is known after testing all its items.
void Interpreter::drop_filter(LoopState& loop) {
  std::vector<Value> passed(static_cast<size_t>(loop.index0 + 1));
  if (loop.after) {
    passed.push_back(*loop.after);
  }
  const size_t next = passed.size();
  while (std::optional<Value> item = pull(loop)) {
    passed.push_back(std::move(*item));
  }
  loop.items = list(std::move(passed));
  loop.next = next;
  loop.filtered = false;
}

Interpreter::Flow Interpreter::exec_for(const Stmt& stmt, ListPtr items, int depth0) {
  auto loop = std::make_shared<LoopState>();
  loop->node = &stmt;
  loop->scope = scope_;
  loop->items = std::move(items);
  loop->filtered = stmt.exprs.size() > 1;
  loop->depth0 = depth0;
  loop->depth = checked_depth(loop->items->depth);

  // A loop value that survives in a namespace must not keep itself alive.
  struct LoopEnd {
    LoopState& state;

    ~LoopEnd() {
      state.running = false;
      state.changed.reset();
    }
  };

  const LoopEnd end{*loop};
  const ScopePtr outer = scope_;
  bool any = false;
  while (advance(*loop)) {
    any = true;
    budget_.step(8);  // a scope is made
    scope_ = std::make_shared<Scope>(outer, budget_);
    assign(*stmt.target, *loop->current);
    set_variable(program_.loop_name, loop);
    start_scope(stmt.body);
    const Flow flow = exec(stmt.body.statements);
    scope_ = outer;
    if (flow == Flow::kBreak) {
      break;
    }
  }
  if (!any) {
    return run_body(stmt.otherwise);
  }
  return Flow::kNormal;
}

Value Interpreter::call_loop(const Value& loop_value, CallArgs& args) {
  LoopState& loop = *loop_value.loop();
  if (!loop.node->recursive) {
    fail("the loop must be marked 'recursive' to be called");
  }
  if (args.positional.size() != 1 || !args.keyword.empty()) {
    fail("loop() takes the items to loop over and nothing else");
  }
  const ScopePtr scope = loop.scope.lock();
  if (!scope) {
    fail("loop() was called after the loop's scope ended");
  }
  const DepthGuard guard(*this);
  const ScopePtr outer = std::exchange(scope_, scope);
  const Stmt& node = *loop.node;
  const int depth0 = loop.depth0 + 1;
  const int line = line_;
  Str text = capture([&] { exec_for(node, iterate(args.positional[0]), depth0); });
  scope_ = outer;
  line_ = line;
  return text;
}

void Interpreter::bind_macro_arguments(const Macro& macro, CallArgs& args) {
  static const Undefined kNotGiven{.hint = "a macro parameter was not provided"};
  const size_t count = macro.parameters.size();
  const auto take_keyword = [&](std::string_view name) -> std::optional<Value> {
    const auto it = std::find_if(args.keyword.begin(), args.keyword.end(), [&](const auto& item) {
      return item.first == name;
    });
    if (it == args.keyword.end()) {
      return std::nullopt;
    }
    Value value = std::move(it->second);
    args.keyword.erase(it);
    return value;
  };
  for (size_t i = 0; i < count; ++i) {
    const NameId id = macro.parameters[i];
    std::optional<Value> value;
    if (i < args.positional.size()) {
      value = args.positional[i];
    } else {
      value = take_keyword(program_.names[static_cast<size_t>(id)]);
    }
    const size_t first_default = count - macro.defaults.size();
    if (!value && i >= first_default) {
      value = eval(*macro.defaults[i - first_default]);
    }
    set_variable(id, value ? std::move(*value) : Value(kNotGiven));
  }
  if (macro.uses_caller) {
    std::optional<Value> caller = take_keyword("caller");
    set_variable(program_.caller_name,
                 caller ? std::move(*caller) : Value(Undefined{.hint = "No caller defined"}));
  }
  if (macro.uses_kwargs) {
    const auto dict = make_dict(budget_);
    for (auto& [name, value] : args.keyword) {
      dict_set(*dict, make_str(name, TextOrigin::kTemplate, budget_), value, budget_);
    }
    set_variable(program_.kwargs_name, DictPtr(dict));
  } else if (!args.keyword.empty()) {
    fail("macro '{}' takes no keyword argument '{}'", macro.name, args.keyword[0].first);
  }
  if (macro.uses_varargs) {
    std::vector<Value> rest(args.positional.begin() + static_cast<std::ptrdiff_t>(
                                                          std::min(count, args.positional.size())),
                            args.positional.end());
    set_variable(program_.varargs_name, list(std::move(rest), ListKind::kTuple));
  } else if (args.positional.size() > count) {
    fail("macro '{}' takes not more than {} arguments", macro.name, count);
  }
}

Value Interpreter::call_macro(const Callable& callable, CallArgs& args) {
  const DepthGuard guard(*this);
  const ScopePtr defined_in = callable.scope.lock();
  if (!defined_in) {
    fail("macro '{}' was called after the scope that defined it ended", callable.name);
  }
  const ScopePtr outer = std::exchange(scope_, std::make_shared<Scope>(defined_in, budget_));
  const int line = line_;
  Str text = capture([&] {
    bind_macro_arguments(*callable.macro, args);
    start_scope(callable.macro->body);
    exec(callable.macro->body.statements);
  });
  scope_ = outer;
  line_ = line;
  return text;
}

Value Interpreter::call(const Value& callee, CallArgs& args) {
  budget_.step();
  if (const Callable* callable = callee.callable()) {
    return callable->macro != nullptr ? call_macro(*callable, args)
                                      : callable->function(*this, callable->self, args);
  }
  if (callee.loop() != nullptr) {
    return call_loop(callee, args);
  }
  if (callee.is_undefined()) {
    fail_undefined(*callee.undefined());
  }
  fail("'{}' object is not callable", callee.type_name());
}

Namespace* Interpreter::new_namespace() {
  namespace_bytes_.add(sizeof(Namespace));
  namespaces_.push_back(std::make_unique<Namespace>());
  return namespaces_.back().get();
}

}  // namespace tutti::jinja
