// YAML as JSON values, for files that people write: maps, lists, texts, numbers, true, false, null
// (the core schema of YAML 1.2). No anchors, tags, merges or several documents.
#pragma once
#include <string_view>

#include "base/json.h"

namespace tutti {

/// kInvalidArgument names line and column. An empty document is null.
Result<Json> parse_yaml(std::string_view text);

}  // namespace tutti
