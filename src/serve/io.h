// What the HTTP code knows of the network: one type of connection, one type of thread. The Asio
// templates behind it live in tcp.cc alone, which keeps every other file quick to compile and lets
// another transport (TLS) take its place.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "base/status.h"
#include "serve/waker.h"

namespace tutti {

/// g++ 12 destroys an aggregate temporary inside a co_await operand twice: name it before.
template <class T>
using Task = boost::asio::awaitable<T>;

using Clock = std::chrono::steady_clock;

struct IoResult {
  enum class State { kOk, kAgain, kClosed } state = State::kOk;
  size_t bytes = 0;
};

/// Both are called on the connection's thread; an error shows at the next try_read or try_write.
class ConnEvents {
 public:
  virtual ~ConnEvents() = default;
  virtual void on_readable() = 0;
  virtual void on_writable() = 0;
};

/// A non-blocking connection. Used from its own thread only. wait_* keep `events` alive until they
/// call back, which they do exactly once, also after close().
class Conn {
 public:
  virtual ~Conn() = default;
  virtual IoResult try_read(std::span<char> into) = 0;
  virtual IoResult try_write(std::string_view bytes) = 0;
  virtual void wait_readable(std::shared_ptr<ConnEvents> events) = 0;
  virtual void wait_writable(std::shared_ptr<ConnEvents> events) = 0;
  virtual void shutdown_send() = 0;
  virtual void close() = 0;
  virtual const std::string& peer_address() const = 0;
  virtual bool peer_is_loopback() const = 0;
};

/// Called every few ten milliseconds on its IoThread; must not add or remove tickers.
class Ticker {
 public:
  virtual ~Ticker() = default;
  virtual void on_tick(Clock::time_point now) = 0;
};

/// Receives the wake-ups of make_waker() on its IoThread.
class WakeTarget {
 public:
  virtual ~WakeTarget() = default;
  virtual void on_wake() = 0;
};

/// One thread with an event loop.
class IoThread {
 public:
  IoThread();
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void start();
  /// Ends the loop, whatever waits in it, and joins. Idempotent.
  void stop();

  /// Any thread.
  void post(std::function<void()> job);
  /// Runs a coroutine on this thread. Any thread.
  void spawn(std::function<Task<void>()> coroutine);
  /// The waker may outlive the thread. Many wakes until the target runs are one on_wake(), and
  /// wakes of many targets are one pass of the loop.
  std::shared_ptr<Waker> make_waker(std::weak_ptr<WakeTarget> target);

  // On this thread only.
  void add_ticker(Ticker* ticker);
  void remove_ticker(Ticker* ticker);

  struct Impl;

  /// Memory for a callback on this thread to make bytes in, until it returns. Empty at first.
  std::string& scratch() {
    scratch_.clear();
    return scratch_;
  }

  /// For connections to other servers (http/client_connection.h), on this thread.
  boost::asio::io_context& context();

  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
  std::string scratch_;
};

/// Lets one coroutine wait until somebody on its thread says that something changed.
class Event {
 public:
  explicit Event(IoThread& thread);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Returns at once if notify() was called since the last wait().
  Task<void> wait();
  void notify();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct BindAddress {
  std::string host;  ///< as given
  std::string ip;
  uint16_t port = 0;
  bool loopback = false;
  std::string unix_path;  ///< of a Unix socket, instead of all the others; its mode is 0600
};

/// Looks the host up; an IPv4 address is preferred. kInvalidArgument if there is none.
Result<BindAddress> resolve(const std::string& host, uint16_t port);

/// Accepts connections and spreads them over threads.
class Listener {
 public:
  using Handler = std::function<void(IoThread&, std::unique_ptr<Conn>)>;

  /// kUnavailable if the port is taken, kForbidden if it may not be bound, kInvalidArgument if a
  /// Unix socket's path is too long.
  static Result<std::unique_ptr<Listener>> bind(IoThread& thread, const BindAddress& address);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  uint16_t port() const;

  /// `on_accept` runs on the thread the connection belongs to. After a failed accept (out of file
  /// descriptors) it waits `pause` and goes on. The threads must outlive the loop.
  void start(std::vector<IoThread*> threads, Handler on_accept, std::chrono::milliseconds pause);
  /// Stops accepting. Any thread.
  void close();

 private:
  struct Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace tutti
