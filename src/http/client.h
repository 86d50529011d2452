// What a program that is no event loop wants of a server: where it listens, and one answer.
#pragma once
#include <chrono>
#include <cstddef>
#include <string>
#include <variant>

#include "http/client_connection.h"
#include "http/url.h"

namespace tutti::http {

/// The address of `url` that takes connections, the first one if none does: "localhost" is often
/// ::1 and 127.0.0.1. Waits at most `patience` for each. kUnavailable: there is no such host.
Result<Endpoint> find_endpoint(const Url& url,
                               std::chrono::milliseconds patience = std::chrono::seconds(5));

struct FetchOptions {
  std::chrono::milliseconds timeout = std::chrono::seconds(30);  ///< of the whole exchange
  size_t max_body_bytes = size_t{4} << 20;
};

struct Fetched {
  int status = 0;
  std::string body;
};

/// Sends one whole request and waits for its response.
std::variant<Fetched, Failure> fetch(const Endpoint& endpoint,
                                     std::string request,
                                     const FetchOptions& options = {});

}  // namespace tutti::http
