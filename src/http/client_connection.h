// The client's end of one keep-alive connection to an HTTP/1.1 server, which carries one request
// after another: for load generators, and for whatever passes requests on.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
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
  /// Told of one request, in the order of the functions; the first two any number of times, then
  /// one of the last two, from which the next send() may come. `arrival`: when the bytes were read.
  class Handler {
   public:
    virtual ~Handler() = default;
    /// Without framing; valid during the call. response() has status and fields.
    virtual void on_body(std::string_view bytes, Clock::time_point arrival) = 0;

    /// All that had come was told; the response is not complete.
    virtual void on_drained(Clock::time_point) {}

    virtual void on_complete(Clock::time_point arrival) = 0;
    virtual void on_failure(Failure failure) = 0;
  };

  /// `buffer`: scratch for reading, which connections of one thread may share. All borrowed.
  ClientConnection(boost::asio::io_context& io, const Endpoint& endpoint, std::span<char> buffer);
  /// Also with a request under way, of which nothing more is told; not within a call of a Handler.
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  /// Sends a whole request, head and body; no other is under way. Connects if need be. on_failure()
  /// may come before it returns.
  void send(std::string request, Handler& handler);

  bool busy() const { return handler_ != nullptr; }

  /// Of the request under way, or the last one.
  const ResponseParser& response() const { return response_; }

  /// Reads no further, so that the server waits for whoever takes the body, until resume(). Also
  /// from within on_body(), which may be called once more for what has been read already.
  void hold() { held_ = true; }

  void resume();

  /// Drops the request under way, of which nothing more is told, and the connection.
  void close();

 private:
  template <class Callback>
  auto while_current(Callback callback);
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
  // Of the socket: callbacks of an earlier one are ignored. Outlives this, as they may.
  std::shared_ptr<uint64_t> epoch_ = std::make_shared<uint64_t>(0);
  bool open_ = false;
  bool reused_ = false;  // the request under way was not the first on this socket
  bool held_ = false;
  bool parked_ = false;  // it would wait for bytes, were it not held
  Handler* handler_ = nullptr;
  std::string out_;
  size_t sent_ = 0;
  ResponseParser response_;
  ResponseParser::OnBody on_body_;
  Clock::time_point now_;  // when the bytes in hand arrived
};

}  // namespace tutti::http
