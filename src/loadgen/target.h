// The endpoint under load.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tutti::loadgen {

struct Target {
  std::string host;
  uint16_t port = 0;
  std::string base_path;    ///< "/v1", without a slash at the end
  std::string host_header;  ///< host and, unless it is 80, port
  std::string api_key;      ///< empty: none is sent

  /// "http://host:port", with or without /v1. https is refused: it would measure encryption.
  static Result<Target> parse(const std::string& url);

  std::string url() const { return "http://" + host_header + base_path; }
};

/// Head of a request with `body_bytes` of JSON; method GET if there are none.
std::string request_head(const Target& target, std::string_view path, size_t body_bytes);

struct SimpleReply {
  int status = 0;
  std::string body;
};

/// One GET, blocking. The errors say what to do: nothing listens there, no such host.
Result<SimpleReply> get(const Target& target, std::string_view path);

/// Ids of the models the endpoint serves. Errors of get(), and of the endpoint itself.
Result<std::vector<std::string>> list_models(const Target& target);

}  // namespace tutti::loadgen
