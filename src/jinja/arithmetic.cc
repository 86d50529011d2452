// + - * / // % ** with Python's rules on 64-bit integers, doubles, strings and sequences.
#include <cmath>

#include "jinja/interpreter.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

namespace {

[[noreturn]] void fail_types(const char* op, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (value->is_undefined()) {
      fail_undefined(*value->undefined());
    }
  }
  fail("unsupported operand types for {}: '{}' and '{}'", op, a.type_name(), b.type_name());
}

constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

const char* symbol(Op op) {
  return kSymbols[static_cast<size_t>(op)];
}

void check_range(bool overflow) {
  if (overflow) {
    fail("an integer result does not fit 64 bits");
  }
}

double floor_mod(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0.0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t floor_div(int64_t a, int64_t b) {
  check_range(a == INT64_MIN && b == -1);
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) {
      fail("0 cannot be raised to a negative power");
    }
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0) {
      check_range(__builtin_mul_overflow(result, base, &result));
    }
    exponent >>= 1;
    if (exponent > 0) {
      check_range(__builtin_mul_overflow(base, base, &base));
    }
  }
  return result;
}

Value integers(Op op, int64_t a, int64_t b) {
  int64_t out = 0;
  switch (op) {
    case Op::kAdd:
      check_range(__builtin_add_overflow(a, b, &out));
      return out;
    case Op::kSub:
      check_range(__builtin_sub_overflow(a, b, &out));
      return out;
    case Op::kMul:
      check_range(__builtin_mul_overflow(a, b, &out));
      return out;
    case Op::kPow:
      return power(a, b);
    default:
      break;
  }
  if (b == 0) {
    fail("division by zero");
  }
  if (op == Op::kDiv) {
    return static_cast<double>(a) / static_cast<double>(b);
  }
  const int64_t quotient = floor_div(a, b);
  return op == Op::kFloorDiv ? quotient : a - quotient * b;
}

Value doubles(Op op, double a, double b) {
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSub:
      return a - b;
    case Op::kMul:
      return a * b;
    case Op::kPow: {
      const double result = std::pow(a, b);
      if (!std::isfinite(result) && std::isfinite(a) && std::isfinite(b)) {
        fail("a power is out of range");
      }
      return result;
    }
    default:
      break;
  }
  if (b == 0.0) {
    fail("division by zero");
  }
  if (op == Op::kDiv) {
    return a / b;
  }
  return op == Op::kMod ? floor_mod(a, b) : (a - floor_mod(a, b)) / b;
}

Value repeat(const Value& sequence, int64_t count, Budget& budget) {
  const size_t times = count > 0 ? static_cast<size_t>(count) : 0;
  if (const Str* text = sequence.str()) {
    StrBuilder out(budget);
    if (!text->empty()) {
      for (size_t i = 0; i < times; ++i) {
        budget.step();
        out.append(*text);
      }
    }
    return std::move(out).finish();
  }
  const ListData& list = *sequence.list();
  std::vector<Value> items;
  for (size_t i = 0; i < times && !list.items.empty(); ++i) {
    budget.step(static_cast<int64_t>(list.items.size()));
    budget.check_item_count(items.size() + list.items.size());
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return make_list(std::move(items), list.kind, budget);
}

bool is_sequence(const Value& value) {
  const ListData* list = value.list();
  return value.str() != nullptr ||
         (list != nullptr && (list->kind == ListKind::kList || list->kind == ListKind::kTuple));
}

Value add_sequences(const Value& a, const Value& b, Budget& budget) {
  const Str* left = string_like(a);
  const Str* right = string_like(b);
  if (left != nullptr && right != nullptr) {
    StrBuilder out(budget);
    out.append(*left);
    out.append(*right);
    return std::move(out).finish();
  }
  const ListData* x = a.list();
  const ListData* y = b.list();
  if (x == nullptr || y == nullptr || x->kind != y->kind || !is_sequence(a)) {
    if (left != nullptr && !b.is_undefined()) {
      fail("can only concatenate str (not \"{}\") to str; use ~ to join any values", b.type_name());
    }
    fail_types("+", a, b);
  }
  budget.check_item_count(x->items.size() + y->items.size());
  std::vector<Value> items = x->items;
  items.insert(items.end(), y->items.begin(), y->items.end());
  return make_list(std::move(items), x->kind, budget);
}

}  // namespace

Value binary(Op op, const Value& a, const Value& b, Budget& budget) {
  int64_t ia = 0;
  int64_t ib = 0;
  const bool a_int = as_integer(a, ia);
  const bool b_int = as_integer(b, ib);
  if (a_int && b_int) {
    return integers(op, ia, ib);
  }
  double da = 0;
  double db = 0;
  if (as_double(a, da) && as_double(b, db)) {
    return doubles(op, da, db);
  }
  if (op == Op::kAdd) {
    return add_sequences(a, b, budget);
  }
  if (op == Op::kMul && b_int && is_sequence(a)) {
    return repeat(a, ib, budget);
  }
  if (op == Op::kMul && a_int && is_sequence(b)) {
    return repeat(b, ia, budget);
  }
  if (op == Op::kMod && a.str() != nullptr) {
    if (const ListData* list = b.list(); list != nullptr && list->kind == ListKind::kTuple) {
      return format_percent(*a.str(), list->items, nullptr, budget);
    }
    return format_percent(*a.str(), {b}, b.dict(), budget, b.list() != nullptr || b.is_undefined());
  }
  fail_types(symbol(op), a, b);
}

Value negate(const Value& value) {
  int64_t number = 0;
  if (as_integer(value, number)) {
    check_range(number == INT64_MIN);
    return -number;
  }
  if (const double* real = value.real()) {
    return -*real;
  }
  if (value.is_undefined()) {
    fail_undefined(*value.undefined());
  }
  fail("bad operand type for unary -: '{}'", value.type_name());
}

namespace {

/// One %-conversion: %(key)-05.2f
struct Conversion {
  std::string key;
  bool has_key = false, left = false, zero = false, plus = false, space = false, alternate = false;
  int width = 0;
  int precision = -1;
  char type = 's';
};

int take_number(std::string_view text, size_t& pos) {
  constexpr int kMaxWidth = 1000;  // a layout, not a way to make megabytes
  int number = 0;
  for (; pos < text.size() && text[pos] >= '0' && text[pos] <= '9'; ++pos) {
    number = number * 10 + (text[pos] - '0');
    if (number > kMaxWidth) {
      fail("a format width or precision is over {}", kMaxWidth);
    }
  }
  return number;
}

Conversion parse_conversion(std::string_view text, size_t& pos) {
  Conversion c;
  if (pos < text.size() && text[pos] == '(') {
    const size_t close = text.find(')', pos);
    if (close == std::string_view::npos) {
      fail("incomplete format key");
    }
    c.key = std::string(text.substr(pos + 1, close - pos - 1));
    c.has_key = true;
    pos = close + 1;
  }
  for (; pos < text.size(); ++pos) {
    const char flag = text[pos];
    c.left = c.left || flag == '-';
    c.zero = c.zero || flag == '0';
    c.plus = c.plus || flag == '+';
    c.space = c.space || flag == ' ';
    c.alternate = c.alternate || flag == '#';
    if (std::string_view("-0+ #").find(flag) == std::string_view::npos) {
      break;
    }
  }
  c.width = take_number(text, pos);
  if (pos < text.size() && text[pos] == '.') {
    ++pos;
    c.precision = take_number(text, pos);
  }
  if (pos >= text.size()) {
    fail("incomplete format");
  }
  c.type = text[pos++];
  return c;
}

std::string format_number(const Conversion& c, const Value& value) {
  double real = 0;
  if (!as_double(value, real)) {
    fail("%{} format: a number is required, not {}", c.type, value.type_name());
  }
  const bool negative = real < 0 || (real == 0 && std::signbit(real));
  std::string digits;
  int64_t integer = 0;
  if (std::string_view("diuxXo").find(c.type) != std::string_view::npos) {
    if (!as_integer(value, integer)) {
      if (std::string_view("xXo").find(c.type) != std::string_view::npos ||
          !(std::abs(real) < 9.2e18)) {
        fail("%{} format: an integer is required, not {}", c.type, value.type_name());
      }
      integer = static_cast<int64_t>(real);
    }
    const uint64_t magnitude =
        integer < 0 ? 0 - static_cast<uint64_t>(integer) : static_cast<uint64_t>(integer);
    digits = c.type == 'x'   ? fmt::format("{:x}", magnitude)
             : c.type == 'X' ? fmt::format("{:X}", magnitude)
             : c.type == 'o' ? fmt::format("{:o}", magnitude)
                             : fmt::format("{}", magnitude);
  } else {
    const int precision = c.precision < 0 ? 6 : c.precision;
    const double magnitude = std::abs(real);
    switch (c.type) {
      case 'f':
      case 'F':
        digits = fmt::format("{:.{}f}", magnitude, precision);
        break;
      case 'e':
        digits = fmt::format("{:.{}e}", magnitude, precision);
        break;
      case 'E':
        digits = fmt::format("{:.{}E}", magnitude, precision);
        break;
      default:
        digits = c.type == 'G' ? fmt::format("{:.{}G}", magnitude, precision)
                               : fmt::format("{:.{}g}", magnitude, precision);
        break;
    }
  }
  const std::string sign =
      negative && (integer < 0 || std::string_view("diuxXo").find(c.type) == std::string_view::npos)
          ? "-"
      : c.plus  ? "+"
      : c.space ? " "
                : "";
  if (c.zero && !c.left && sign.size() + digits.size() < static_cast<size_t>(c.width)) {
    digits.insert(0, static_cast<size_t>(c.width) - sign.size() - digits.size(), '0');
  }
  return sign + digits;
}

void append_padded(StrBuilder& out, const Conversion& c, const Str& text) {
  const size_t size = count_code_points(text.view());
  const auto width = static_cast<size_t>(c.width);
  const std::string padding(width > size ? width - size : 0, ' ');
  if (!c.left) {
    out.append(padding);
  }
  out.append(text);
  if (c.left) {
    out.append(padding);
  }
}

Str convert(const Conversion& c, const Value& value, Budget& budget) {
  switch (c.type) {
    case 's':
    case 'r': {
      StrBuilder out(budget);
      if (c.type == 's') {
        append_str(out, value, budget);
      } else {
        append_repr(out, value, budget);
      }
      const Str text = std::move(out).finish();
      return c.precision < 0
                 ? text
                 : text.slice(0, code_point_offset(text.view(), static_cast<size_t>(c.precision)));
    }
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G': {
      StrBuilder out(budget);
      out.append(format_number(c, value));
      return std::move(out).finish();
    }
    default:
      fail("unsupported format character '{}'", c.type);
  }
}

}  // namespace

Str format_percent(const Str& format,
                   const std::vector<Value>& args,
                   const DictData* mapping,
                   Budget& budget,
                   bool may_stay_unused) {
  const std::string_view text = format.view();
  StrBuilder out(budget);
  size_t used = 0;
  bool keyed = false;
  for (size_t pos = 0; pos < text.size();) {
    const size_t percent = std::min(text.find('%', pos), text.size());
    out.append(format.slice(pos, percent));
    if (percent == text.size()) {
      break;
    }
    pos = percent + 1;
    budget.step();
    const Conversion c = parse_conversion(text, pos);
    if (c.type == '%') {
      out.append(format.slice(percent, percent + 1));
      continue;
    }
    const Value* value = nullptr;
    if (c.has_key) {
      keyed = true;
      value = mapping != nullptr ? dict_find(*mapping, c.key) : nullptr;
      if (value == nullptr) {
        fail("the format needs a mapping with the key '{}'", c.key);
      }
    } else if (used < args.size()) {
      value = &args[used++];
    } else {
      fail("not enough arguments for format string");
    }
    append_padded(out, c, convert(c, *value, budget));
  }
  if (used < args.size() && !keyed && mapping == nullptr && !may_stay_unused) {
    fail("not all arguments converted during string formatting");
  }
  return std::move(out).finish();
}

}  // namespace tutti::jinja
