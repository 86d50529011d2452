// HTTP requests and replies as plain values, and errors, in OpenAI's shape unless a dialect has its
// own (dialect.h).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti {

/// One line for each thing that a client should know about its request, though it was answered.
inline constexpr const char* kWarningHeader = "X-Tutti-Warning";

/// How a gateway tells its engines whom a request comes from.
inline constexpr const char* kPeerHeader = "x-tutti-peer";
/// And whose key it has.
inline constexpr const char* kOwnerHeader = "x-tutti-owner";
/// How an engine tells its gateway of the tokens of a whole reply, its prompt's included.
inline constexpr const char* kTokensHeader = "x-tutti-tokens";

struct HttpHeader {
  std::string name;  ///< lower case in requests
  std::string value;
};

/// A checked request head: exactly one framing, at most one valid Host, an origin-form target.
struct HttpHead {
  std::string method;
  std::string path;   ///< as sent, percent-escapes and all, without the query
  std::string query;  ///< as sent, without "?"
  std::string host;   ///< the server's name and port as the client knows them; may be empty
  int version = 11;   ///< 10 or 11
  std::vector<HttpHeader> headers;
  std::optional<int64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expect_continue = false;

  /// First value of the lower-case `name`, nullptr if absent.
  const std::string* find(std::string_view name) const;
  int count(std::string_view name) const;

  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<HttpHeader> headers;
  std::string body;
  // Of an error, for metrics and the log.
  std::string error_code;     ///< ApiError::code
  std::string error_param;    ///< ApiError::param
  std::string error_message;  ///< ApiError::message; "" if it is for the client alone
};

/// What {"error": {...}} says. `code` is machine-readable; an empty `param` becomes null.
struct ApiError {
  int http_status = 500;
  std::string type;
  std::string code;
  std::string message;
  std::string param;
  bool is_private = false;  ///< as Status::is_private()
};

/// What clients are told while the server drains, and above its limit of connections.
Status shutting_down();
Status too_many_connections();

/// Through the one table in base/status.h.
ApiError to_api_error(const Status& status);
/// Errors of HTTP itself (405, 408, 414, 415, …), which have no StatusCode.
ApiError http_error(int http_status, std::string message);

/// {"error":{"message":…,"type":…,"param":…,"code":…}}
std::string error_json(const ApiError& error);
/// With Retry-After and WWW-Authenticate where the status calls for them. Retry-After is drawn from
/// a few seconds, so that clients turned away together do not come back together.
HttpResponse error_response(const ApiError& error);
HttpResponse json_response(std::string body);

/// `text` with every byte that is not printable ASCII as '?': harmless in a header.
std::string header_text(std::string_view text);

struct WriteOptions {
  bool head_only = false;  ///< reply to HEAD: the length is stated, the body is not sent
  bool keep_alive = true;
  std::string_view request_id;
  std::string_view headers;  ///< more of them, as whole lines
};

std::string write_response(const HttpResponse& response, const WriteOptions& options);
/// Head of a reply of unknown length; `chunked` is false for HTTP/1.0 clients.
std::string write_stream_head(const WriteOptions& options,
                              std::string_view content_type,
                              bool chunked);
std::string_view reason_phrase(int status);

}  // namespace tutti
