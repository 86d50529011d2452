// Tools for models whose chat template shows none although the model has a form of calls
// (DeepSeek-R1): they are described in the system message.
#pragma once
#include "base/json.h"

namespace tutti {

/// `messages` with the tools behind the text of the first system message, or in one of their own
/// at the beginning. The form is documented in docs/structured-output.md.
Json with_tools_described(const Json& messages, const Json& tools);

}  // namespace tutti
