#include "http/client.h"

#include <array>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace tutti::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

class OneResponse final : public ClientConnection::Handler {
 public:
  OneResponse(asio::io_context& io, size_t max_body_bytes)
      : io_(io), max_body_bytes_(max_body_bytes) {}

  void on_body(std::string_view bytes, Clock::time_point) override {
    if (body.size() + bytes.size() > max_body_bytes_) {
      failure = {.kind = Failure::Kind::kMalformed,
                 .cause = {},
                 .message = fmt::format("the body is over {} bytes", max_body_bytes_)};
      io_.stop();
      return;
    }
    body += bytes;
  }

  void on_complete(Clock::time_point) override { complete = failure.message.empty(); }

  void on_failure(Failure f) override { failure = std::move(f); }

  std::string body;
  bool complete = false;
  Failure failure{.kind = Failure::Kind::kTimeout, .cause = {}, .message = {}};

 private:
  asio::io_context& io_;
  size_t max_body_bytes_;
};

bool takes_connections(const tcp::endpoint& endpoint, std::chrono::milliseconds patience) {
  asio::io_context io;
  tcp::socket socket(io);
  bool connected = false;
  socket.async_connect(endpoint, [&](const error_code& ec) { connected = !ec; });
  io.run_for(patience);
  return connected;
}

}  // namespace

Result<Endpoint> find_endpoint(const Url& url, std::chrono::milliseconds patience) {
  asio::io_context io;
  tcp::resolver resolver(io);
  error_code ec;
  const auto found = resolver.resolve(url.host, std::to_string(url.port), ec);
  if (ec || found.empty()) {
    return error(
        StatusCode::kUnavailable, "cannot find the host \"{}\" ({})", url.host, ec.message());
  }
  for (const auto& entry : found) {
    if (takes_connections(entry.endpoint(), patience)) {
      return Endpoint(entry.endpoint());
    }
  }
  return Endpoint(found.begin()->endpoint());
}

std::variant<Fetched, Failure> fetch(const Endpoint& endpoint,
                                     std::string request,
                                     const FetchOptions& options) {
  asio::io_context io{1};
  std::array<char, 16 << 10> buffer{};
  OneResponse response(io, options.max_body_bytes);
  ClientConnection connection(io, endpoint, buffer);
  connection.send(std::move(request), response);
  io.run_for(options.timeout);
  if (!response.complete) {
    return std::move(response.failure);
  }
  return Fetched{.status = connection.response().status(), .body = std::move(response.body)};
}

}  // namespace tutti::http
