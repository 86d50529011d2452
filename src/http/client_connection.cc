#include "http/client_connection.h"

#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace tutti::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

bool would_block(const error_code& ec) {
  return ec == asio::error::would_block || ec == asio::error::try_again;
}

}  // namespace

ClientConnection::ClientConnection(asio::io_context& io,
                                   const Endpoint& endpoint,
                                   std::span<char> buffer)
    : endpoint_(endpoint), buffer_(buffer), socket_(io), on_body_([this](std::string_view bytes) {
        if (handler_ != nullptr) {  // else it has called close()
          handler_->on_body(bytes, now_);
        }
      }) {}

ClientConnection::~ClientConnection() {
  ++*epoch_;
}

// A callback that does nothing once its socket is closed.
template <class Callback>
auto ClientConnection::while_current(Callback callback) {
  return [callback, now = epoch_, then = *epoch_](const error_code& ec) {
    if (*now == then) {
      callback(ec);
    }
  };
}

void ClientConnection::send(std::string request, Handler& handler) {
  handler_ = &handler;
  out_ = std::move(request);
  sent_ = 0;
  response_.reset();
  held_ = false;
  parked_ = false;
  reused_ = open_;
  if (open_) {
    write();
  } else {
    connect();
  }
}

void ClientConnection::connect() {
  error_code ec;
  socket_.open(endpoint_.protocol(), ec);
  if (!ec) {
    open_ = true;
    socket_.non_blocking(true, ec);
  }
  if (ec) {
    fail({.kind = Failure::Kind::kConnect, .cause = ec, .message = ec.message()});
    return;
  }
  error_code no_tcp;
  socket_.set_option(asio::ip::tcp::no_delay(true), no_tcp);
  socket_.async_connect(
      endpoint_, while_current([this](const error_code& e) {
        if (e) {
          fail({.kind = Failure::Kind::kConnect, .cause = e, .message = e.message()});
          return;
        }
        write();
      }));
}

void ClientConnection::write() {
  while (sent_ < out_.size()) {
    error_code ec;
    sent_ += socket_.write_some(asio::buffer(out_.data() + sent_, out_.size() - sent_), ec);
    if (would_block(ec)) {
      socket_.async_wait(asio::socket_base::wait_write,
                         while_current([this](const error_code&) { write(); }));
      return;
    }
    if (ec) {
      break;  // the server may have answered before it closed: reading shows it
    }
  }
  wait_readable();
}

void ClientConnection::resume() {
  held_ = false;
  if (std::exchange(parked_, false)) {
    wait_readable();
  }
}

void ClientConnection::wait_readable() {
  if (held_) {
    parked_ = true;
    return;
  }
  socket_.async_wait(asio::socket_base::wait_read,
                     while_current([this](const error_code&) { on_readable(); }));
}

void ClientConnection::on_readable() {
  while (true) {
    error_code ec;
    const size_t bytes = socket_.read_some(asio::buffer(buffer_.data(), buffer_.size()), ec);
    if (would_block(ec)) {
      break;
    }
    now_ = Clock::now();
    if (ec) {
      on_end_of_input(ec);
      return;
    }
    if (!take({buffer_.data(), bytes})) {
      return;
    }
    if (held_ || bytes < buffer_.size()) {
      break;  // drained, or not wanted; what comes now is told by the next wait
    }
  }
  const uint64_t epoch = *epoch_;
  handler_->on_drained(now_);
  if (epoch == *epoch_) {
    wait_readable();
  }
}

void ClientConnection::on_end_of_input(const error_code& ec) {
  if (response_.end_of_input()) {
    finish();
  } else if (reused_ && !response_.begun()) {
    // The server closed an idle connection just as we used it.
    Handler* const handler = handler_;
    close();
    handler_ = handler;
    reused_ = false;
    sent_ = 0;
    connect();
  } else {
    fail({.kind = Failure::Kind::kClosed,
          .cause = ec,
          .message = "the server closed the connection within a reply: " + ec.message()});
  }
}

bool ClientConnection::take(std::string_view bytes) {
  size_t used = 0;
  const uint64_t epoch = *epoch_;
  const Status status = response_.feed(bytes, on_body_, used);
  if (epoch != *epoch_) {
    return false;  // closed by whoever took the body
  }
  if (!status.ok()) {
    fail({.kind = Failure::Kind::kMalformed, .cause = {}, .message = status.message()});
  } else if (response_.complete() && used < bytes.size()) {
    fail({.kind = Failure::Kind::kMalformed,
          .cause = {},
          .message = "bytes behind the end of the reply"});
  } else if (response_.complete()) {
    finish();
  } else {
    return true;
  }
  return false;
}

void ClientConnection::finish() {
  Handler* const handler = std::exchange(handler_, nullptr);
  if (!response_.keep_alive()) {
    close();
  }
  handler->on_complete(now_);
}

void ClientConnection::fail(Failure failure) {
  Handler* const handler = std::exchange(handler_, nullptr);
  close();
  handler->on_failure(std::move(failure));
}

void ClientConnection::close() {
  error_code ec;
  socket_.close(ec);
  open_ = false;
  handler_ = nullptr;
  held_ = false;
  parked_ = false;
  ++*epoch_;
}

}  // namespace tutti::http
