// The description of the HTTP interface in OpenAPI 3.1 (spec.openapis.org/oas/v3.1), made from the
// tables that the server itself goes by: routes, fields, ranges, defaults.
#pragma once
#include <string>

#include "base/json.h"

namespace tutti {

struct Route;

/// One object; the same for every server of a build.
Json openapi_document();

/// What the route does, in a few words.
std::string route_summary(const Route& route);

}  // namespace tutti
