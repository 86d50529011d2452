// The description of the HTTP interface in OpenAPI 3.1 (spec.openapis.org/oas/v3.1), made from the
// tables that the server itself goes by: routes, fields, ranges, defaults.
#pragma once
#include "base/json.h"

namespace tutti {

/// One object; the same for every server of a build.
Json openapi_document();

}  // namespace tutti
