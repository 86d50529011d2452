// Connections of one thread of a gateway to its engines, kept open between requests.
#pragma once
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/client_connection.h"

namespace tutti {

/// On one thread, that of `io`.
class EnginePool {
 public:
  explicit EnginePool(boost::asio::io_context& io) : io_(io) {}

  EnginePool(const EnginePool&) = delete;
  EnginePool& operator=(const EnginePool&) = delete;

  struct Line {
    Line(boost::asio::io_context& io, const std::string& socket, std::span<char> buffer);

    const std::string socket;
    const http::Endpoint endpoint;
    http::ClientConnection connection;
    http::Clock::time_point idle_since;
  };

  /// A connection to the engine behind this socket, open or to be opened.
  std::unique_ptr<Line> take(const std::string& socket);

  /// After a whole response.
  void give_back(std::unique_ptr<Line> line);

 private:
  void close_old(http::Clock::time_point now);

  // An engine closes idle connections after 75 s: what is used is always younger.
  static constexpr std::chrono::seconds kLongestIdle{20};
  static constexpr size_t kMostIdle = 256;

  boost::asio::io_context& io_;
  std::array<char, 64 << 10> buffer_{};
  std::vector<std::unique_ptr<Line>> idle_;  // the one used last is last
};

}  // namespace tutti
