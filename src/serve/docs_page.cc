#include "serve/docs_page.h"

#include <array>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/json.h"
#include "base/utf8.h"
#include "serve/openapi.h"

namespace tutti {

namespace {

constexpr std::string_view kStyle =
    "body{font-family:sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;line-height:1.4}"
    "h2{margin:2rem 0 .3rem;font-size:1.1rem}code{font-size:.95em}"
    "table{border-collapse:collapse;font-size:.9rem}"
    "td,th{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}"
    "summary{cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}";

// What the policy lets in: this one style.
std::string style_hash() {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(kStyle.data()), kStyle.size(), digest.data());
  std::array<unsigned char, 64> text{};
  EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(digest.size()));
  return reinterpret_cast<const char*>(text.data());
}

std::string text_member(const Json& json, const char* name) {
  const Json* found = json.find(name);
  return found != nullptr && found->is_string() ? html_text(found->as_string()) : "";
}

// "integer or null", "number, above 0 to 1"
std::string type_of(const Json& schema) {
  const Json* type = schema.find("type");
  std::string out;
  if (type != nullptr && type->is_array()) {
    for (const Json& one : type->as_array()) {
      out += (out.empty() ? "" : " or ") + one.as_string();
    }
  } else {
    out = text_member(schema, "type");
  }
  const Json* most = schema.find("maximum");
  const Json* least = schema.find("minimum");
  const Json* above = schema.find("exclusiveMinimum");
  if (most != nullptr && (least != nullptr || above != nullptr)) {
    out += fmt::format(", {}{} to {}",
                       least != nullptr ? "" : "above ",
                       to_string(least != nullptr ? *least : *above),
                       to_string(*most));
  }
  return out.empty() ? "any" : out;
}

const Json* body_schema(const Json& operation) {
  const Json* found = &operation;
  for (const char* name : {"requestBody", "content", "application/json", "schema"}) {
    found = found->find(name);
    if (found == nullptr) {
      return nullptr;
    }
  }
  return found;
}

std::string fields_of(const Json& operation) {
  const Json* schema = body_schema(operation);
  if (schema == nullptr) {
    return "";
  }
  std::string rows;
  for (const JsonMember& field : schema->find("properties")->as_object()) {
    rows += fmt::format("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
                        html_text(field.key),
                        type_of(field.value),
                        text_member(field.value, "description"));
  }
  return fmt::format(
      "<details><summary>Fields</summary><table>\n<tr><th>field</th><th>type</th><th></th></tr>\n"
      "{}</table></details>\n",
      rows);
}

std::string page() {
  const Json document = openapi_document();
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tutti: "
      "routes</title><style>{}</style></head>\n<body><h1>Tutti</h1>\n<p>Every route of this "
      "server and every field that it knows, from the tables it goes by. The same for programs: "
      "<a href=\"/openapi.json\">/openapi.json</a> (OpenAPI 3.1). Where a key is set it goes as "
      "<code>Authorization: Bearer KEY</code> or <code>X-Api-Key: KEY</code>.</p>\n",
      kStyle);
  for (const JsonMember& path : document.find("paths")->as_object()) {
    for (const JsonMember& operation : path.value.as_object()) {
      std::string method = operation.key;
      for (char& c : method) {
        c = static_cast<char>(c - 'a' + 'A');
      }
      out += fmt::format("<h2><code>{} {}</code></h2>\n<p>{}</p>\n{}",
                         method,
                         html_text(path.key),
                         text_member(operation.value, "summary"),
                         fields_of(operation.value));
    }
  }
  return out + "</body></html>\n";
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

HttpResponse docs_response() {
  static const std::string kPage = page();
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = kPage;
  response.headers.push_back(
      {"Content-Security-Policy",
       fmt::format("default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action "
                   "'none'; frame-ancestors 'none'",
                   style_hash())});
  return response;
}

}  // namespace tutti
