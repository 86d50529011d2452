// Where an HTTP server is.
#pragma once
#include <cstdint>
#include <string>

#include "base/status.h"

namespace tutti::http {

struct Url {
  std::string host;  ///< a name or an address, IPv6 without brackets
  uint16_t port = 80;
  std::string authority;  ///< as typed, for the Host field
  std::string path;       ///< without a slash at its end; may be empty

  /// "http://host:port/path", where scheme, port and path may be missing. kUnsupported: https;
  /// kInvalidArgument: anything else.
  static Result<Url> parse(const std::string& text);
};

}  // namespace tutti::http
