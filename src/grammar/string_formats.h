// JSON Schema's "format" of strings, as patterns.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "base/status.h"
#include "grammar/regex_pool.h"

namespace tutti::grammar {

/// Names of the formats that are enforced, in order.
std::span<const std::string_view> string_formats();

/// What stands between the quotes. kUnsupported for a format that is not enforced.
Result<ExprId> string_format(RegexPool& pool, std::string_view name);

}  // namespace tutti::grammar
