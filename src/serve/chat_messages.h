// Checks and normalises the "messages" of a chat request.
#pragma once
#include "base/json.h"
#include "base/status.h"
#include "serve/http_limits.h"

namespace tutti {

/// Returns messages as chat templates expect them: `content` is always a string (text parts are
/// joined by newlines, null becomes ""), the role "developer" becomes "system". Everything else of
/// a message is kept. Errors name the path: "messages[2].content[0].type". Images, audio and tool
/// messages are kUnsupported.
Result<Json> normalise_messages(const JsonArray& messages, const RequestLimits& limits);

}  // namespace tutti
