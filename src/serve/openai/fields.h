// The fields of OpenAI's generation routes. Fields that are parameters of a request come from the
// table in engine/request_parameters.h; a row here adds the routes and, where OpenAI allows less, a
// narrower range.
#pragma once
#include <span>

#include "serve/field_rules.h"

namespace tutti {

// Bits of FieldRule::routes, by OpenAiRoute.
inline constexpr unsigned kChatOnly = 1;
inline constexpr unsigned kCompletionsOnly = 2;
inline constexpr unsigned kBothRoutes = kChatOnly | kCompletionsOnly;

std::span<const FieldRule> openai_fields();

/// Names that other APIs have for them.
std::span<const FieldAlias> openai_aliases();

}  // namespace tutti
