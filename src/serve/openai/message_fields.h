// Checks and normalises the "messages" of a chat request.
#pragma once
#include "base/json.h"
#include "base/status.h"
#include "serve/http_limits.h"

namespace tutti {

/// Returns messages as chat templates expect them: `content` is a string or a list of text parts,
/// null only beside tool calls and else ""; the role "developer" becomes "system". Everything else
/// of a message is kept. Errors name the path: "messages[2].content[0].type". Images and audio are
/// kUnsupported.
Result<Json> normalise_messages(const JsonArray& messages, const RequestLimits& limits);

}  // namespace tutti
