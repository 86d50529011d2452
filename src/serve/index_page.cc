#include "serve/index_page.h"

#include "base/json.h"
#include "base/utf8.h"
#include "serve/docs_page.h"
#include "serve/http_api.h"
#include "serve/openapi.h"

namespace tutti {

namespace {

// Programs name what they want, or */*; only browsers ask for pages.
bool wants_page(std::string_view accept) {
  return accept.find("text/html") != std::string_view::npos &&
         accept.find("application/json") == std::string_view::npos;
}

std::string page(const Status& readiness) {
  std::string rows;
  for (const Route& route : route_table()) {
    const std::string path = html_text(route.pattern());
    const bool link = std::string_view(route.method) == "GET" && !route.takes_name();
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                        route.method,
                        link ? fmt::format(R"(<a href="{0}"><code>{0}</code></a>)", path)
                             : fmt::format("<code>{}</code>", path),
                        html_text(route_summary(route)),
                        route.needs_key ? "with the key, if one is set" : "");
  }
  return fmt::format(
      R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Tutti</title><link rel="icon" href="data:,">
<style>body{{font-family:sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}}td{{padding:.1rem .8rem .1rem 0}}</style></head>
<body><h1>Tutti</h1><p>This server runs and is {}.</p>
<p>The base URL for OpenAI clients is this address with <code>/v1</code> behind it.</p>
<table>
{}</table></body></html>
)",
      readiness.ok() ? "ready" : "not ready: " + html_text(readiness.message()),
      rows);
}

std::string object(const Status& readiness) {
  JsonArray routes;
  for (const Route& route : route_table()) {
    routes.push_back(Json::object({{"method", route.method},
                                   {"path", route.pattern()},
                                   {"what", route_summary(route)},
                                   {"needs_key", route.needs_key}}));
  }
  return to_string(Json::object(
      {{"name", "tutti"},
       {"status", readiness.ok() ? "ready" : "not ready"},
       {"reason",
        readiness.ok() ? Json() : Json(replace_invalid_utf8(std::string(readiness.message())))},
       {"routes", std::move(routes)}}));
}

}  // namespace

HttpResponse index_response(std::string_view accept, const Status& readiness) {
  HttpResponse response;
  if (wants_page(accept)) {
    response.content_type = "text/html; charset=utf-8";
    response.body = page(readiness);
    response.headers.push_back({"Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'; img-src data:"});
  } else {
    response.body = object(readiness);
  }
  response.headers.push_back({"Vary", "Accept"});
  return response;
}

}  // namespace tutti
