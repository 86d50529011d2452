// A page for people about every route and field, made from the description in OpenAPI, which comes
// from the tables the server itself goes by. It loads nothing and runs nothing.
#pragma once
#include <string>
#include <string_view>

#include "serve/http_message.h"

namespace tutti {

/// `text` as HTML shows it.
std::string html_text(std::string_view text);

/// GET /docs; the same for every server of a build.
HttpResponse docs_response();

}  // namespace tutti
