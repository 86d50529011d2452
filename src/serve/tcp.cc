// Everything that instantiates Asio: connections over TCP and Unix sockets, the listener, event
// loops.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <sys/stat.h>

#include "base/log.h"
#include "serve/io.h"

namespace tutti {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
/// TCP or Unix.
using AnySocket = asio::generic::stream_protocol::socket;
using AnyEndpoint = asio::generic::stream_protocol::endpoint;
using AnyAcceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

// Timeouts are checked this often; it bounds how late they fire.
constexpr std::chrono::milliseconds kTick{25};

IoResult to_result(const error_code& ec, size_t bytes) {
  if (ec == asio::error::would_block || ec == asio::error::try_again) {
    return {.state = IoResult::State::kAgain, .bytes = 0};
  }
  if (ec) {
    return {.state = IoResult::State::kClosed, .bytes = 0};
  }
  return {.state = IoResult::State::kOk, .bytes = bytes};
}

bool is_unix(const AnyEndpoint& endpoint) {
  return endpoint.protocol().family() == AF_UNIX;
}

tcp::endpoint to_tcp(const AnyEndpoint& endpoint) {
  tcp::endpoint out;
  out.resize(std::min(endpoint.size(), out.capacity()));
  std::memcpy(out.data(), endpoint.data(), out.size());
  return out;
}

class SocketConn final : public Conn {
 public:
  explicit SocketConn(AnySocket socket) : socket_(std::move(socket)) {
    error_code ec;
    socket_.non_blocking(true, ec);
    const AnyEndpoint peer = socket_.remote_endpoint(ec);
    if (!ec && !is_unix(peer)) {
      // Events are written whole; waiting for more would only delay tokens.
      socket_.set_option(tcp::no_delay(true), ec);
      const tcp::endpoint address = to_tcp(peer);
      peer_ = address.address().to_string();
      loopback_ = address.address().is_loopback();
    } else {
      peer_ = "this machine";
      loopback_ = true;
    }
  }

  IoResult try_read(std::span<char> into) override {
    error_code ec;
    const size_t n = socket_.read_some(asio::buffer(into.data(), into.size()), ec);
    return to_result(ec, n);
  }

  IoResult try_write(std::string_view bytes) override {
    error_code ec;
    const size_t n = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), ec);
    return to_result(ec, n);
  }

  void wait_readable(std::shared_ptr<ConnEvents> events) override {
    socket_.async_wait(AnySocket::wait_read,
                       [events = std::move(events)](const error_code&) { events->on_readable(); });
  }

  void wait_writable(std::shared_ptr<ConnEvents> events) override {
    socket_.async_wait(AnySocket::wait_write,
                       [events = std::move(events)](const error_code&) { events->on_writable(); });
  }

  void shutdown_send() override {
    error_code ec;
    socket_.shutdown(AnySocket::shutdown_send, ec);
  }

  void close() override {
    error_code ec;
    socket_.close(ec);
  }

  const std::string& peer_address() const override { return peer_; }

  bool peer_is_loopback() const override { return loopback_; }

 private:
  AnySocket socket_;
  std::string peer_;
  bool loopback_ = false;
};

class QueuedWaker;

/// Wake-ups on their way to an event loop. Outlives the loop, because wakers do.
class Outbox : public std::enable_shared_from_this<Outbox> {
 public:
  explicit Outbox(asio::io_context& context) : context_(&context) {}

  void push(std::shared_ptr<QueuedWaker> waker) {
    const std::lock_guard lock(mutex_);
    if (context_ == nullptr) {
      return;
    }
    wakers_.push_back(std::move(waker));
    if (wakers_.size() == 1) {
      asio::post(*context_, [self = shared_from_this()] { self->deliver(); });
    }
  }

  void close() {
    const std::lock_guard lock(mutex_);
    context_ = nullptr;
    wakers_.clear();
  }

 private:
  void deliver();

  std::mutex mutex_;
  asio::io_context* context_;
  std::vector<std::shared_ptr<QueuedWaker>> wakers_;
  std::vector<std::shared_ptr<QueuedWaker>>
      delivering_;  // on the loop's thread; kept for its memory
};

class QueuedWaker final : public Waker, public std::enable_shared_from_this<QueuedWaker> {
 public:
  QueuedWaker(std::shared_ptr<Outbox> outbox, std::weak_ptr<WakeTarget> target)
      : outbox_(std::move(outbox)), target_(std::move(target)) {}

  void wake() override {
    if (!queued_.exchange(true)) {
      outbox_->push(shared_from_this());
    }
  }

  void deliver() {
    // Cleared first: what arrives from here on must wake again.
    queued_.store(false);
    if (const auto target = target_.lock()) {
      target->on_wake();
    }
  }

 private:
  std::shared_ptr<Outbox> outbox_;
  std::weak_ptr<WakeTarget> target_;
  std::atomic<bool> queued_{false};
};

void Outbox::deliver() {
  {
    const std::lock_guard lock(mutex_);
    delivering_.swap(wakers_);
  }
  for (const auto& waker : delivering_) {
    waker->deliver();
  }
  delivering_.clear();
}

}  // namespace

struct IoThread::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  asio::steady_timer timer{context};
  bool ticking = false;
  std::vector<Ticker*> tickers;
  std::shared_ptr<Outbox> outbox = std::make_shared<Outbox>(context);
  std::thread thread;

  void tick() {
    ticking = true;
    timer.expires_after(kTick);
    timer.async_wait([this](const error_code& ec) {
      ticking = false;
      if (ec || tickers.empty()) {
        return;  // an idle server does not wake up
      }
      const auto now = Clock::now();
      for (Ticker* ticker : tickers) {
        ticker->on_tick(now);
      }
      tick();
    });
  }
};

IoThread::IoThread() : impl_(std::make_unique<Impl>()) {}

IoThread::~IoThread() {
  stop();
}

void IoThread::start() {
  impl_->thread = std::thread([this] {
    while (!impl_->context.stopped()) {
      try {
        impl_->context.run();
      } catch (const std::exception& e) {
        log_error("http thread: {}", e.what());
      }
    }
  });
}

void IoThread::stop() {
  impl_->outbox->close();
  impl_->work.reset();
  impl_->context.stop();
  if (impl_->thread.joinable()) {
    impl_->thread.join();
  }
}

boost::asio::io_context& IoThread::context() {
  return impl_->context;
}

void IoThread::post(std::function<void()> job) {
  asio::post(impl_->context, std::move(job));
}

void IoThread::spawn(std::function<Task<void>()> coroutine) {
  asio::co_spawn(impl_->context, std::move(coroutine), [](const std::exception_ptr& failure) {
    if (failure == nullptr) {
      return;
    }
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      log_error("http connection: {}", e.what());
    }
  });
}

std::shared_ptr<Waker> IoThread::make_waker(std::weak_ptr<WakeTarget> target) {
  return std::make_shared<QueuedWaker>(impl_->outbox, std::move(target));
}

void IoThread::add_ticker(Ticker* ticker) {
  impl_->tickers.push_back(ticker);
  if (!impl_->ticking) {
    impl_->tick();
  }
}

void IoThread::remove_ticker(Ticker* ticker) {
  std::erase(impl_->tickers, ticker);
}

struct Event::Impl {
  asio::steady_timer timer;
  bool set = false;
};

Event::Event(IoThread& thread)
    : impl_(std::make_unique<Impl>(Impl{.timer = asio::steady_timer(thread.impl().context)})) {
  impl_->timer.expires_at(asio::steady_timer::time_point::max());
}

Event::~Event() = default;

Task<void> Event::wait() {
  if (!impl_->set) {
    error_code ec;
    auto token = asio::redirect_error(asio::use_awaitable, ec);
    co_await impl_->timer.async_wait(token);
  }
  impl_->set = false;
}

void Event::notify() {
  impl_->set = true;
  impl_->timer.cancel();
}

Result<BindAddress> resolve(const std::string& host, uint16_t port) {
  asio::io_context context;
  tcp::resolver resolver(context);
  error_code ec;
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, ec);
  if (ec || found.empty()) {
    return invalid("cannot resolve host \"{}\" ({}); give ‹host› an address of this machine",
                   host,
                   ec.message());
  }
  const auto v4 = std::find_if(found.begin(), found.end(), [](const auto& entry) {
    return entry.endpoint().address().is_v4();
  });
  const asio::ip::address address = (v4 == found.end() ? found.begin() : v4)->endpoint().address();
  return BindAddress{
      .host = host, .ip = address.to_string(), .port = port, .loopback = address.is_loopback()};
}

struct Listener::Impl {
  explicit Impl(IoThread& t) : thread(t), acceptor(t.impl().context), timer(t.impl().context) {}

  IoThread& thread;
  AnyAcceptor acceptor;
  asio::steady_timer timer;
  uint16_t port = 0;
  bool closed = false;  // on the listener's thread

  static Task<void> accept_loop(std::shared_ptr<Impl> self,
                                std::vector<IoThread*> threads,
                                Handler on_accept,
                                std::chrono::milliseconds pause);
};

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Listener::~Listener() = default;

uint16_t Listener::port() const {
  return impl_->port;
}

namespace {

Status bind_error(const error_code& ec, const BindAddress& address) {
  if (!address.unix_path.empty()) {
    return error(StatusCode::kUnavailable,
                 "cannot listen on the socket {} ({})",
                 address.unix_path,
                 ec.message());
  }
  const std::string where = fmt::format("{}:{}", address.host, address.port);
  if (ec == asio::error::address_in_use) {
    return error(StatusCode::kUnavailable,
                 "{} is in use by another program; stop it, or choose another port with ‹port›",
                 where);
  }
  if (ec == asio::error::access_denied) {
    return error(StatusCode::kForbidden,
                 "not allowed to listen on {}; choose a port above 1023 with ‹port›",
                 where);
  }
  return error(StatusCode::kUnavailable,
               "cannot listen on {} ({}); give ‹host› an address of this machine",
               where,
               ec.message());
}

// On Linux a socket's file gets the mode of the descriptor, so that it is never open to others.
void keep_private(AnyAcceptor& acceptor, error_code& ec) {
  if (fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR) != 0) {
    ec.assign(errno, boost::system::system_category());
  }
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::bind(IoThread& thread, const BindAddress& address) {
  auto impl = std::make_shared<Impl>(thread);
  const bool local = !address.unix_path.empty();
  if (local && address.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return invalid("the path of the socket {} is too long; at most {} characters fit",
                   address.unix_path,
                   sizeof(sockaddr_un::sun_path) - 1);
  }
  const AnyEndpoint endpoint =
      local ? AnyEndpoint(asio::local::stream_protocol::endpoint(address.unix_path))
            : AnyEndpoint(tcp::endpoint(asio::ip::make_address(address.ip), address.port));
  error_code ec;
  impl->acceptor.open(endpoint.protocol(), ec);
  if (!ec && local) {
    keep_private(impl->acceptor, ec);
  } else if (!ec) {
    // Lets a restarted server take a port whose old connections still linger in TIME_WAIT.
    impl->acceptor.set_option(AnyAcceptor::reuse_address(true), ec);
  }
  if (!ec) {
    impl->acceptor.bind(endpoint, ec);
  }
  if (!ec) {
    impl->acceptor.listen(asio::socket_base::max_listen_connections, ec);
  }
  if (ec) {
    return bind_error(ec, address);
  }
  impl->port = local ? uint16_t{0} : to_tcp(impl->acceptor.local_endpoint()).port();
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Task<void> Listener::Impl::accept_loop(std::shared_ptr<Impl> self,
                                       std::vector<IoThread*> threads,
                                       Handler on_accept,
                                       std::chrono::milliseconds pause) {
  size_t next = 0;
  bool failing = false;
  while (!self->closed) {
    IoThread& thread = *threads[next++ % threads.size()];
    AnySocket socket(thread.impl().context);
    error_code ec;
    auto token = asio::redirect_error(asio::use_awaitable, ec);
    co_await self->acceptor.async_accept(socket, token);
    if (self->closed) {
      break;
    }
    if (!ec) {
      failing = false;
      auto shared = std::make_shared<AnySocket>(std::move(socket));
      thread.post([shared, &thread, on_accept] {
        on_accept(thread, std::make_unique<SocketConn>(std::move(*shared)));
      });
      continue;
    }
    if (!failing) {
      log_error("cannot accept connections ({}); trying again until it works", ec.message());
      failing = true;
    }
    self->timer.expires_after(pause);
    co_await self->timer.async_wait(token);
  }
}

void Listener::start(std::vector<IoThread*> threads,
                     Handler on_accept,
                     std::chrono::milliseconds pause) {
  impl_->thread.spawn(
      [impl = impl_, threads = std::move(threads), on_accept = std::move(on_accept), pause] {
        return Impl::accept_loop(impl, threads, on_accept, pause);
      });
}

void Listener::close() {
  impl_->thread.post([impl = impl_] {
    impl->closed = true;
    error_code ec;
    impl->acceptor.close(ec);
    impl->timer.cancel();
  });
}

}  // namespace tutti
