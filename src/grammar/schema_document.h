// A JSON schema and the places in it that references name.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace tutti::grammar {

/// What is in an object of a schema: which keywords mean something here, and which are refused.
/// Others say nothing about what is valid (JSON Schema 2020-12, core, 6.5).
Status check_keywords(const Json& schema, const std::string& where);

/// Whether a keyword says what is valid.
bool is_assertion(std::string_view keyword);

class SchemaDocument {
 public:
  /// `schema` must outlive this.
  static Result<SchemaDocument> read(const Json& schema);

  const Json& root() const { return *root_; }

  /// The schema that `reference` names: "#", "#/$defs/x", "#anchor", or the same behind the "$id"
  /// of a part. Nothing is fetched. kInvalidArgument if there is none.
  Result<const Json*> resolve(const std::string& reference, const std::string& where);

  /// As a JSON pointer, "#/properties/x", for errors. `schema` is part of the document.
  std::string where(const Json& schema) const;

  /// Smaller for what stands before, and for definitions than for what may refer to them.
  size_t order(const Json& schema) const;

 private:
  struct Place {
    std::string pointer;
    size_t order = 0;
  };

  // Checks and remembers `schema` and what is in it.
  Status index(const Json& schema, std::string pointer);

  const Json* root_ = nullptr;
  std::map<const Json*, Place> places_;
  std::map<std::string, const Json*, std::less<>> anchors_;
};

}  // namespace tutti::grammar
