// The keywords of each type.
#include <algorithm>

#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"
#include "grammar/string_formats.h"

namespace tutti::grammar {

namespace {

// No text is longer: as good as no bound.
constexpr uint32_t kMuch = 1'000'000'000;
// Sets of patterns of keys: each combination is a kind of key.
constexpr size_t kMaxKeyPatterns = 6;

}  // namespace

Result<std::optional<uint32_t>> SchemaCompiler::count(const Json& schema,
                                                      const char* keyword) const {
  using Count = std::optional<uint32_t>;
  const Json* value = schema.find(keyword);
  if (value == nullptr) {
    return Count();
  }
  const bool whole =
      value->is_number() && value->as_number() >= 0 &&
      value->as_number() ==
          static_cast<double>(static_cast<int64_t>(std::min(value->as_number(), 9e15)));
  if (!whole) {
    return invalid("schema {}/{}: got {}, wanted a whole number from 0",
                   document_.where(schema),
                   keyword,
                   value->is_number() ? to_string(*value) : value->type_name());
  }
  return Count(static_cast<uint32_t>(std::min(value->as_number(), double{kMuch})));
}

Result<ExprId> SchemaCompiler::number(const Bases& bases, bool integer) {
  NumberBounds bounds{.integer = integer};
  std::vector<ExprId> all;
  for (const Json* base : bases) {
    const std::string place = document_.where(*base);
    const auto read = [&](const char* keyword) -> Result<std::optional<Decimal>> {
      const Json* value = base->find(keyword);
      if (value == nullptr) {
        return std::optional<Decimal>();
      }
      if (!value->is_number()) {
        return invalid("schema {}/{}: got {}, wanted a number", place, keyword, value->type_name());
      }
      std::optional<Decimal> exact = Decimal::of(*value);
      if (!exact.has_value()) {
        return error(StatusCode::kUnsupported,
                     "schema {}/{}: {} has too many digits to be enforced",
                     place,
                     keyword,
                     to_string(*value).substr(0, 40));
      }
      return exact;
    };
    TUTTI_TRY(const auto min, read("minimum"));
    TUTTI_TRY(const auto max, read("maximum"));
    TUTTI_TRY(const auto above, read("exclusiveMinimum"));
    TUTTI_TRY(const auto below, read("exclusiveMaximum"));
    TUTTI_TRY(const auto step, read("multipleOf"));
    if (min.has_value()) {
      bounds.at_least(*min, false);
    }
    if (above.has_value()) {
      bounds.at_least(*above, true);
    }
    if (max.has_value()) {
      bounds.at_most(*max, false);
    }
    if (below.has_value()) {
      bounds.at_most(*below, true);
    }
    const Json* format = base->find("format");
    if (format != nullptr && format->is_string()) {
      const std::string& name = format->as_string();
      const bool is32 = name == "int32";
      if (is32 || name == "int64") {
        bounds.at_least(*Decimal::of(Json(is32 ? int64_t{INT32_MIN} : INT64_MIN)), false);
        bounds.at_most(*Decimal::of(Json(is32 ? int64_t{INT32_MAX} : INT64_MAX)), false);
      }
    }
    if (step.has_value()) {
      if (step->zero() || step->negative) {
        return invalid("schema {}/multipleOf: wanted a number above 0", place);
      }
      auto multiples = multiples_of(pool_, *step);
      if (!multiples.ok()) {
        return error(multiples.status().code(),
                     "schema {}/multipleOf: {}",
                     place,
                     multiples.status().message());
      }
      all.push_back(*multiples);
    }
  }
  all.push_back(number_within(pool_, bounds));
  TUTTI_TRY(const std::vector<const Json*> nots, excluded_values(bases));
  for (const Json* value : nots) {
    if (value->is_number() && !integer) {
      return error(StatusCode::kUnsupported,
                   "schema {}/not: a number cannot be taken away from numbers, only from integers",
                   where(bases));
    }
    if (value->is_number()) {
      all.push_back(pool_.complement(pool_.literal(to_string(*value))));
    }
  }
  return pool_.both(all);
}

Result<ExprId> SchemaCompiler::pattern(const Json& pattern, const std::string& where) {
  if (!pattern.is_string()) {
    return invalid("schema {}: got {}, wanted a pattern", where, pattern.type_name());
  }
  const auto known = patterns_.find(pattern.as_string());
  if (known != patterns_.end()) {
    return known->second;
  }
  auto made = compile_pattern(
      pool_, pattern.as_string(), PatternUse::kSearch, Writing::kJsonString, text_.usual_char());
  if (!made.ok()) {
    return error(made.status().code(), "schema {}: {}", where, made.status().message());
  }
  patterns_[pattern.as_string()] = *made;
  return *made;
}

Result<SchemaCompiler::StringLimits> SchemaCompiler::string_limits(const Bases& bases) {
  StringLimits limits;
  for (const Json* base : bases) {
    const std::string place = document_.where(*base);
    TUTTI_TRY(const auto min, count(*base, "minLength"));
    TUTTI_TRY(const auto max, count(*base, "maxLength"));
    limits.min = std::max(limits.min, min.value_or(0));
    if (max.has_value() && *max < kMuch) {
      limits.max = std::min(limits.max, *max);
    }
    if (const Json* own = base->find("pattern")) {
      TUTTI_TRY(const ExprId content, pattern(*own, place + "/pattern"));
      limits.contents.push_back(content);
    }
    const Json* format = base->find("format");
    if (format != nullptr && format->is_string()) {
      auto content = string_format(pool_, format->as_string());
      if (!content.ok()) {
        return error(
            content.status().code(), "schema {}/format: {}", place, content.status().message());
      }
      limits.contents.push_back(*content);
    }
  }
  TUTTI_TRY(const std::vector<const Json*> nots, excluded_values(bases));
  std::vector<std::string> barred;
  for (const Json* value : nots) {
    if (value->is_string()) {
      barred.push_back(json_string_content(value->as_string()));
    }
  }
  if (!barred.empty()) {
    limits.contents.push_back(
        pool_.both(pool_.repeat(text_.usual_char(), 0, kUnbounded),
                   pool_.complement(pool_.any_of({barred.begin(), barred.end()}))));
  }
  return limits;
}

Result<ExprId> SchemaCompiler::string(const Bases& bases) {
  TUTTI_TRY(StringLimits limits, string_limits(bases));
  if (limits.min > limits.max) {
    return ExprId{RegexPool::kNothing};
  }
  if (limits.contents.empty() || limits.min > 0 || limits.max != kUnbounded) {
    limits.contents.push_back(pool_.repeat(text_.any_char(), limits.min, limits.max));
  }
  return text_.quoted(pool_.both(limits.contents));
}

SchemaSet SchemaCompiler::element_set(const Bases& bases, size_t index) const {
  SchemaSet set;
  for (const Json* base : bases) {
    const Json* items = base->find("items");
    const Json* listed = base->find("prefixItems");
    const Json* rest = items;
    if (items != nullptr && items->is_array()) {  // before 2020-12
      listed = items;
      rest = base->find("additionalItems");
    }
    if (listed != nullptr && listed->is_array() && index < listed->as_array().size()) {
      set.push_back({&listed->as_array()[index], false});
    } else if (rest != nullptr) {
      set.push_back({rest, false});
    }
  }
  return set;
}

Result<NodeId> SchemaCompiler::array(const Bases& bases) {
  ArrayShape shape{.open = text_.open('['), .close = text_.close(']'), .comma = text_.comma()};
  size_t listed = 0;
  for (const Json* base : bases) {
    const Json* unique = base->find("uniqueItems");
    TUTTI_TRY(const auto min, count(*base, "minItems"));
    TUTTI_TRY(const auto max, count(*base, "maxItems"));
    shape.min = std::max(shape.min, min.value_or(0));
    if (max.has_value() && *max < kMuch) {
      shape.max = std::min(shape.max, *max);
    }
    if (unique != nullptr && !(unique->is_bool() && !unique->as_bool()) && shape.max > 1) {
      return error(StatusCode::kUnsupported,
                   "schema {}: \"uniqueItems\" cannot be enforced; leave it out and check what "
                   "comes",
                   document_.where(*base));
    }
    for (const char* keyword : {"prefixItems", "items"}) {
      const Json* list = base->find(keyword);
      if (list != nullptr && list->is_array()) {
        listed = std::max(listed, list->as_array().size());
      }
    }
  }
  if (shape.min > shape.max) {
    return NodeId{Syntax::kNothing};
  }
  for (size_t i = 0; i < listed; ++i) {
    shape.first.push_back(node_of(element_set(bases, i)));
  }
  shape.rest = node_of(element_set(bases, listed));
  return syntax_.array(std::move(shape));
}

Result<SchemaCompiler::Properties> SchemaCompiler::properties_of(const Bases& bases) {
  Properties common;
  const auto declare = [&](const std::string& name) {
    if (common.required.try_emplace(name, false).second) {
      common.names.push_back(name);
    }
  };
  for (const Json* base : bases) {
    const std::string place = document_.where(*base);
    if (const Json* declared = base->find("properties")) {
      for (const JsonMember& member : declared->as_object()) {
        declare(member.key);
      }
    }
    if (const Json* patterns = base->find("patternProperties")) {
      for (const JsonMember& member : patterns->as_object()) {
        TUTTI_TRY(const ExprId keys, pattern(Json(member.key), place + "/patternProperties"));
        const std::pair entry(member.key, keys);
        if (std::ranges::find(common.patterns, entry) == common.patterns.end()) {
          common.patterns.push_back(entry);
        }
      }
    }
    TUTTI_TRY(const auto min, count(*base, "minProperties"));
    TUTTI_TRY(const auto max, count(*base, "maxProperties"));
    common.min = std::max(common.min, min.value_or(0));
    if (max.has_value() && *max < kMuch) {
      common.max = std::min(common.max, *max);
    }
    if (const Json* names = base->find("propertyNames")) {
      TUTTI_TRY(const std::vector<Bases> choices, resolve({{names, false}}, 16));
      std::vector<ExprId> match;
      for (const Bases& choice : choices) {
        TUTTI_TRY(const auto values, values_of(choice));
        if (values.has_value()) {
          std::vector<std::string> texts;
          for (const Json* value : *values) {
            TUTTI_TRY(const bool fits, admits(choice, *value, 0));
            if (value->is_string() && fits) {
              texts.push_back(json_string_content(value->as_string()));
            }
          }
          match.push_back(pool_.any_of({texts.begin(), texts.end()}));
          continue;
        }
        TUTTI_TRY(const unsigned types, types_of(choice));
        TUTTI_TRY(StringLimits limits, string_limits(choice));
        if ((types & kString) != 0 && limits.min <= limits.max) {
          limits.contents.push_back(pool_.repeat(text_.usual_char(), limits.min, limits.max));
          match.push_back(pool_.both(limits.contents));
        }
      }
      common.names_match.push_back(pool_.either(match));
    }
  }
  for (const Json* base : bases) {
    const std::string place = document_.where(*base);
    if (const Json* list = base->find("required")) {
      if (!list->is_array()) {
        return invalid("schema {}/required: got {}, wanted a list", place, list->type_name());
      }
      for (const Json& name : list->as_array()) {
        if (!name.is_string()) {
          return invalid("schema {}/required: got {}, wanted strings", place, name.type_name());
        }
        declare(name.as_string());
        common.required[name.as_string()] = true;
      }
    }
    const Json* dependent = base->find("dependentRequired");
    if (dependent == nullptr) {
      continue;
    }
    if (!dependent->is_object()) {
      return invalid(
          "schema {}/dependentRequired: got {}, wanted an object", place, dependent->type_name());
    }
    for (const JsonMember& member : dependent->as_object()) {
      declare(member.key);
      if (!member.value.is_array()) {
        return invalid("schema {}/dependentRequired: wanted lists of names", place);
      }
      for (const Json& name : member.value.as_array()) {
        if (!name.is_string()) {
          return invalid("schema {}/dependentRequired: wanted lists of names", place);
        }
        declare(name.as_string());
        common.needs[member.key].push_back(name.as_string());
      }
    }
  }
  if (!common.needs.empty() && (common.min > 0 || common.max != kUnbounded)) {
    return error(StatusCode::kUnsupported,
                 "schema {}: \"dependentRequired\" cannot be enforced together with minProperties "
                 "or maxProperties",
                 where(bases));
  }
  return common;
}

// All that says something about the member of that name.
Result<SchemaSet> SchemaCompiler::property_set(const Bases& bases,
                                               const Properties& common,
                                               const std::string& name) {
  SchemaSet set;
  const std::string content = json_string_content(name);
  for (const Json* base : bases) {
    bool declared = false;
    const Json* properties = base->find("properties");
    if (properties != nullptr) {
      if (const Json* own = properties->find(name)) {
        set.push_back({own, false});
        declared = true;
      }
    }
    if (const Json* patterns = base->find("patternProperties")) {
      for (const auto& [pattern, keys] : common.patterns) {
        const Json* own = patterns->find(pattern);
        if (own != nullptr && pool_.matches(keys, content)) {
          set.push_back({own, false});
          declared = true;
        }
      }
    }
    const Json* others = base->find("additionalProperties");
    if (!declared && others != nullptr) {
      set.push_back({others, false});
    }
  }
  return set;
}

// Keys that are not declared, by which of the patterns they match.
Status SchemaCompiler::add_others(const Bases& bases,
                                  const Properties& common,
                                  ObjectShape& shape) {
  if (common.patterns.size() > kMaxKeyPatterns) {
    return error(StatusCode::kUnsupported,
                 "schema {}: more than {} patternProperties cannot be enforced",
                 where(bases),
                 kMaxKeyPatterns);
  }
  std::vector<std::string> declared;
  for (const std::string& name : common.names) {
    declared.push_back(json_string_content(name));
  }
  bool closed = false;
  for (const Json* base : bases) {
    closed = closed || (options_.closed && base->find("properties") != nullptr);
  }
  for (size_t match = 0; match < size_t{1} << common.patterns.size(); ++match) {
    std::vector<ExprId> keys = common.names_match;
    keys.push_back(pool_.repeat(text_.usual_char(), 0, kUnbounded));
    if (!declared.empty()) {
      keys.push_back(pool_.complement(pool_.any_of({declared.begin(), declared.end()})));
    }
    for (size_t i = 0; i < common.patterns.size(); ++i) {
      const ExprId pattern = common.patterns[i].second;
      keys.push_back((match >> i & 1U) != 0 ? pattern : pool_.complement(pattern));
    }
    SchemaSet set;
    bool stated = false;
    for (const Json* base : bases) {
      const Json* patterns = base->find("patternProperties");
      bool matched = false;
      for (size_t i = 0; patterns != nullptr && i < common.patterns.size(); ++i) {
        const Json* own = patterns->find(common.patterns[i].first);
        if (own != nullptr && (match >> i & 1U) != 0) {
          set.push_back({own, false});
          matched = true;
        }
      }
      const Json* others = base->find("additionalProperties");
      if (!matched && others != nullptr) {
        set.push_back({others, false});
      }
      stated = stated || matched || others != nullptr;
    }
    if (closed && !stated) {
      continue;
    }
    const ExprId key = text_.key(text_.quoted(pool_.both(keys)));
    shape.others.push_back({.first = key,
                            .later = pool_.concat(text_.comma(), key),
                            .value = node_of(std::move(set))});
  }
  return ok_status();
}

Result<NodeId> SchemaCompiler::object(const Bases& bases) {
  TUTTI_TRY(const Properties common, properties_of(bases));
  if (common.min > common.max) {
    return NodeId{Syntax::kNothing};
  }
  ObjectShape shape{.open = text_.open('{'),
                    .close = text_.close('}'),
                    .min = common.min,
                    .max = common.max,
                    .any_order = options_.any_order};
  std::map<std::string, uint32_t> index;
  for (const std::string& name : common.names) {
    index[name] = static_cast<uint32_t>(index.size());
  }
  for (const std::string& name : common.names) {
    const std::string content = json_string_content(name);
    TUTTI_TRY(SchemaSet set, property_set(bases, common, name));
    const bool named = std::ranges::all_of(
        common.names_match, [&](ExprId keys) { return pool_.matches(keys, content); });
    const ExprId key = text_.key(text_.quoted(pool_.literal(content)));
    ObjectShape::Member member{.first = key,
                               .later = pool_.concat(text_.comma(), key),
                               .value = named ? node_of(std::move(set)) : NodeId{Syntax::kNothing},
                               .required = common.required.at(name)};
    // With what those need that it needs.
    std::vector<std::string> open{name};
    while (!open.empty()) {
      const auto found = common.needs.find(open.back());
      open.pop_back();
      if (found == common.needs.end()) {
        continue;
      }
      for (const std::string& need : found->second) {
        const uint32_t at = index.at(need);
        if (need != name && std::ranges::find(member.needs, at) == member.needs.end()) {
          member.needs.push_back(at);
          open.push_back(need);
        }
      }
    }
    shape.members.push_back(std::move(member));
  }
  TUTTI_RETURN_IF_ERROR(add_others(bases, common, shape));
  return syntax_.object(std::move(shape));
}

}  // namespace tutti::grammar
