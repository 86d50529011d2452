// JSON schemas (2020-12, and what 2019-09 and draft 7 have besides) as grammars.
#pragma once
#include <optional>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "grammar/syntax.h"

namespace tutti::grammar {

struct SchemaOptions {
  /// Members of objects in any order, instead of that in which the schema declares them.
  bool any_order = false;
  /// Objects that declare properties have no others unless they say so (OpenAI's strict mode).
  bool closed = false;
  /// What may stand between the pieces of a JSON text, as a pattern; unset: see JsonText.
  std::optional<std::string> space;
};

/// The node of the JSON texts that are valid under `schema`. Errors: kInvalidArgument of what is no
/// schema, kUnsupported, naming the keyword, of what cannot be enforced. The keywords are listed in
/// docs/structured-output.md.
Result<NodeId> add_json_schema(const Json& schema, const SchemaOptions& options, Syntax& out);

}  // namespace tutti::grammar
