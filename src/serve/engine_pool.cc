#include "serve/engine_pool.h"

#include <algorithm>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace tutti {

EnginePool::Line::Line(boost::asio::io_context& io, const std::string& path, std::span<char> buffer)
    : socket(path),
      endpoint(boost::asio::local::stream_protocol::endpoint(path)),
      connection(io, endpoint, buffer) {}

std::unique_ptr<EnginePool::Line> EnginePool::take(const std::string& socket) {
  close_old(http::Clock::now());
  const auto last = std::find_if(
      idle_.rbegin(), idle_.rend(), [&](const auto& line) { return line->socket == socket; });
  if (last == idle_.rend()) {
    return std::make_unique<Line>(io_, socket, buffer_);
  }
  std::unique_ptr<Line> line = std::move(*last);
  idle_.erase(std::next(last).base());
  return line;
}

void EnginePool::give_back(std::unique_ptr<Line> line) {
  if (idle_.size() >= kMostIdle) {
    idle_.erase(idle_.begin());
  }
  line->idle_since = http::Clock::now();
  idle_.push_back(std::move(line));
}

void EnginePool::close_old(http::Clock::time_point now) {
  const auto young = std::find_if(idle_.begin(), idle_.end(), [&](const auto& line) {
    return now - line->idle_since < kLongestIdle;
  });
  idle_.erase(idle_.begin(), young);
}

}  // namespace tutti
