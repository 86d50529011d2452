// Which tools are called: the choice as OpenAI writes it, which other dialects are put into.
#pragma once
#include <string>

#include "base/json.h"
#include "serve/dialect.h"

namespace tutti {

/// `choice`: none, auto, required (any), one function or allowed_tools; `field` as the client calls
/// it. The declared tools stand in `out`; none: no other choice can be made, and the model is shown
/// none.
Status choose_tools(const Json& choice, const std::string& field, CanonicalRequest& out);

/// Whether one of the tools promises that its arguments are valid ("strict": true).
bool any_strict(const Json& tools);

}  // namespace tutti
