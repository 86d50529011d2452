#include <algorithm>

#include "jinja/interpreter.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

Value Interpreter::eval(const Expr& expr) {
  budget_.step();
  const DepthGuard guard(*this);
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.constant;
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      return name_value(expr.name);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict:
      return eval_collection(expr);
    case ExprKind::kCond:
      if (truthy(eval(*expr.children[0]))) {
        return eval(*expr.children[1]);
      }
      return expr.children[2] ? eval(*expr.children[2])
                              : Undefined{.hint = "the inline if has no else part"};
    case ExprKind::kOr: {
      Value left = eval(*expr.children[0]);
      return truthy(left) ? left : eval(*expr.children[1]);
    }
    case ExprKind::kAnd: {
      Value left = eval(*expr.children[0]);
      return truthy(left) ? eval(*expr.children[1]) : left;
    }
    case ExprKind::kNot:
      return !truthy(eval(*expr.children[0]));
    case ExprKind::kNeg:
      return negate(eval(*expr.children[0]));
    case ExprKind::kPos: {
      const Value value = eval(*expr.children[0]);
      return binary(Op::kAdd, int64_t{0}, value, budget_);
    }
    case ExprKind::kBinary: {
      const Value left = eval(*expr.children[0]);
      const Value right = eval(*expr.children[1]);
      line_ = expr.line;
      return binary(expr.op, left, right, budget_);
    }
    case ExprKind::kConcat:
      return eval_concat(expr);
    case ExprKind::kCompare:
      return eval_compare(expr);
    case ExprKind::kGetattr: {
      const Value object = eval(*expr.children[0]);
      line_ = expr.line;
      return get_attribute(object, expr.text);
    }
    case ExprKind::kGetitem:
      return eval_item(expr);
    case ExprKind::kCall:
      return eval_call(expr);
    case ExprKind::kFilter:
      return eval_filter(expr, nullptr);
    case ExprKind::kTest:
      return eval_test(expr);
    case ExprKind::kSlice:
      break;
  }
  fail("a slice is only allowed inside [ ]");
}

Value Interpreter::eval_collection(const Expr& expr) {
  if (expr.kind == ExprKind::kDict) {
    const auto dict = make_dict(budget_);
    for (size_t i = 0; i < expr.children.size(); i += 2) {
      Value key = eval(*expr.children[i]);
      dict_set(*dict, std::move(key), eval(*expr.children[i + 1]), budget_);
    }
    return DictPtr(dict);
  }
  std::vector<Value> items;
  items.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) {
    items.push_back(eval(*child));
  }
  return list(std::move(items), expr.kind == ExprKind::kList ? ListKind::kList : ListKind::kTuple);
}

Value Interpreter::eval_concat(const Expr& expr) {
  StrBuilder out(budget_);
  for (const ExprPtr& child : expr.children) {
    append_str(out, eval(*child), budget_);
  }
  return std::move(out).finish();
}

namespace {

bool compare(Op op, const Value& a, const Value& b, Budget& budget) {
  switch (op) {
    case Op::kEq:
      return equal(a, b, budget);
    case Op::kNe:
      return !equal(a, b, budget);
    case Op::kLt:
      return less(a, b, "<", budget);
    case Op::kGt:
      return less(b, a, ">", budget);
    case Op::kLe:
      return less(a, b, "<=", budget) || equal(a, b, budget);
    case Op::kGe:
      return less(b, a, ">=", budget) || equal(a, b, budget);
    case Op::kIn:
      return contains(b, a, budget);
    default:
      return !contains(b, a, budget);
  }
}

}  // namespace

Value Interpreter::eval_compare(const Expr& expr) {
  Value left = eval(*expr.children[0]);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = eval(*expr.children[i + 1]);
    line_ = expr.line;
    if (!compare(expr.ops[i], left, right, budget_)) {
      return false;
    }
    left = std::move(right);
  }
  return true;
}

CallArgs Interpreter::eval_arguments(const Arguments* arguments) {
  CallArgs args;
  if (arguments == nullptr) {
    return args;
  }
  for (const ExprPtr& expr : arguments->positional) {
    args.positional.push_back(eval(*expr));
  }
  if (arguments->star) {
    const ListPtr more = iterate(eval(*arguments->star));
    budget_.step(static_cast<int64_t>(more->items.size()));
    args.positional.insert(args.positional.end(), more->items.begin(), more->items.end());
  }
  for (const auto& [name, expr] : arguments->keyword) {
    args.keyword.emplace_back(name, eval(*expr));
  }
  if (arguments->star_star) {
    const Value mapping = eval(*arguments->star_star);
    if (mapping.dict() == nullptr) {
      fail("argument after ** must be a mapping, not {}", mapping.type_name());
    }
    for (const auto& [key, value] : mapping.dict()->items) {
      budget_.step();
      if (key.str() == nullptr) {
        fail("keywords must be strings");
      }
      args.keyword.emplace_back(std::string(key.str()->view()), value);
    }
  }
  return args;
}

Value Interpreter::eval_call(const Expr& expr) {
  const Value callee = eval(*expr.children[0]);
  CallArgs args = eval_arguments(expr.arguments.get());
  line_ = expr.line;
  return call(callee, args);
}

Value Interpreter::eval_filter(const Expr& expr, const Value* block_input) {
  const Value input = expr.children[0] ? (expr.children[0]->kind == ExprKind::kFilter
                                              ? eval_filter(*expr.children[0], block_input)
                                              : eval(*expr.children[0]))
                                       : *block_input;
  CallArgs args = eval_arguments(expr.arguments.get());
  line_ = expr.line;
  return apply_filter(expr.text, input, args);
}

Value Interpreter::eval_test(const Expr& expr) {
  const Value input = eval(*expr.children[0]);
  CallArgs args = eval_arguments(expr.arguments.get());
  line_ = expr.line;
  return apply_test(expr.text, input, args);
}

Value Interpreter::eval_item(const Expr& expr) {
  const Value object = eval(*expr.children[0]);
  const Expr& key = *expr.children[1];
  if (key.kind == ExprKind::kSlice) {
    return eval_slice(object, key);
  }
  const Value index = eval(key);
  line_ = expr.line;
  return get_item(object, index, expr.text.empty() ? nullptr : &expr.text);
}

namespace {

/// Python's slice.indices(): resolved start, stop and step for a sequence of `size` items.
struct SliceRange {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
};

std::optional<int64_t> slice_part(const Value& value) {
  int64_t number = 0;
  if (as_integer(value, number)) {
    return number;
  }
  if (!value.is_none()) {
    fail("slice indices must be integers or None, not {}", value.type_name());
  }
  return std::nullopt;
}

SliceRange slice_range(const Value& start, const Value& stop, const Value& step, int64_t size) {
  SliceRange range;
  range.step = slice_part(step).value_or(1);
  if (range.step == 0) {
    fail("slice step cannot be zero");
  }
  const bool forward = range.step > 0;
  const int64_t low = forward ? 0 : -1;
  const int64_t high = forward ? size : size - 1;
  const auto clamp = [&](std::optional<int64_t> at, int64_t fallback) {
    if (!at) {
      return fallback;
    }
    return std::clamp(*at < 0 ? *at + size : *at, low, high);
  };
  range.start = clamp(slice_part(start), forward ? low : high);
  range.stop = clamp(slice_part(stop), forward ? high : low);
  return range;
}

int64_t slice_length(const SliceRange& range) {
  const bool forward = range.step > 0;
  const int64_t distance = forward ? range.stop - range.start : range.start - range.stop;
  if (distance <= 0) {
    return 0;
  }
  // -INT64_MIN does not exist; such a step takes one item.
  const int64_t stride = forward ? range.step : range.step == INT64_MIN ? INT64_MAX : -range.step;
  return (distance - 1) / stride + 1;
}

Str slice_text(const Str& text, const Value& a, const Value& b, const Value& c, Budget& budget) {
  const std::string_view view = text.view();
  budget.scan(view.size());
  const size_t size = text.ascii() ? view.size() : count_code_points(view);
  const SliceRange range = slice_range(a, b, c, static_cast<int64_t>(size));
  const int64_t count = slice_length(range);
  const auto offset = [&](int64_t index) {
    return text.ascii() ? static_cast<size_t>(index)
                        : code_point_offset(view, static_cast<size_t>(index));
  };
  if (count == 0) {
    return {};
  }
  if (range.step == 1) {
    return text.slice(offset(range.start), offset(range.start + count));
  }
  std::vector<uint32_t> starts;  // of every code point
  budget.check_item_count(size / 8);
  for (size_t pos = 0; pos < view.size(); pos += code_point_size(view, pos)) {
    starts.push_back(static_cast<uint32_t>(pos));
  }
  starts.push_back(static_cast<uint32_t>(view.size()));
  StrBuilder out(budget);
  for (int64_t i = 0, at = range.start; i < count; ++i, at += i < count ? range.step : 0) {
    const auto index = static_cast<size_t>(at);
    budget.step();
    out.append(text.slice(starts[index], starts[index + 1]));
  }
  return std::move(out).finish();
}

}  // namespace

Value Interpreter::eval_slice(const Value& object, const Expr& slice) {
  const auto part = [&](size_t i) -> Value {
    return slice.children[i] ? eval(*slice.children[i]) : Value(None{});
  };
  const Value start = part(0);
  const Value stop = part(1);
  const Value step = part(2);
  line_ = slice.line;
  if (const Str* text = string_like(object)) {
    return slice_text(*text, start, stop, step, budget_);
  }
  const ListData* items = object.list();
  if (items == nullptr || items->kind == ListKind::kGenerator || items->kind >= ListKind::kKeys) {
    if (object.is_undefined()) {
      fail_undefined(*object.undefined());
    }
    fail("'{}' object cannot be sliced", object.type_name());
  }
  const SliceRange range =
      slice_range(start, stop, step, static_cast<int64_t>(items->items.size()));
  const int64_t count = slice_length(range);
  std::vector<Value> taken;
  taken.reserve(static_cast<size_t>(count));
  for (int64_t i = 0, at = range.start; i < count; ++i, at += i < count ? range.step : 0) {
    taken.push_back(items->items[static_cast<size_t>(at)]);
  }
  return list(std::move(taken),
              items->kind == ListKind::kTuple ? ListKind::kTuple : ListKind::kList);
}

}  // namespace tutti::jinja
