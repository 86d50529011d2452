// The client's end of one keep-alive connection to an HTTP/1.1 server, which carries one request
// after another: for load generators, and for whatever passes requests on.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include "http/response_parser.h"

namespace tutti::http {

using Clock = std::chrono::steady_clock;

/// TCP or, as whoever connects decides, a Unix socket.
using Endpoint = boost::asio::generic::stream_protocol::endpoint;

/// Why a request got no whole response.
struct Failure {
  enum class Kind {
    kConnect,    ///< there is no connection
    kClosed,     ///< it ended within the response, or before one
    kMalformed,  ///< what came is no HTTP response, or more than was wanted
    kTimeout,    ///< told by fetch() alone: nothing, or not all, came in time
  };

  Kind kind = Kind::kConnect;
  boost::system::error_code cause;  ///< of kConnect and kClosed
  std::string message;
};

/// All of one thread, that of its io_context. A connection that the server closed between two
/// requests is opened again without a word (RFC 9112, 9.3.1): once per request, and only while
/// nothing of a response has come.
class ClientConnection {
 public:
  /// Told of one request, in the order of the functions; on_body() any number of times, then one
  /// of the last two, from which the next send() may come. `arrival`: when the bytes were read.
  class Handler {
   public:
    virtual ~Handler() = default;
    /// Without framing; valid during the call. response() has status and fields.
    virtual void on_body(std::string_view bytes, Clock::time_point arrival) = 0;
    virtual void on_complete(Clock::time_point arrival) = 0;
    virtual void on_failure(Failure failure) = 0;
  };

  /// `buffer`: scratch for reading, which connections of one thread may share. All borrowed.
  ClientConnection(boost::asio::io_context& io, const Endpoint& endpoint, std::span<char> buffer);

  /// Sends a whole request, head and body; no other is under way. Connects if need be. on_failure()
  /// may come before it returns.
  void send(std::string request, Handler& handler);

  bool busy() const { return handler_ != nullptr; }

  /// Of the request under way, or the last one.
  const ResponseParser& response() const { return response_; }

  /// Drops the request under way, of which nothing more is told, and the connection.
  void close();

 private:
  void connect();
  void write();
  void wait_readable();
  void on_readable();
  void on_end_of_input(const boost::system::error_code& ec);
  /// False: the request is over, and the next may be under way.
  bool take(std::string_view bytes);
  void finish();
  void fail(Failure failure);

  const Endpoint& endpoint_;
  std::span<char> buffer_;
  boost::asio::generic::stream_protocol::socket socket_;
  uint64_t epoch_ = 0;  // of the socket: callbacks of an earlier one are ignored
  bool open_ = false;
  bool reused_ = false;  // the request under way was not the first on this socket
  Handler* handler_ = nullptr;
  std::string out_;
  size_t sent_ = 0;
  ResponseParser response_;
  ResponseParser::OnBody on_body_;
  Clock::time_point now_;  // when the bytes in hand arrived
};

}  // namespace tutti::http
