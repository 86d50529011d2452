#include "serve/http_message.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <random>

#include "base/json.h"
#include "base/utf8.h"
#include "serve/random_id.h"

namespace tutti {

namespace {

struct HttpErrorKind {
  int status;
  const char* reason;
  const char* code;
};

constexpr std::array<HttpErrorKind, 20> kKinds{{
    {100, "Continue", ""},
    {200, "OK", ""},
    {204, "No Content", ""},
    {400, "Bad Request", "malformed_request"},
    {401, "Unauthorized", "invalid_api_key"},
    {403, "Forbidden", "forbidden"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {408, "Request Timeout", "request_timeout"},
    {413, "Content Too Large", "payload_too_large"},
    {414, "URI Too Long", "uri_too_long"},
    {415, "Unsupported Media Type", "unsupported_media_type"},
    {417, "Expectation Failed", "expectation_failed"},
    {422, "Unprocessable Content", "unprocessable"},
    {429, "Too Many Requests", "overloaded"},
    {431, "Request Header Fields Too Large", "header_too_large"},
    {499, "Client Closed Request", "cancelled"},
    {500, "Internal Server Error", "internal_error"},
    {503, "Service Unavailable", "unavailable"},
    {504, "Gateway Timeout", "deadline_exceeded"},
}};

const HttpErrorKind& kind_of(int status) {
  for (const HttpErrorKind& kind : kKinds) {
    if (kind.status == status) {
      return kind;
    }
  }
  static constexpr HttpErrorKind kOther{0, "Error", "error"};
  return kOther;
}

// RFC 9110, 6.6.1: an origin server with a clock sends Date.
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 40> text{};
  const size_t n = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text.data(), n};
}

void append_common_headers(std::string& out, int status, const WriteOptions& options) {
  out += fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nx-request-id: {}\r\nX-Content-Type-Options: nosniff\r\n",
      status,
      reason_phrase(status),
      http_date(),
      options.request_id);
  out += options.keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  out += options.headers;
}

// Clients retry 429 and 503 by themselves and obey 1 to 60 seconds.
std::string retry_after(int from, int to) {
  thread_local std::minstd_rand generator(static_cast<uint32_t>(random_u64()));
  return std::to_string(std::uniform_int_distribution<int>(from, to)(generator));
}

}  // namespace

const std::string* HttpHead::find(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (header.name == name) {
      return &header.value;
    }
  }
  return nullptr;
}

int HttpHead::count(std::string_view name) const {
  return static_cast<int>(std::count_if(
      headers.begin(), headers.end(), [&](const HttpHeader& h) { return h.name == name; }));
}

std::string_view reason_phrase(int status) {
  return kind_of(status).reason;
}

Status shutting_down() {
  return {StatusCode::kUnavailable, "the server is shutting down; try another one"};
}

Status too_many_connections() {
  return {StatusCode::kUnavailable, "too many connections; try again later"};
}

ApiError to_api_error(const Status& status) {
  const StatusMapping& map = mapping(status.code());
  ApiError error{.http_status = map.http_status,
                 .type = map.openai_type,
                 .code = map.name,
                 .message = status.message(),
                 .param = status.param(),
                 .is_private = status.is_private()};
  if (status.code() == StatusCode::kOutOfMemory && status.param() == "prompt") {
    // It would never fit: the request is at fault, and must not be sent again.
    const StatusMapping& length = mapping(StatusCode::kContextLength);
    error.http_status = length.http_status;
    error.type = length.openai_type;
    error.code = length.name;
  }
  if (status.code() == StatusCode::kNotFound && status.param() == "model") {
    error.code = "model_not_found";  // what OpenAI's clients look for
  }
  return error;
}

ApiError http_error(int http_status, std::string message) {
  return {.http_status = http_status,
          .type = http_status >= 500 ? "server_error" : "invalid_request_error",
          .code = kind_of(http_status).code,
          .message = std::move(message),
          .param = {}};
}

std::string error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, replace_invalid_utf8(error.message));
  out += R"(,"type":)";
  append_json_string(out, error.type);
  out += R"(,"param":)";
  if (error.param.empty()) {
    out += "null";
  } else {
    append_json_string(out, replace_invalid_utf8(error.param));
  }
  out += R"(,"code":)";
  append_json_string(out, error.code);
  out += "}}";
  return out;
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response;
  response.status = error.http_status;
  response.body = error_json(error);
  response.error_code = error.code;
  response.error_param = error.param;
  response.error_message = error.is_private ? "" : error.message;
  if (error.http_status == 401) {
    response.headers.push_back({"WWW-Authenticate", "Bearer"});
  } else if (error.http_status == 500 || error.http_status == 504) {
    // OpenAI's clients retry both twice; what failed once here would fail again, and 504 is the
    // time-out that the request itself has asked for, or the server's for all.
    response.headers.push_back({"x-should-retry", "false"});
  } else if (error.http_status == 429) {
    response.headers.push_back({"Retry-After", retry_after(1, 4)});
  } else if (error.http_status == 503) {
    response.headers.push_back({"Retry-After", retry_after(2, 8)});
  }
  return response;
}

std::string header_text(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

HttpResponse json_response(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

std::string write_response(const HttpResponse& response, const WriteOptions& options) {
  std::string out;
  out.reserve(response.body.size() + 320);
  append_common_headers(out, response.status, options);
  if (response.status != 204) {  // RFC 9110, 8.6: which has no length
    out += fmt::format(
        "Content-Type: {}\r\nContent-Length: {}\r\n", response.content_type, response.body.size());
  }
  for (const HttpHeader& header : response.headers) {
    out += fmt::format("{}: {}\r\n", header.name, header.value);
  }
  out += "\r\n";
  if (!options.head_only) {
    out += response.body;
  }
  return out;
}

std::string write_stream_head(const WriteOptions& options,
                              std::string_view content_type,
                              bool chunked) {
  std::string out;
  append_common_headers(out, 200, options);
  // nginx buffers replies unless told not to.
  out += "Content-Type: ";
  out += content_type;
  out += "\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  out += chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
  return out;
}

}  // namespace tutti
