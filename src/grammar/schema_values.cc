// Which values a schema admits, for enum and const beside other keywords; and whether two schemas
// of a oneOf can hold at once.
#include <algorithm>
#include <cmath>

#include "grammar/lazy_dfa.h"
#include "grammar/schema_compiler.h"

namespace tutti::grammar {

namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxChoices = 64;

unsigned type_of(const Json& value) {
  if (value.is_number()) {
    const double number = value.as_number();
    return number == std::floor(number) ? kInteger : kFraction;
  }
  return value.is_null()     ? kNull
         : value.is_bool()   ? kBoolean
         : value.is_string() ? kString
         : value.is_array()  ? kArray
                             : kObject;
}

// As JSON Schema compares: 1 and 1.0 are equal, and the order of members does not matter.
bool equal(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) {
    return a.is_int() && b.is_int() ? a.as_int() == b.as_int() : a.as_number() == b.as_number();
  }
  if (a.is_array() && b.is_array()) {
    return std::ranges::equal(a.as_array(), b.as_array(), equal);
  }
  if (a.is_object() && b.is_object()) {
    return a.as_object().size() == b.as_object().size() &&
           std::ranges::all_of(a.as_object(), [&](const JsonMember& member) {
             const Json* other = b.find(member.key);
             return other != nullptr && equal(member.value, *other);
           });
  }
  return type_of(a) == type_of(b) && to_string(a) == to_string(b);
}

// The same for equal values that are no lists and no objects.
std::string text_of(const Json& value) {
  const bool whole = value.is_double() && value.as_number() == std::floor(value.as_number()) &&
                     std::abs(value.as_number()) < 9e15;
  return to_string(whole ? Json(static_cast<int64_t>(value.as_number())) : value);
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace

bool SchemaCompiler::listed(const Json& list, const Json& value) {
  const auto [found, added] = listed_.try_emplace(&list);
  if (added) {
    for (const Json& one : list.as_array()) {
      found->second.insert(text_of(one));
    }
  }
  return found->second.contains(text_of(value)) ||
         ((value.is_array() || value.is_object()) &&
          std::ranges::any_of(list.as_array(), [&](const Json& one) { return equal(one, value); }));
}

Result<bool> SchemaCompiler::admits(const SchemaSet& set, const Json& value, int depth) {
  if (depth > kMaxDepth) {
    return invalid("schema: a value of enum or const is nested deeper than {}", kMaxDepth);
  }
  TUTTI_TRY(const std::vector<Bases> choices, resolve(set, kMaxChoices));
  for (const Bases& bases : choices) {
    TUTTI_TRY(const bool fits, admits(bases, value, depth));
    if (fits) {
      return true;
    }
  }
  return false;
}

Result<bool> SchemaCompiler::admits(const Bases& bases, const Json& value, int depth) {
  TUTTI_TRY(const unsigned types, types_of(bases));
  const unsigned type = type_of(value);
  if ((types & type) == 0) {
    return false;
  }
  for (const Json* base : bases) {
    const Json* list = base->find("enum");
    const Json* one = base->find("const");
    if ((list != nullptr && list->is_array() && !listed(*list, value)) ||
        (one != nullptr && !equal(*one, value))) {
      return false;
    }
    TUTTI_TRY(const unsigned excluded, excluded_types(*base));
    if ((excluded & type) != 0) {
      return false;
    }
  }
  TUTTI_TRY(const std::vector<const Json*> nots, excluded_values(bases));
  if (std::ranges::any_of(nots, [&](const Json* other) { return equal(*other, value); })) {
    return false;
  }
  if ((type & (kInteger | kFraction)) != 0) {
    for (const Json* base : bases) {
      const double number = value.as_number();
      const auto fails = [&](const char* keyword, auto&& test) {
        const Json* bound = base->find(keyword);
        return bound != nullptr && bound->is_number() && !test(bound->as_number());
      };
      if (fails("minimum", [&](double bound) { return number >= bound; }) ||
          fails("maximum", [&](double bound) { return number <= bound; }) ||
          fails("exclusiveMinimum", [&](double bound) { return number > bound; }) ||
          fails("exclusiveMaximum", [&](double bound) { return number < bound; }) ||
          fails("multipleOf", [&](double bound) {
            const double times = number / bound;
            return std::abs(times - std::round(times)) < 1e-9;
          })) {
        return false;
      }
    }
    return true;
  }
  if (type == kString) {
    TUTTI_TRY(const StringLimits limits, string_limits(bases));
    const size_t length = characters(value.as_string());
    const std::string content = json_string_content(value.as_string());
    return length >= limits.min && (limits.max == kUnbounded || length <= limits.max) &&
           std::ranges::all_of(limits.contents,
                               [&](ExprId expr) { return pool_.matches(expr, content); });
  }
  if (type == kArray) {
    const JsonArray& items = value.as_array();
    for (const Json* base : bases) {
      TUTTI_TRY(const auto min, count(*base, "minItems"));
      TUTTI_TRY(const auto max, count(*base, "maxItems"));
      if (items.size() < min.value_or(0) || items.size() > max.value_or(kUnbounded)) {
        return false;
      }
    }
    for (size_t i = 0; i < items.size(); ++i) {
      TUTTI_TRY(const bool fits, admits(element_set(bases, i), items[i], depth + 1));
      if (!fits) {
        return false;
      }
    }
  }
  return type == kObject ? admits_object(bases, value, depth) : Result<bool>(true);
}

Result<bool> SchemaCompiler::admits_object(const Bases& bases, const Json& value, int depth) {
  TUTTI_TRY(const Properties common, properties_of(bases));
  const JsonObject& members = value.as_object();
  if (members.size() < common.min || members.size() > common.max) {
    return false;
  }
  for (const auto& [name, required] : common.required) {
    if (required && !members.contains(name)) {
      return false;
    }
  }
  for (const JsonMember& member : members) {
    const auto needs = common.needs.find(member.key);
    if (needs != common.needs.end() && !std::ranges::all_of(needs->second, [&](const auto& need) {
          return members.contains(need);
        })) {
      return false;
    }
    const std::string content = json_string_content(member.key);
    if (!std::ranges::all_of(common.names_match,
                             [&](ExprId keys) { return pool_.matches(keys, content); })) {
      return false;
    }
    TUTTI_TRY(const SchemaSet set, property_set(bases, common, member.key));
    TUTTI_TRY(const bool fits, admits(set, member.value, depth + 1));
    if (!fits) {
      return false;
    }
  }
  return true;
}

Result<bool> SchemaCompiler::disjoint(const SchemaSet& a, const SchemaSet& b, int depth) {
  TUTTI_TRY(const std::vector<Bases> left, resolve(a, kMaxChoices));
  TUTTI_TRY(const std::vector<Bases> right, resolve(b, kMaxChoices));
  for (const Bases& one : left) {
    for (const Bases& other : right) {
      TUTTI_TRY(const bool apart, disjoint(one, other, depth));
      if (!apart) {
        return false;
      }
    }
  }
  return true;
}

bool SchemaCompiler::no_common_text(ExprId a, ExprId b) {
  const ExprId common = pool_.both(a, b);
  return !pool_.has_text(common, 2000).value_or(true);
}

// Members that both require decide: their values must be apart.
Result<bool> SchemaCompiler::disjoint(const Bases& a, const Bases& b, int depth) {
  TUTTI_TRY(const auto values_a, values_of(a));
  TUTTI_TRY(const auto values_b, values_of(b));
  if (values_a.has_value() || values_b.has_value()) {
    for (const Json* value : values_a.has_value() ? *values_a : *values_b) {
      TUTTI_TRY(const bool in_a, admits(a, *value, 0));
      TUTTI_TRY(const bool in_b, admits(b, *value, 0));
      if (in_a && in_b) {
        return false;
      }
    }
    return true;
  }
  TUTTI_TRY(const unsigned types_a, types_of(a));
  TUTTI_TRY(const unsigned types_b, types_of(b));
  const unsigned common = types_a & types_b;
  if ((common & (kNull | kBoolean | kArray)) != 0) {
    return false;
  }
  if ((common & (kInteger | kFraction)) != 0) {
    TUTTI_TRY(const ExprId left, number(a, (common & kFraction) == 0));
    TUTTI_TRY(const ExprId right, number(b, (common & kFraction) == 0));
    if (!no_common_text(left, right)) {
      return false;
    }
  }
  if ((common & kString) != 0) {
    TUTTI_TRY(const ExprId left, string(a));
    TUTTI_TRY(const ExprId right, string(b));
    if (!no_common_text(left, right)) {
      return false;
    }
  }
  if ((common & kObject) == 0) {
    return true;
  }
  TUTTI_TRY(const Properties left, properties_of(a));
  TUTTI_TRY(const Properties right, properties_of(b));
  for (const auto* side : {&left, &right}) {
    for (const auto& [name, required] : side->required) {
      const Properties& other = side == &left ? right : left;
      const auto in_other = other.required.find(name);
      if (!required) {
        continue;
      }
      TUTTI_TRY(const SchemaSet set_a, property_set(a, left, name));
      TUTTI_TRY(const SchemaSet set_b, property_set(b, right, name));
      const bool both = in_other != other.required.end() && in_other->second;
      if (both && depth < 4) {
        TUTTI_TRY(const bool apart, disjoint(set_a, set_b, depth + 1));
        if (apart) {
          return true;
        }
      }
      // Or one must have it and the other must not.
      TUTTI_TRY(const std::vector<Bases> allowed,
                resolve(side == &left ? set_b : set_a, kMaxChoices));
      if (allowed.empty()) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace tutti::grammar
