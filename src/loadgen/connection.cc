#include "loadgen/connection.h"

#include <algorithm>

#include <boost/asio/buffer.hpp>

#include "loadgen/connect_error.h"

namespace tutti::loadgen {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr size_t kMaxBody = 16 << 20;

float milliseconds(Clock::duration d) {
  return std::chrono::duration<float, std::milli>(d).count();
}

}  // namespace

Connection::Connection(asio::io_context& io, ConnectionContext& context, Owner& owner)
    : context_(context),
      owner_(owner),
      socket_(io),
      on_event_([this](std::string_view data) { on_event(data); }),
      on_body_([this](std::string_view bytes) { on_body(bytes); }) {}

void Connection::start(int64_t index, MadeRequest request) {
  out_ = std::move(request.bytes);
  sent_ = 0;
  outcome_ = Outcome{.index = index,
                     .failure = {},
                     .detail = {},
                     .started = Clock::now(),
                     .first_text = {},
                     .last_text = {},
                     .ended = {},
                     .prompt_length = request.prompt_length,
                     .prompt_tokens = {},
                     .cached_tokens = {},
                     .completion_tokens = {}};
  reply_.reset();
  sse_.reset();
  body_.clear();
  done_seen_ = false;
  event_failure_.clear();
  event_detail_.clear();
  busy_ = true;
  reused_ = open_;
  if (open_) {
    write();
    return;
  }
  connect();
}

void Connection::connect() {
  error_code ec;
  socket_.open(context_.endpoint.protocol(), ec);
  if (!ec) {
    socket_.non_blocking(true, ec);
    socket_.set_option(tcp::no_delay(true), ec);
    open_ = true;
  }
  if (ec) {
    fail("connect", connect_error(context_.target, ec).message());
    return;
  }
  socket_.async_connect(context_.endpoint, [this, epoch = epoch_](const error_code& e) {
    if (epoch != epoch_) {
      return;
    }
    if (e) {
      fail("connect", connect_error(context_.target, e).message());
      return;
    }
    write();
  });
}

void Connection::write() {
  while (sent_ < out_.size()) {
    error_code ec;
    sent_ += socket_.write_some(asio::buffer(out_.data() + sent_, out_.size() - sent_), ec);
    if (ec == asio::error::would_block || ec == asio::error::try_again) {
      socket_.async_wait(tcp::socket::wait_write, [this, epoch = epoch_](const error_code&) {
        if (epoch == epoch_) {
          write();
        }
      });
      return;
    }
    if (ec) {
      break;  // the server may have answered before it closed: reading shows it
    }
  }
  wait_readable();
}

void Connection::wait_readable() {
  socket_.async_wait(tcp::socket::wait_read, [this, epoch = epoch_](const error_code&) {
    if (epoch == epoch_) {
      on_readable();
    }
  });
}

void Connection::on_readable() {
  while (busy_) {
    error_code ec;
    const size_t bytes = socket_.read_some(asio::buffer(context_.buffer), ec);
    if (ec == asio::error::would_block || ec == asio::error::try_again) {
      break;
    }
    const auto now = Clock::now();
    if (!ec) {
      const uint64_t epoch = epoch_;
      take({context_.buffer.data(), bytes}, now);
      if (epoch != epoch_) {
        return;
      }
      if (bytes < context_.buffer.size()) {
        break;  // drained; what comes now is told by the next wait
      }
      continue;
    }
    now_ = now;
    if (reply_.has_head() && reply_.end_of_input()) {
      finish_reply();
    } else if (reused_ && !reply_.begun()) {
      // The server closed an idle connection just as we used it (RFC 9112, 9.3.1): once more.
      close();
      reused_ = false;
      sent_ = 0;
      connect();
    } else {
      fail("connection closed", "the server closed the connection within a reply: " + ec.message());
    }
    return;
  }
  if (busy_) {
    wait_readable();
  }
}

void Connection::take(std::string_view bytes, Clock::time_point now) {
  now_ = now;
  size_t used = 0;
  const Status status = reply_.feed(bytes, on_body_, used);
  if (!status.ok()) {
    fail("malformed reply", status.message());
    return;
  }
  if (reply_.complete()) {
    if (used < bytes.size()) {
      fail("malformed reply", "bytes behind the end of the reply");
      return;
    }
    finish_reply();
  }
}

void Connection::on_body(std::string_view bytes) {
  if (reply_.status() == 200 && reply_.event_stream()) {
    if (!sse_.feed(bytes, on_event_) && event_failure_.empty()) {
      event_failure_ = "malformed reply";
      event_detail_ = "an event of the stream is too large";
    }
  } else if (body_.size() < kMaxBody) {
    body_ += bytes;
  }
}

void Connection::on_event(std::string_view data) {
  if (data == "[DONE]") {
    done_seen_ = true;
    outcome_.ended = now_;
    return;
  }
  const ChunkFields* fields = context_.reader.read(data);
  if (fields == nullptr) {
    event_failure_ = "malformed reply";
    event_detail_ = fmt::format("an event is no JSON object: {}", data.substr(0, 200));
    return;
  }
  if (fields->error) {
    event_failure_ = "error event";
    event_detail_ = *fields->error;
  }
  if (!fields->text.empty()) {
    add_text(fields->text);
  }
  add_usage(*fields);
}

void Connection::add_text(std::string_view text) {
  if (outcome_.chunks++ == 0) {
    outcome_.first_text = now_;
  } else {
    context_.gaps_ms.push_back(milliseconds(now_ - outcome_.last_text));
  }
  outcome_.last_text = now_;
  const auto second = static_cast<size_t>(
      std::chrono::duration_cast<std::chrono::seconds>(now_ - context_.begin).count());
  if (second >= context_.chunks_by_second.size()) {
    context_.chunks_by_second.resize(second + 1);
  }
  ++context_.chunks_by_second[second];
  context_.chunks->fetch_add(1, std::memory_order_relaxed);
  if (context_.observer != nullptr) {
    context_.observer->on_text(outcome_.index, text, now_);
  }
}

void Connection::add_usage(const ChunkFields& fields) {
  // Some servers send running totals: the last one counts.
  outcome_.prompt_tokens = fields.prompt_tokens ? fields.prompt_tokens : outcome_.prompt_tokens;
  outcome_.cached_tokens = fields.cached_tokens ? fields.cached_tokens : outcome_.cached_tokens;
  outcome_.completion_tokens =
      fields.completion_tokens ? fields.completion_tokens : outcome_.completion_tokens;
}

void Connection::finish_reply() {
  if (outcome_.ended == Clock::time_point()) {
    outcome_.ended = now_;
  }
  if (!reply_.keep_alive()) {
    close();
  }
  if (reply_.status() != 200) {
    const ChunkFields* fields = context_.reader.read(body_);
    outcome_.failure = fmt::format("http {}", reply_.status());
    outcome_.detail = fields != nullptr && fields->error ? *fields->error : body_.substr(0, 200);
  } else if (!event_failure_.empty()) {
    outcome_.failure = event_failure_;
    outcome_.detail = event_detail_;
  } else if (reply_.event_stream()) {
    if (!done_seen_) {
      outcome_.failure = "incomplete stream";
      outcome_.detail = "the stream ended without [DONE]";
    }
  } else {
    const ChunkFields* fields = context_.reader.read(body_);
    if (fields == nullptr) {
      outcome_.failure = "malformed reply";
      outcome_.detail = "the reply is no JSON object: " + body_.substr(0, 200);
    } else if (fields->error) {
      outcome_.failure = "error reply";
      outcome_.detail = *fields->error;
    } else {
      add_usage(*fields);
    }
  }
  end();
}

void Connection::fail(std::string failure, std::string detail) {
  outcome_.failure = std::move(failure);
  outcome_.detail = std::move(detail);
  outcome_.ended = Clock::now();
  close();
  end();
}

void Connection::abort(const char* failure) {
  if (busy_) {
    fail(failure, reply_.has_head() ? "within the reply" : "no reply yet");
  }
}

void Connection::end() {
  busy_ = false;
  owner_.on_end(*this, outcome_);
}

void Connection::close() {
  error_code ec;
  socket_.close(ec);
  open_ = false;
  ++epoch_;
}

}  // namespace tutti::loadgen
