// Parsed templates. Nodes are immutable after parsing and hold their nesting depth, so that neither
// evaluation nor destruction can recurse without bound.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/value.h"

namespace tutti::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;
using NameId = int32_t;  ///< index into Program::names

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kNamespaceRef,  ///< target of `set ns.attribute = …`
  kList,
  kTuple,
  kDict,  ///< children: key, value, key, value, …
  kCond,  ///< children: test, then, else (may be null)
  kOr,
  kAnd,
  kNot,
  kNeg,
  kPos,
  kBinary,
  kConcat,
  kCompare,  ///< children: operands; ops: between them
  kGetattr,  ///< child.text
  kGetitem,  ///< child[child]
  kSlice,    ///< children: start, stop, step (each may be null); only inside kGetitem
  kCall,     ///< child(args)
  kFilter,   ///< child|text(args); child is null inside a filter block
  kTest,     ///< child is text(args)
};

enum class Op : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFloorDiv,
  kMod,
  kPow,
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kIn,
  kNotIn,
};

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keyword;
  ExprPtr star;       ///< *args
  ExprPtr star_star;  ///< **kwargs
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  Op op = Op::kAdd;
  int line = 0;
  int depth = 1;
  NameId name = -1;
  Value constant;
  std::string text;
  std::vector<ExprPtr> children;
  std::vector<Op> ops;
  std::unique_ptr<Arguments> arguments;
};

/// Statements of one scope. Names that the scope assigns before it reads them, and that no
/// enclosing scope knows, are undefined from its start: a nested loop does not see a global of that
/// name.
struct Body {
  std::vector<StmtPtr> statements;
  std::vector<NameId> undefined_at_start;
};

struct Macro {
  std::string name;
  bool anonymous = false;  ///< the body of a call block, which is named for messages only
  std::vector<NameId> parameters;
  std::vector<ExprPtr> defaults;  ///< of the last parameters
  Body body;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

enum class StmtKind : uint8_t {
  kOutput,       ///< exprs
  kIf,           ///< branches, otherwise
  kFor,          ///< target in exprs[0] if exprs[1]; body, otherwise
  kSet,          ///< target = exprs[0]
  kSetBlock,     ///< target = exprs[0] (a filter, may be null) of body
  kMacro,        ///< macro, name
  kCall,         ///< exprs[0] with macro as caller
  kFilterBlock,  ///< exprs[0] of body
  kWith,         ///< targets = exprs; body
  kScope,        ///< body
  kBlock,        ///< body, which sees the variables of the template's top level only
  kBreak,
  kContinue,
};

struct Branch {
  ExprPtr test;
  std::vector<StmtPtr> statements;
};

struct Stmt {
  StmtKind kind = StmtKind::kOutput;
  bool recursive = false;
  int line = 0;
  NameId name = -1;
  ExprPtr target;
  std::vector<ExprPtr> targets;
  std::vector<ExprPtr> exprs;
  std::vector<Branch> branches;
  Body body;
  Body otherwise;
  std::unique_ptr<Macro> macro;
};

/// One parsed template.
struct Program {
  std::vector<std::string> names;
  NameId loop_name = -1, caller_name = -1, varargs_name = -1, kwargs_name = -1;
  Body body;
};

/// Throws TemplateError.
std::unique_ptr<Program> parse_program(std::string_view source, const Limits& limits);

/// See Template::loop_reads().
bool loop_reads(const Program& program, std::string_view sequence, std::string_view attribute);

/// Fills in Body::undefined_at_start for every scope.
void analyze_scopes(Program& program);

/// Throws TemplateError for a filter or test that Jinja2's compiler would refuse.
void check_names(const Program& program);

}  // namespace tutti::jinja
