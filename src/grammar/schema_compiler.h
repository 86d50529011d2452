// How a JSON schema becomes a grammar (json_schema.h). What must hold at one place of a document is
// a set of schemas, all of which must: references, allOf, and the keywords that several schemas
// have for one property add to the set. Each set is compiled once.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "grammar/json_number.h"
#include "grammar/json_schema.h"
#include "grammar/json_text.h"
#include "grammar/schema_document.h"

namespace tutti::grammar {

/// Kinds of JSON values, as bits. A number has one of two.
enum JsonType : unsigned {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kFraction = 8,  ///< a number that is no integer
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAllTypes = 127,
};

/// One schema that must hold. `base`: without its $ref, allOf, anyOf and oneOf, which have been
/// looked at.
struct SchemaPart {
  const Json* schema = nullptr;
  bool base = false;

  auto operator<=>(const SchemaPart&) const = default;
};

/// All of them must hold. Ascending.
using SchemaSet = std::vector<SchemaPart>;

/// The keywords of one place with what chooses between schemas resolved: plain objects.
using Bases = std::vector<const Json*>;

class SchemaCompiler {
 public:
  SchemaCompiler(SchemaDocument& document,
                 const SchemaOptions& options,
                 Syntax& syntax,
                 JsonText& text)
      : document_(document),
        options_(options),
        syntax_(syntax),
        pool_(syntax.pool()),
        text_(text) {}

  Result<NodeId> compile(const Json& schema);

 private:
  struct Rule {
    SchemaSet set;
    uint32_t rule = 0;
  };

  struct StringLimits {
    uint32_t min = 0;
    uint32_t max = kUnbounded;
    std::vector<ExprId> contents;  // all of which must hold

    bool free() const { return min == 0 && max == kUnbounded && contents.empty(); }
  };

  // What is common to the schemas of an object.
  struct Properties;

  // json_schema.cc
  NodeId node_of(SchemaSet set);
  Result<NodeId> body_of(const SchemaSet& set);
  /// One entry for each choice that anyOf and oneOf leave; none if nothing is valid.
  Result<std::vector<Bases>> resolve(const SchemaSet& set, size_t most);
  Status check_one_of(const Json& schema, const Json& list);
  Result<NodeId> typed(const Bases& bases);
  Result<unsigned> types_of(const Bases& bases) const;
  Result<std::optional<std::vector<const Json*>>> values_of(const Bases& bases);
  NodeId node_of_values(const std::vector<const Json*>& values);
  /// What `not` excludes: whole types, or single values.
  Result<unsigned> excluded_types(const Json& base) const;
  Result<std::vector<const Json*>> excluded_values(const Bases& bases) const;
  std::string where(const Bases& bases) const;

  // schema_types.cc
  Result<ExprId> number(const Bases& bases, bool integer);
  Result<ExprId> string(const Bases& bases);
  Result<StringLimits> string_limits(const Bases& bases);
  Result<NodeId> array(const Bases& bases);
  Result<NodeId> object(const Bases& bases);
  Result<ExprId> pattern(const Json& pattern, const std::string& where);
  Result<Properties> properties_of(const Bases& bases);
  Result<SchemaSet> property_set(const Bases& bases,
                                 const Properties& common,
                                 const std::string& name);
  SchemaSet element_set(const Bases& bases, size_t index) const;
  Status add_others(const Bases& bases, const Properties& common, ObjectShape& shape);
  Result<std::optional<uint32_t>> count(const Json& schema, const char* keyword) const;

  // schema_values.cc
  Result<bool> admits(const SchemaSet& set, const Json& value, int depth);
  Result<bool> admits(const Bases& bases, const Json& value, int depth);
  Result<bool> admits_object(const Bases& bases, const Json& value, int depth);
  Result<bool> disjoint(const SchemaSet& a, const SchemaSet& b, int depth);
  Result<bool> disjoint(const Bases& a, const Bases& b, int depth);
  bool no_common_text(ExprId a, ExprId b);
  bool listed(const Json& list, const Json& value);

  SchemaDocument& document_;
  const SchemaOptions& options_;
  Syntax& syntax_;
  RegexPool& pool_;
  JsonText& text_;
  std::map<SchemaSet, uint32_t> rules_;
  std::vector<Rule> open_;
  std::map<std::string, ExprId> patterns_;
  // Of lists of enum: the texts of their numbers, strings and words.
  std::map<const Json*, std::set<std::string>> listed_;
  std::set<const Json*> checked_;  // lists of oneOf
  size_t value_bytes_ = 0;         // of enum and const
};

/// What is known of the members of an object.
struct SchemaCompiler::Properties {
  std::vector<std::string> names;  // declared or required, in the order they come
  std::map<std::string, bool> required;
  std::map<std::string, std::vector<std::string>> needs;
  std::vector<std::pair<std::string, ExprId>> patterns;  // of patternProperties
  std::vector<ExprId> names_match;                       // of propertyNames: all of them
  uint32_t min = 0;
  uint32_t max = kUnbounded;
};

}  // namespace tutti::grammar
