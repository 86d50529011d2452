// What a request wants its output to be, whatever API said so and however.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "grammar/json_schema.h"
#include "grammar/syntax.h"

namespace tutti::grammar {

struct GrammarSpec {
  enum class Kind {
    kJsonObject,  ///< any JSON object
    kJsonSchema,  ///< `schema`
    kPattern,     ///< `text`: a regular expression that the whole output matches
    kChoice,      ///< one of `choices`
    kGbnf,        ///< `text`
  };

  Kind kind = Kind::kJsonObject;
  std::shared_ptr<const Json> schema;
  std::string text;
  std::vector<std::string> choices;
  SchemaOptions options;
  std::string field;  ///< of the request, for errors: "response_format.json_schema.schema"

  /// Equal for specs with the same texts that were asked for alike.
  std::string key() const;
};

/// The node of the spec's texts. Errors are about `field`.
Result<NodeId> add_spec(const GrammarSpec& spec, Syntax& out);

}  // namespace tutti::grammar
