// The `is` tests.
#include <algorithm>

#include "jinja/interpreter.h"
#include "jinja/text_format.h"

namespace tutti::jinja {

namespace {

using TestPtr = bool (*)(Interpreter&, const Value&, CallArgs&);

template <bool (*predicate)(const Value&)>
bool plain(Interpreter&, const Value& value, CallArgs& args) {
  ArgReader(args, "test").done();
  return predicate(value);
}

bool is_defined(const Value& v) {
  return !v.is_undefined();
}

bool is_undefined(const Value& v) {
  return v.is_undefined();
}

bool is_none(const Value& v) {
  return v.is_none();
}

bool is_boolean(const Value& v) {
  return v.boolean() != nullptr;
}

bool is_true(const Value& v) {
  return v.boolean() != nullptr && *v.boolean();
}

bool is_false(const Value& v) {
  return v.boolean() != nullptr && !*v.boolean();
}

bool is_integer(const Value& v) {
  return v.integer() != nullptr;
}

bool is_float(const Value& v) {
  return v.real() != nullptr;
}

bool is_number(const Value& v) {
  double ignored = 0;
  return as_double(v, ignored);
}

// Arguments that the client sent as text are a string and a mapping at once: a template that prints
// strings as they are keeps the client's own text.
bool is_string(const Value& v) {
  return v.str() != nullptr || (v.dict() != nullptr && v.dict()->sent_as_text);
}

bool is_mapping(const Value& v) {
  return v.dict() != nullptr;
}

bool is_callable(const Value& v) {
  return v.callable() != nullptr || v.loop() != nullptr || v.is_undefined();
}

bool is_iterable(const Value& v) {
  return v.str() != nullptr || v.list() != nullptr || v.dict() != nullptr || v.loop() != nullptr ||
         v.is_undefined();
}

// Has a length and items by index. Python's Undefined has both.
bool is_sequence(const Value& v) {
  const ListData* list = v.list();
  return v.str() != nullptr || v.dict() != nullptr || v.is_undefined() ||
         (list != nullptr && list->kind <= ListKind::kRange);
}

bool is_never(const Value&) {
  return false;  // `escaped`: there is no automatic escaping
}

bool has_remainder(Interpreter& in, const Value& value, const Value& divisor, int64_t remainder) {
  return equal(binary(Op::kMod, value, divisor, in.budget()), remainder, in.budget());
}

bool is_odd(Interpreter& in, const Value& value, CallArgs& args) {
  ArgReader(args, "odd").done();
  return has_remainder(in, value, int64_t{2}, 1);
}

bool is_even(Interpreter& in, const Value& value, CallArgs& args) {
  ArgReader(args, "even").done();
  return has_remainder(in, value, int64_t{2}, 0);
}

bool is_divisible(Interpreter& in, const Value& value, CallArgs& args) {
  ArgReader reader(args, "divisibleby");
  const Value& divisor = reader.required("num");
  reader.done();
  return has_remainder(in, value, divisor, 0);
}

template <bool upper>
bool has_case(Interpreter& in, const Value& value, CallArgs& args) {
  const Value text = to_str(value, in.budget());
  return truthy(find_string_method(upper ? "isupper" : "islower")(in, text, args));
}

const Value& other(CallArgs& args) {
  ArgReader reader(args, "test");
  const Value& value = reader.required("other");
  reader.done();
  return value;
}

bool test_eq(Interpreter& in, const Value& value, CallArgs& args) {
  return equal(value, other(args), in.budget());
}

bool test_ne(Interpreter& in, const Value& value, CallArgs& args) {
  return !equal(value, other(args), in.budget());
}

bool test_lt(Interpreter& in, const Value& value, CallArgs& args) {
  return less(value, other(args), "<", in.budget());
}

bool test_gt(Interpreter& in, const Value& value, CallArgs& args) {
  return less(other(args), value, ">", in.budget());
}

bool test_le(Interpreter& in, const Value& value, CallArgs& args) {
  return test_lt(in, value, args) || test_eq(in, value, args);
}

bool test_ge(Interpreter& in, const Value& value, CallArgs& args) {
  return test_gt(in, value, args) || test_eq(in, value, args);
}

bool test_in(Interpreter& in, const Value& value, CallArgs& args) {
  return contains(other(args), value, in.budget());
}

// Python's `is`, which templates use on true, false and none.
bool test_sameas(Interpreter& in, const Value& value, CallArgs& args) {
  const Value& b = other(args);
  return std::string_view(value.type_name()) == b.type_name() && equal(value, b, in.budget());
}

bool test_filter(Interpreter& in, const Value& value, CallArgs& args) {
  ArgReader(args, "filter").done();
  return find_filter(to_str(value, in.budget()).view()) != nullptr;
}

bool test_test(Interpreter& in, const Value& value, CallArgs& args) {
  ArgReader(args, "test").done();
  return is_test(to_str(value, in.budget()).view());
}

struct Test {
  std::string_view name;
  TestPtr run;
};

constexpr Test kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"iterable", plain<is_iterable>},
    {"sequence", plain<is_sequence>},
    {"number", plain<is_number>},
    {"boolean", plain<is_boolean>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"callable", plain<is_callable>},
    {"escaped", plain<is_never>},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisible},
    {"upper", has_case<true>},
    {"lower", has_case<false>},
    {"in", test_in},
    {"sameas", test_sameas},
    {"filter", test_filter},
    {"test", test_test},
    {"==", test_eq},
    {"eq", test_eq},
    {"equalto", test_eq},
    {"!=", test_ne},
    {"ne", test_ne},
    {"<", test_lt},
    {"lt", test_lt},
    {"lessthan", test_lt},
    {">", test_gt},
    {"gt", test_gt},
    {"greaterthan", test_gt},
    {"<=", test_le},
    {"le", test_le},
    {">=", test_ge},
    {"ge", test_ge},
};

const Test* find_test(std::string_view name) {
  const auto* const found = std::find_if(
      std::begin(kTests), std::end(kTests), [&](const Test& test) { return test.name == name; });
  return found != std::end(kTests) ? found : nullptr;
}

}  // namespace

bool is_test(std::string_view name) {
  return find_test(name) != nullptr;
}

bool Interpreter::apply_test(const std::string& name, const Value& input, CallArgs& args) {
  budget_.step();
  const Test* test = find_test(name);
  if (test == nullptr) {
    fail("no test is named '{}'", name);
  }
  return test->run(*this, input, args);
}

}  // namespace tutti::jinja
