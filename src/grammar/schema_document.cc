#include "grammar/schema_document.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "base/field_error.h"

namespace tutti::grammar {

namespace {

// What would change the meaning if it were passed over.
constexpr std::string_view kRefused[] = {"if",
                                         "then",
                                         "else",
                                         "dependentSchemas",
                                         "dependencies",
                                         "contains",
                                         "minContains",
                                         "maxContains",
                                         "unevaluatedItems",
                                         "unevaluatedProperties",
                                         "$dynamicRef",
                                         "$recursiveRef",
                                         "extends",
                                         "disallow",
                                         "divisibleBy"};

// Keywords whose value asks for nothing.
bool asks_for_nothing(std::string_view keyword, const Json& value) {
  const bool open = keyword == "unevaluatedItems" || keyword == "unevaluatedProperties";
  const bool empty = value.is_object() && value.as_object().empty();
  return open && (empty || (value.is_bool() && value.as_bool()));
}

enum class Holds { kSchema, kList, kMap, kSchemaOrList };

struct Keyword {
  std::string_view name;
  Holds holds;
};

// Where schemas stand in a schema.
constexpr Keyword kHolders[] = {
    {"properties", Holds::kMap},
    {"patternProperties", Holds::kMap},
    {"$defs", Holds::kMap},
    {"definitions", Holds::kMap},
    {"additionalProperties", Holds::kSchema},
    {"propertyNames", Holds::kSchema},
    {"items", Holds::kSchemaOrList},
    {"additionalItems", Holds::kSchema},
    {"prefixItems", Holds::kList},
    {"allOf", Holds::kList},
    {"anyOf", Holds::kList},
    {"oneOf", Holds::kList},
    {"not", Holds::kSchema},
};

std::string escaped(std::string_view key) {
  std::string out;
  for (const char c : key) {
    out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  }
  return out;
}

// "%24defs" is "$defs", "~1" is "/".
std::string unescaped(std::string_view token) {
  std::string out;
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '%' && i + 2 < token.size()) {
      int code = 0;
      const auto read = std::from_chars(token.data() + i + 1, token.data() + i + 3, code, 16);
      if (read.ec == std::errc() && read.ptr == token.data() + i + 3) {
        out.push_back(static_cast<char>(code));
        i += 2;
        continue;
      }
    }
    out.push_back(token[i]);
  }
  std::string plain;
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == '~' && i + 1 < out.size() && (out[i + 1] == '0' || out[i + 1] == '1')) {
      plain.push_back(out[++i] == '0' ? '~' : '/');
    } else {
      plain.push_back(out[i]);
    }
  }
  return plain;
}

const Json* step_into(const Json& at, const std::string& token) {
  if (at.is_object()) {
    return at.find(token);
  }
  if (!at.is_array()) {
    return nullptr;
  }
  size_t index = 0;
  const auto read = std::from_chars(token.data(), token.data() + token.size(), index);
  const bool number = read.ec == std::errc() && read.ptr == token.data() + token.size();
  return number && index < at.as_array().size() ? &at.as_array()[index] : nullptr;
}

}  // namespace

bool is_assertion(std::string_view keyword) {
  constexpr std::string_view kOthers[] = {"type",
                                          "enum",
                                          "const",
                                          "$ref",
                                          "required",
                                          "minProperties",
                                          "maxProperties",
                                          "dependentRequired",
                                          "minItems",
                                          "maxItems",
                                          "uniqueItems",
                                          "minLength",
                                          "maxLength",
                                          "pattern",
                                          "format",
                                          "minimum",
                                          "maximum",
                                          "exclusiveMinimum",
                                          "exclusiveMaximum",
                                          "multipleOf"};
  return std::ranges::find(kOthers, keyword) != std::end(kOthers) ||
         std::ranges::find(kRefused, keyword) != std::end(kRefused) ||
         std::ranges::any_of(kHolders, [&](const Keyword& holder) {
           return holder.name == keyword && keyword != "$defs" && keyword != "definitions";
         });
}

Status check_keywords(const Json& schema, const std::string& where) {
  for (const JsonMember& member : schema.as_object()) {
    if (std::ranges::find(kRefused, member.key) != std::end(kRefused) &&
        !asks_for_nothing(member.key, member.value)) {
      return error(StatusCode::kUnsupported,
                   "schema {}: \"{}\" cannot be enforced; leave it out or say it otherwise (the "
                   "keywords that are enforced are listed in docs/structured-output.md)",
                   where,
                   member.key);
    }
  }
  return ok_status();
}

Result<SchemaDocument> SchemaDocument::read(const Json& schema) {
  SchemaDocument document;
  document.root_ = &schema;
  TUTTI_RETURN_IF_ERROR(document.index(schema, "#"));
  return document;
}

Status SchemaDocument::index(const Json& root, std::string pointer) {
  std::vector<std::pair<const Json*, std::string>> open{{&root, std::move(pointer)}};
  while (!open.empty()) {
    const auto [schema, place] = std::move(open.back());
    open.pop_back();
    if (!schema->is_object() && !schema->is_bool()) {
      return invalid(
          "schema {}: got {}, wanted an object, true or false", place, schema->type_name());
    }
    if (!places_.try_emplace(schema, Place{place, places_.size()}).second) {
      continue;
    }
    if (!schema->is_object()) {
      continue;
    }
    for (const char* name : {"$anchor", "$dynamicAnchor"}) {
      const Json* anchor = schema->find(name);
      if (anchor != nullptr && anchor->is_string()) {
        anchors_["#" + anchor->as_string()] = schema;
      }
    }
    const Json* id = schema->find("$id");
    if (id != nullptr && id->is_string()) {
      anchors_[id->as_string()] = schema;
    }
    std::vector<std::pair<const Json*, std::string>> inside;
    for (const Keyword& keyword : kHolders) {
      const Json* value = schema->find(keyword.name);
      if (value == nullptr) {
        continue;
      }
      const std::string below = fmt::format("{}/{}", place, keyword.name);
      const bool list = keyword.holds == Holds::kList ||
                        (keyword.holds == Holds::kSchemaOrList && value->is_array());
      if (list) {
        if (!value->is_array()) {
          return invalid("schema {}: got {}, wanted a list of schemas", below, value->type_name());
        }
        for (size_t i = 0; i < value->as_array().size(); ++i) {
          inside.emplace_back(&value->as_array()[i], fmt::format("{}/{}", below, i));
        }
      } else if (keyword.holds == Holds::kMap) {
        if (!value->is_object()) {
          return invalid(
              "schema {}: got {}, wanted an object of schemas", below, value->type_name());
        }
        for (const JsonMember& member : value->as_object()) {
          inside.emplace_back(&member.value, fmt::format("{}/{}", below, escaped(member.key)));
        }
      } else {
        inside.emplace_back(value, below);
      }
    }
    open.insert(open.end(), inside.rbegin(), inside.rend());
  }
  return ok_status();
}

Result<const Json*> SchemaDocument::resolve(const std::string& reference,
                                            const std::string& where) {
  const auto named = anchors_.find(reference);
  if (named != anchors_.end()) {
    return named->second;
  }
  const size_t hash = reference.find('#');
  const std::string base = reference.substr(0, hash);
  const Json* at = nullptr;
  if (base.empty()) {
    at = root_;
  } else if (const auto found = anchors_.find(base); found != anchors_.end()) {
    at = found->second;
  }
  if (at == nullptr) {
    return invalid(
        "schema {}/$ref: \"{}\" is not in this schema, and nothing is fetched; put it "
        "under $defs and refer to \"#/$defs/…\"",
        where,
        reference.substr(0, 120));
  }
  const std::string pointer = hash == std::string::npos ? "" : reference.substr(hash + 1);
  for (size_t begin = 0; begin < pointer.size();) {
    const size_t end = std::min(pointer.find('/', begin + 1), pointer.size());
    at = pointer[begin] == '/'
             ? step_into(*at,
                         unescaped(std::string_view(pointer).substr(begin + 1, end - begin - 1)))
             : nullptr;
    if (at == nullptr) {
      return invalid("schema {}/$ref: \"{}\" names no part of it", where, reference.substr(0, 120));
    }
    begin = end;
  }
  if (!at->is_object() && !at->is_bool()) {
    return invalid("schema {}/$ref: \"{}\" is {}, wanted a schema",
                   where,
                   reference.substr(0, 120),
                   at->type_name());
  }
  // It may stand where no schema is expected.
  TUTTI_RETURN_IF_ERROR(index(*at, "#" + pointer));
  return at;
}

std::string SchemaDocument::where(const Json& schema) const {
  const auto found = places_.find(&schema);
  return found == places_.end() ? "#" : found->second.pointer;
}

size_t SchemaDocument::order(const Json& schema) const {
  const auto found = places_.find(&schema);
  return found == places_.end() ? places_.size() : found->second.order;
}

}  // namespace tutti::grammar
