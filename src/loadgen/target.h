// The endpoint under load.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/error_code.hpp>

#include "base/status.h"
#include "http/client_connection.h"
#include "http/url.h"

namespace tutti::loadgen {

struct Target {
  http::Url server;
  std::string base_path;  ///< "/v1", without a slash at the end
  std::string api_key;    ///< empty: none is sent

  /// "http://host:port", with or without /v1. https is refused: it would measure encryption.
  static Result<Target> parse(const std::string& url);

  std::string url() const { return "http://" + server.authority + base_path; }
};

/// Head of a request with `body_bytes` of JSON; method GET if there are none.
std::string request_head(const Target& target, std::string_view path, size_t body_bytes);

/// Where the target listens. kUnavailable: there is no such host.
Result<http::Endpoint> find_endpoint(const Target& target);

/// Why there is no connection, in words an operator can act on.
Status connect_error(const Target& target, const boost::system::error_code& ec);

/// Ids of the models the endpoint serves. Errors say what to do: nothing listens there, no such
/// host, it wants a key, it has no such route.
Result<std::vector<std::string>> list_models(const Target& target);

}  // namespace tutti::loadgen
