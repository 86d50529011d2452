#include <algorithm>
#include <charconv>
#include <cmath>

#include "jinja/filters.h"
#include "jinja/text_format.h"

namespace tutti::jinja::filters {

namespace {

Value ignore_case(const Value& value, bool case_sensitive, Budget& budget) {
  const Str* text = value.str();
  return text != nullptr && !case_sensitive ? map_case(*text, CaseMap::kLower, budget) : value;
}

struct Keyed {
  std::vector<Value> key;
  Value item;
};

/// What is compared.
enum class Keys : uint8_t {
  kLists,   ///< as Python compares lists: equal keys need no order, so undefined ones can be sorted
  kSingle,  ///< the first key alone: what has no order is an error, equal or not
};

bool key_less(const Keyed& a, const Keyed& b, Keys keys, Budget& budget) {
  if (keys == Keys::kSingle) {
    return less(a.key[0], b.key[0], "<", budget);
  }
  for (size_t i = 0; i < a.key.size(); ++i) {
    if (!equal(a.key[i], b.key[i], budget)) {
      return less(a.key[i], b.key[i], "<", budget);
    }
  }
  return false;
}

/// Sorts like Python's sorted(): stable, also in reverse. A template may compare anything, so the
/// algorithm must stay in bounds for an order that is no order: merge sort does.
void sort_keyed(std::vector<Keyed>& items, Keys keys, bool reverse, Budget& budget) {
  const auto before = [&](const Keyed& a, const Keyed& b) {
    return reverse ? key_less(b, a, keys, budget) : key_less(a, b, keys, budget);
  };
  std::vector<Keyed> merged(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    for (size_t low = 0; low < items.size(); low += 2 * width) {
      size_t left = low;
      const size_t middle = std::min(low + width, items.size());
      size_t right = middle;
      const size_t high = std::min(low + 2 * width, items.size());
      for (size_t out = low; out < high; ++out) {
        const bool take_right =
            left >= middle || (right < high && before(items[right], items[left]));
        merged[out] = std::move(items[take_right ? right++ : left++]);
      }
    }
    std::swap(items, merged);
  }
}

std::vector<Value> items_of(std::vector<Keyed>& keyed) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (Keyed& entry : keyed) {
    items.push_back(std::move(entry.item));
  }
  return items;
}

}  // namespace

Value sort(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "sort");
  const bool reverse = reader.boolean("reverse", false);
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.done();
  std::vector<AttributePath> paths;
  if (attribute != nullptr && attribute->str() != nullptr) {
    const std::string_view comma = ",";
    for (const Str& part : split(*attribute->str(), &comma, -1, in.budget())) {
      paths.emplace_back(part, in.budget());
    }
  } else {
    paths.emplace_back(attribute != nullptr ? *attribute : Value(None{}), in.budget());
  }
  const ListPtr list = in.iterate(input);
  std::vector<Keyed> keyed;
  for (const Value& item : list->items) {
    Keyed entry{.key = {}, .item = item};
    for (const AttributePath& path : paths) {
      in.budget().step();
      entry.key.push_back(ignore_case(path.of(in, item), case_sensitive, in.budget()));
    }
    keyed.push_back(std::move(entry));
  }
  sort_keyed(keyed, Keys::kLists, reverse, in.budget());
  return in.list(items_of(keyed));
}

Value dict_sort(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "dictsort");
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const Value* by = reader.optional("by");
  const bool reverse = reader.boolean("reverse", false);
  reader.done();
  const std::string_view by_name =
      by != nullptr && by->str() != nullptr ? by->str()->view() : std::string_view("key");
  if (input.dict() == nullptr || (by_name != "key" && by_name != "value")) {
    fail("the filter 'dictsort' needs a mapping and by='key' or by='value'");
  }
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.dict()->items) {
    in.budget().step();
    const Value& subject = by_name == "key" ? key : value;
    keyed.push_back({{ignore_case(subject, case_sensitive, in.budget())},
                     in.list({key, value}, ListKind::kTuple)});
  }
  sort_keyed(keyed, Keys::kSingle, reverse, in.budget());
  return in.list(items_of(keyed));
}

Value unique(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "unique");
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.done();
  const AttributePath path(attribute != nullptr ? *attribute : Value(None{}), in.budget());
  const ListPtr list = in.iterate(input);
  const auto seen = make_dict(in.budget());
  std::vector<Value> out;
  for (const Value& item : list->items) {
    in.budget().step();
    Value key = ignore_case(path.of(in, item), case_sensitive, in.budget());
    if (dict_find(*seen, key, in.budget()) == nullptr) {
      dict_set(*seen, std::move(key), None{}, in.budget());
      out.push_back(item);
    }
  }
  return in.list(std::move(out), ListKind::kGenerator);
}

Value group_by(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "groupby");
  const AttributePath path(reader.required("attribute"), in.budget());
  const Value* fallback = reader.optional("default");
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  reader.done();
  const ListPtr list = in.iterate(input);
  std::vector<Keyed> keyed;
  for (const Value& item : list->items) {
    in.budget().step();
    keyed.push_back(
        {{ignore_case(path.of(in, item, fallback), case_sensitive, in.budget())}, item});
  }
  sort_keyed(keyed, Keys::kSingle, false, in.budget());
  std::vector<Value> groups;
  for (size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> members;
    size_t end = begin;
    while (end < keyed.size() && equal(keyed[end].key[0], keyed[begin].key[0], in.budget())) {
      members.push_back(keyed[end++].item);
    }
    end += end == begin ? 1 : 0;  // a key that is not equal to itself (nan)
    Value name = path.of(in, keyed[begin].item, fallback);
    groups.emplace_back(in.list({std::move(name), in.list(std::move(members))}, ListKind::kTuple));
    begin = end;
  }
  return in.list(std::move(groups));
}

namespace {

Value extreme(Interpreter& in, const Value& input, CallArgs& args, bool maximum) {
  ArgReader reader(args, maximum ? "max" : "min");
  const bool case_sensitive = reader.boolean("case_sensitive", false);
  const Value* attribute = reader.optional("attribute");
  reader.done();
  const AttributePath path(attribute != nullptr ? *attribute : Value(None{}), in.budget());
  const ListPtr list = in.iterate(input);
  const Value* best = nullptr;
  Value best_key;
  for (const Value& item : list->items) {
    in.budget().step();
    Value key = ignore_case(path.of(in, item), case_sensitive, in.budget());
    if (best == nullptr ||
        (maximum ? less(best_key, key, ">", in.budget()) : less(key, best_key, "<", in.budget()))) {
      best = &item;
      best_key = std::move(key);
    }
  }
  return best != nullptr ? *best
                         : Value(Undefined{.hint = "No aggregated item, sequence was empty."});
}

}  // namespace

Value minimum(Interpreter& in, const Value& input, CallArgs& args) {
  return extreme(in, input, args, false);
}

Value maximum(Interpreter& in, const Value& input, CallArgs& args) {
  return extreme(in, input, args, true);
}

Value sum(Interpreter& in, const Value& input, CallArgs& args) {
  ArgReader reader(args, "sum");
  const Value* attribute = reader.optional("attribute");
  const Value* start = reader.optional("start");
  reader.done();
  if (start != nullptr && start->str() != nullptr) {
    fail("sum() can't sum strings; use the filter 'join'");
  }
  const AttributePath path(attribute != nullptr ? *attribute : Value(None{}), in.budget());
  Value total = start != nullptr ? *start : Value(int64_t{0});
  const ListPtr list = in.iterate(input);
  for (const Value& item : list->items) {
    in.budget().step();
    total = binary(Op::kAdd, total, path.of(in, item), in.budget());
  }
  return total;
}

Value absolute(Interpreter&, const Value& input, CallArgs& args) {
  ArgReader(args, "abs").done();
  int64_t number = 0;
  if (as_integer(input, number)) {
    return number < 0 ? negate(number) : Value(number);
  }
  if (const double* real = input.real()) {
    return std::abs(*real);
  }
  fail("the filter 'abs' needs a number, not {}", input.type_name());
}

namespace {

// Python's round(x, n): correctly rounded decimal, ties to even.
double round_half_even(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 300) {
    return value;
  }
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-std::max<int64_t>(precision, -300)));
    return std::nearbyint(value / scale) * scale;
  }
  const std::string text = fmt::format("{:.{}f}", value, precision);
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return rounded;
}

}  // namespace

Value round_number(Interpreter&, const Value& input, CallArgs& args) {
  ArgReader reader(args, "round");
  const int64_t precision = reader.optional_int("precision").value_or(0);
  const Value* method_arg = reader.optional("method");
  reader.done();
  const std::string_view method = method_arg != nullptr && method_arg->str() != nullptr
                                      ? method_arg->str()->view()
                                      : std::string_view("common");
  double number = 0;
  if (!as_double(input, number)) {
    fail("the filter 'round' needs a number, not {}", input.type_name());
  }
  if (method == "common") {
    int64_t integer = 0;
    if (as_integer(input, integer) && precision >= 0) {
      return integer;
    }
    return round_half_even(number, precision);
  }
  if (method != "ceil" && method != "floor") {
    fail("round: method must be common, ceil or floor");
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double whole = method == "ceil" ? std::ceil(number * scale) : std::floor(number * scale);
  if (!std::isfinite(whole)) {
    fail("round: {} has no whole number near it", number);
  }
  return (whole + 0.0) / scale;  // Python's integers have no -0
}

namespace {

// Text of a Python number literal: no surrounding space, no underscores between digits.
std::optional<std::string> number_text(const Str& text) {
  const std::string_view view = strip(text, Side::kBoth, nullptr).view();
  constexpr size_t kMaxDigits = 400;
  if (view.empty() || view.size() > kMaxDigits) {
    return std::nullopt;
  }
  std::string out;
  for (size_t i = 0; i < view.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < view.size() && std::isxdigit(static_cast<unsigned char>(view[at])) != 0;
    };
    if (view[i] != '_') {
      out.push_back(view[i]);
    } else if (i == 0 || !digit(i - 1) || !digit(i + 1)) {
      return std::nullopt;
    }
  }
  if (out[0] == '+' && out.size() > 1 && out[1] != '-') {
    out.erase(0, 1);
  }
  return out;
}

std::optional<int64_t> parse_int(const Str& text, int64_t base) {
  std::optional<std::string> digits = number_text(text);
  if (!digits || base < 2 || base > 36) {
    return std::nullopt;
  }
  const bool negative = (*digits)[0] == '-';
  size_t begin = negative ? 1 : 0;
  const char prefix = begin + 1 < digits->size() && (*digits)[begin] == '0'
                          ? static_cast<char>((*digits)[begin + 1] | 0x20)
                          : '\0';
  if ((prefix == 'x' && base == 16) || (prefix == 'o' && base == 8) ||
      (prefix == 'b' && base == 2)) {
    begin += 2;
  }
  int64_t value = 0;
  const char* const end = digits->data() + digits->size();
  if (begin >= digits->size() || (*digits)[begin] == '-') {
    return std::nullopt;
  }
  const auto [stop, code] =
      std::from_chars(digits->data() + begin, end, value, static_cast<int>(base));
  if (code == std::errc::result_out_of_range) {
    fail("int: the number does not fit 64 bits");
  }
  return code == std::errc() && stop == end ? std::optional(negative ? -value : value)
                                            : std::nullopt;
}

std::optional<double> parse_double(const Str& text) {
  const std::optional<std::string> digits = number_text(text);
  if (!digits) {
    return std::nullopt;
  }
  double value = 0;
  const char* const end = digits->data() + digits->size();
  const auto [stop, code] = std::from_chars(digits->data(), end, value);
  return (code == std::errc() || code == std::errc::result_out_of_range) && stop == end
             ? std::optional(value)
             : std::nullopt;
}

int64_t truncate_double(double value) {
  if (!(std::abs(value) < 9.2e18)) {
    fail("int: the number does not fit 64 bits");
  }
  return static_cast<int64_t>(value);
}

}  // namespace

Value to_int(Interpreter&, const Value& input, CallArgs& args) {
  ArgReader reader(args, "int");
  const Value* fallback = reader.optional("default");
  const int64_t base = reader.optional_int("base").value_or(10);
  reader.done();
  int64_t number = 0;
  if (as_integer(input, number)) {
    return number;
  }
  if (const double* real = input.real(); real != nullptr && !std::isnan(*real)) {
    return truncate_double(*real);
  }
  if (input.is_undefined()) {
    fail_undefined(*input.undefined());
  }
  if (const Str* text = input.str()) {
    if (const std::optional<int64_t> parsed = parse_int(*text, base)) {
      return *parsed;
    }
    if (const std::optional<double> parsed = parse_double(*text); parsed && !std::isnan(*parsed)) {
      return truncate_double(*parsed);
    }
  }
  return fallback != nullptr ? *fallback : Value(int64_t{0});
}

Value to_float(Interpreter&, const Value& input, CallArgs& args) {
  ArgReader reader(args, "float");
  const Value* fallback = reader.optional("default");
  reader.done();
  double number = 0;
  if (as_double(input, number)) {
    return number;
  }
  if (input.is_undefined()) {
    fail_undefined(*input.undefined());
  }
  if (const Str* text = input.str()) {
    if (const std::optional<double> parsed = parse_double(*text)) {
      return *parsed;
    }
  }
  return fallback != nullptr ? *fallback : Value(0.0);
}

}  // namespace tutti::jinja::filters
