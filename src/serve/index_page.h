// What `GET /` shows: that the server runs, whether it is ready, and its routes.
#pragma once
#include <string>
#include <string_view>

#include "base/status.h"
#include "serve/http_message.h"

namespace tutti {

/// For browsers a page, for others {"name", "status", "reason", "routes"}. `accept`: the header's
/// value, "" if absent. `readiness`: why the server takes no requests, or ok.
HttpResponse index_response(std::string_view accept, const Status& readiness);

}  // namespace tutti
