#include "grammar/json_schema.h"

#include <algorithm>
#include <set>

#include "grammar/pattern.h"
#include "grammar/schema_compiler.h"

namespace tutti::grammar {

namespace {

constexpr size_t kMaxChoices = 2000;
constexpr size_t kMaxRules = 50'000;
constexpr size_t kMaxValueBytes = size_t{1} << 20U;
constexpr size_t kMaxRegexNodes = 1'000'000;

unsigned type_bits(std::string_view name) {
  return name == "null"      ? kNull
         : name == "boolean" ? kBoolean
         : name == "integer" ? kInteger
         : name == "number"  ? kInteger | kFraction
         : name == "string"  ? kString
         : name == "array"   ? kArray
         : name == "object"  ? kObject
                             : 0U;
}

SchemaSet sorted(SchemaSet set) {
  std::ranges::sort(set);
  const auto repeated = std::ranges::unique(set);
  set.erase(repeated.begin(), repeated.end());
  return set;
}

}  // namespace

std::string SchemaCompiler::where(const Bases& bases) const {
  return bases.empty() ? "#" : document_.where(*bases[0]);
}

NodeId SchemaCompiler::node_of(SchemaSet set) {
  set = sorted(std::move(set));
  const auto known = rules_.find(set);
  if (known != rules_.end()) {
    return syntax_.rule(known->second);
  }
  const std::string place = set.empty() ? "any value" : "schema " + document_.where(*set[0].schema);
  const uint32_t rule = syntax_.add_rule(place);
  rules_[set] = rule;
  open_.push_back({std::move(set), rule});
  return syntax_.rule(rule);
}

// Rules are compiled one after the other, not one inside the other: schemas may be nested deeply.
Result<NodeId> SchemaCompiler::compile(const Json& schema) {
  const NodeId root = node_of({{&schema, false}});
  while (!open_.empty()) {
    const Rule rule = std::move(open_.back());
    open_.pop_back();
    if (rules_.size() > kMaxRules || pool_.size() > kMaxRegexNodes) {
      return invalid(
          "schema: too large: more than {} different parts, or its patterns and values "
          "are too long together",
          kMaxRules);
    }
    TUTTI_TRY(const NodeId body, body_of(rule.set));
    syntax_.set_body(rule.rule, body);
  }
  return root;
}

// Where anyOf or oneOf choose, each choice is a set of its own.
Result<NodeId> SchemaCompiler::body_of(const SchemaSet& set) {
  TUTTI_TRY(const std::vector<Bases> choices, resolve(set, kMaxChoices));
  if (choices.size() == 1) {
    return typed(choices[0]);
  }
  std::vector<NodeId> options;
  for (const Bases& bases : choices) {
    SchemaSet one;
    for (const Json* base : bases) {
      one.push_back({base, true});
    }
    options.push_back(node_of(std::move(one)));
  }
  return syntax_.choice(options);
}

Result<std::vector<Bases>> SchemaCompiler::resolve(const SchemaSet& set, size_t most) {
  struct State {
    std::vector<SchemaPart> open;
    std::set<SchemaPart> seen;
    std::set<const Json*> bases;
  };

  std::vector<Bases> out;
  std::vector<State> states{{.open = {set.rbegin(), set.rend()}}};
  while (!states.empty()) {
    if (states.size() + out.size() > most) {
      return invalid("schema {}: anyOf and oneOf make more than {} combinations; merge some",
                     set.empty() ? "#" : document_.where(*set[0].schema),
                     most);
    }
    State state = std::move(states.back());
    states.pop_back();
    bool valid = true;
    bool chosen = false;
    while (!state.open.empty() && valid && !chosen) {
      const SchemaPart part = state.open.back();
      state.open.pop_back();
      if (!state.seen.insert(part).second) {
        continue;
      }
      const Json& schema = *part.schema;
      if (schema.is_bool()) {
        valid = schema.as_bool();
        continue;
      }
      if (!schema.is_object()) {
        return invalid("schema: got {}, wanted an object, true or false", schema.type_name());
      }
      const std::string place = document_.where(schema);
      state.bases.insert(&schema);
      if (part.base) {
        continue;
      }
      TUTTI_RETURN_IF_ERROR(check_keywords(schema, place));
      if (const Json* reference = schema.find("$ref")) {
        if (!reference->is_string()) {
          return invalid("schema {}/$ref: got {}, wanted a string", place, reference->type_name());
        }
        TUTTI_TRY(const Json* target, document_.resolve(reference->as_string(), place));
        state.open.push_back({target, false});
      }
      if (const Json* all = schema.find("allOf")) {
        if (!all->is_array()) {
          return invalid("schema {}/allOf: got {}, wanted a list", place, all->type_name());
        }
        for (const Json& one : all->as_array()) {
          state.open.push_back({&one, false});
        }
      }
      std::vector<const Json*> choosing;
      for (const char* keyword : {"anyOf", "oneOf"}) {
        const Json* list = schema.find(keyword);
        if (list == nullptr) {
          continue;
        }
        if (!list->is_array() || list->as_array().empty()) {
          return invalid("schema {}/{}: wanted a list of one schema at least", place, keyword);
        }
        choosing.push_back(list);
      }
      if (const Json* one_of = schema.find("oneOf")) {
        TUTTI_RETURN_IF_ERROR(check_one_of(schema, *one_of));
      }
      // Each choice goes on by itself.
      std::vector<State> split{state};
      for (const Json* list : choosing) {
        std::vector<State> next;
        for (const State& one : split) {
          for (const Json& choice : list->as_array()) {
            next.push_back(one);
            next.back().open.push_back({&choice, false});
          }
        }
        split = std::move(next);
        if (split.size() > most) {
          return invalid("schema {}: anyOf and oneOf make more than {} combinations", place, most);
        }
      }
      if (!choosing.empty()) {
        states.insert(states.end(), split.rbegin(), split.rend());
        chosen = true;
      }
    }
    if (valid && !chosen) {
      out.emplace_back(state.bases.begin(), state.bases.end());
    }
  }
  // In the order of the document, since the first schema's properties come first.
  for (Bases& bases : out) {
    std::ranges::sort(bases, {}, [&](const Json* base) { return document_.order(*base); });
  }
  return out;
}

// oneOf is anyOf if no two of its schemas can hold at once. The schemas beside it hold as well.
Status SchemaCompiler::check_one_of(const Json& schema, const Json& list) {
  if (!checked_.insert(&list).second) {
    return ok_status();
  }
  const JsonArray& choices = list.as_array();
  for (size_t i = 0; i < choices.size(); ++i) {
    for (size_t k = i + 1; k < choices.size(); ++k) {
      TUTTI_TRY(const bool apart,
                disjoint(sorted({{&schema, true}, {&choices[i], false}}),
                         sorted({{&schema, true}, {&choices[k], false}}),
                         0));
      if (!apart) {
        return error(StatusCode::kUnsupported,
                     "schema {}/oneOf: numbers {} and {} may hold at once, as far as can be told, "
                     "and so it cannot be enforced; use anyOf, or give each a required property "
                     "with a constant of its own",
                     document_.where(schema),
                     i,
                     k);
      }
    }
  }
  return ok_status();
}

Result<unsigned> SchemaCompiler::types_of(const Bases& bases) const {
  unsigned types = kAllTypes;
  for (const Json* base : bases) {
    const Json* type = base->find("type");
    if (type == nullptr) {
      continue;
    }
    const std::string place = document_.where(*base) + "/type";
    unsigned own = 0;
    const auto add = [&](const Json& name) -> Status {
      const unsigned bits = name.is_string() ? type_bits(name.as_string()) : 0U;
      own |= bits;
      return bits != 0 ? ok_status()
                       : invalid(
                             "schema {}: got {}, wanted null, boolean, integer, number, "
                             "string, array or object",
                             place,
                             to_string(name).substr(0, 80));
    };
    if (type->is_array()) {
      for (const Json& name : type->as_array()) {
        TUTTI_RETURN_IF_ERROR(add(name));
      }
    } else {
      TUTTI_RETURN_IF_ERROR(add(*type));
    }
    const Json* nullable = base->find("nullable");
    if (nullable != nullptr && nullable->is_bool() && nullable->as_bool()) {
      own |= kNull;
    }
    types &= own;
  }
  return types;
}

// The values that enum and const leave; nothing if they are not there.
Result<std::optional<std::vector<const Json*>>> SchemaCompiler::values_of(const Bases& bases) {
  std::optional<std::vector<const Json*>> values;
  for (const Json* base : bases) {
    for (const char* keyword : {"enum", "const"}) {
      const Json* list = base->find(keyword);
      if (list == nullptr) {
        continue;
      }
      const bool one = std::string_view(keyword) == "const";
      if (!one && !list->is_array()) {
        return invalid(
            "schema {}/enum: got {}, wanted a list", document_.where(*base), list->type_name());
      }
      if (!values.has_value()) {
        values.emplace();
        if (one) {
          values->push_back(list);
        } else {
          for (const Json& value : list->as_array()) {
            values->push_back(&value);
          }
        }
      }
    }
  }
  return values;
}

NodeId SchemaCompiler::node_of_values(const std::vector<const Json*>& values) {
  std::vector<std::string> texts;
  std::vector<ExprId> others;
  for (const Json* value : values) {
    if (value->is_array() || value->is_object()) {
      others.push_back(text_.value(*value));
    } else {
      texts.push_back(to_string(*value));
    }
  }
  others.push_back(pool_.any_of({texts.begin(), texts.end()}));
  return syntax_.terminal(pool_.either(others));
}

// Of "not", what can be said without it: {"type": …}, {"enum": […]}, {"const": …}, true, false.
Result<unsigned> SchemaCompiler::excluded_types(const Json& base) const {
  const Json* inner = base.find("not");
  if (inner == nullptr) {
    return 0U;
  }
  if (inner->is_bool()) {
    return inner->as_bool() ? kAllTypes : 0U;
  }
  bool values = false;
  bool types = false;
  for (const JsonMember& member : inner->as_object()) {
    values = values || member.key == "enum" || member.key == "const";
    types = types || member.key == "type";
    if (is_assertion(member.key) && member.key != "enum" && member.key != "const" &&
        member.key != "type") {
      return error(StatusCode::kUnsupported,
                   "schema {}/not: only type, enum and const can be enforced in it, not \"{}\"",
                   document_.where(base),
                   member.key);
    }
  }
  if (values) {
    return 0U;
  }
  return types ? types_of({inner}) : Result<unsigned>(kAllTypes);
}

Result<std::vector<const Json*>> SchemaCompiler::excluded_values(const Bases& bases) const {
  std::vector<const Json*> out;
  for (const Json* base : bases) {
    const Json* inner = base->find("not");
    if (inner == nullptr || !inner->is_object()) {
      continue;
    }
    if (const Json* one = inner->find("const")) {
      out.push_back(one);
    }
    const Json* list = inner->find("enum");
    if (list != nullptr && list->is_array()) {
      for (const Json& value : list->as_array()) {
        out.push_back(&value);
      }
    }
    for (const Json* value : out) {
      if (value->is_array() || value->is_object() || value->is_double()) {
        return error(StatusCode::kUnsupported,
                     "schema {}/not: {} cannot be taken away",
                     document_.where(*base),
                     value->type_name());
      }
    }
  }
  return out;
}

Result<NodeId> SchemaCompiler::typed(const Bases& bases) {
  TUTTI_TRY(unsigned types, types_of(bases));
  TUTTI_TRY(const auto values, values_of(bases));
  if (values.has_value()) {
    std::vector<const Json*> left;
    for (const Json* value : *values) {
      value_bytes_ += to_string(*value).size();
      if (value_bytes_ > kMaxValueBytes) {
        return invalid("schema {}: the values of enum and const have more than {} bytes together",
                       where(bases),
                       kMaxValueBytes);
      }
      TUTTI_TRY(const bool fits, admits(bases, *value, 0));
      if (fits) {
        left.push_back(value);
      }
    }
    return node_of_values(left);
  }
  TUTTI_TRY(const std::vector<const Json*> nots, excluded_values(bases));
  std::vector<NodeId> options;
  const auto barred = [&](const char* text) {
    return std::ranges::any_of(nots, [&](const Json* value) { return to_string(*value) == text; });
  };
  for (const Json* base : bases) {
    TUTTI_TRY(const unsigned out, excluded_types(*base));
    if ((out & kInteger) != 0 && (out & kFraction) == 0 && (types & kFraction) != 0) {
      return error(StatusCode::kUnsupported,
                   "schema {}/not: integers cannot be taken away from numbers",
                   document_.where(*base));
    }
    types &= ~out;
  }
  std::vector<ExprId> words;
  for (const auto& [bit, word] :
       {std::pair{kNull, "null"}, {kBoolean, "true"}, {kBoolean, "false"}}) {
    if ((types & bit) != 0 && !barred(word)) {
      words.push_back(pool_.literal(word));
    }
  }
  options.push_back(syntax_.terminal(pool_.either(words)));
  if ((types & (kInteger | kFraction)) != 0) {
    TUTTI_TRY(const ExprId number_text, number(bases, (types & kFraction) == 0));
    options.push_back(syntax_.terminal(number_text));
  }
  if ((types & kString) != 0) {
    TUTTI_TRY(const ExprId string_text, string(bases));
    options.push_back(syntax_.terminal(string_text));
  }
  if ((types & kArray) != 0) {
    TUTTI_TRY(const NodeId node, array(bases));
    options.push_back(node);
  }
  if ((types & kObject) != 0) {
    TUTTI_TRY(const NodeId node, object(bases));
    options.push_back(node);
  }
  return syntax_.choice(options);
}

Result<NodeId> add_json_schema(const Json& schema, const SchemaOptions& options, Syntax& out) {
  std::optional<ExprId> space;
  if (options.space.has_value()) {
    TUTTI_TRY(
        space,
        compile_pattern(
            out.pool(), *options.space, PatternUse::kWhole, Writing::kPlain, RegexPool::kNothing));
  }
  JsonText text(out.pool(), space);
  TUTTI_TRY(SchemaDocument document, SchemaDocument::read(schema));
  return SchemaCompiler(document, options, out, text).compile(schema);
}

}  // namespace tutti::grammar
