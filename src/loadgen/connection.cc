#include "loadgen/connection.h"

#include <algorithm>

namespace tutti::loadgen {

namespace {

constexpr size_t kMaxBody = 16 << 20;

float milliseconds(Clock::duration d) {
  return std::chrono::duration<float, std::milli>(d).count();
}

}  // namespace

Connection::Connection(boost::asio::io_context& io, ThreadState& state, Owner& owner)
    : state_(state),
      owner_(owner),
      connection_(io, state.endpoint, state.buffer),
      on_event_([this](std::string_view data) { on_event(data); }) {}

void Connection::start(int64_t index, MadeRequest request) {
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
  sse_.reset();
  body_.clear();
  done_seen_ = false;
  event_failure_.clear();
  event_detail_.clear();
  connection_.send(std::move(request.bytes), *this);
}

void Connection::on_body(std::string_view bytes, Clock::time_point arrival) {
  now_ = arrival;
  const http::ResponseParser& reply = connection_.response();
  if (reply.status() == 200 && reply.event_stream()) {
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
  const ChunkFields* fields = state_.reader.read(data);
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
    state_.gaps_ms.push_back(milliseconds(now_ - outcome_.last_text));
  }
  outcome_.last_text = now_;
  const auto second = static_cast<size_t>(
      std::chrono::duration_cast<std::chrono::seconds>(now_ - state_.begin).count());
  if (second >= state_.chunks_by_second.size()) {
    state_.chunks_by_second.resize(second + 1);
  }
  ++state_.chunks_by_second[second];
  state_.chunks->fetch_add(1, std::memory_order_relaxed);
  if (state_.observer != nullptr) {
    state_.observer->on_text(outcome_.index, text, now_);
  }
}

void Connection::add_usage(const ChunkFields& fields) {
  // Some servers send running totals: the last one counts.
  outcome_.prompt_tokens = fields.prompt_tokens ? fields.prompt_tokens : outcome_.prompt_tokens;
  outcome_.cached_tokens = fields.cached_tokens ? fields.cached_tokens : outcome_.cached_tokens;
  outcome_.completion_tokens =
      fields.completion_tokens ? fields.completion_tokens : outcome_.completion_tokens;
}

void Connection::on_complete(Clock::time_point arrival) {
  if (outcome_.ended == Clock::time_point()) {
    outcome_.ended = arrival;
  }
  const http::ResponseParser& reply = connection_.response();
  if (reply.status() != 200) {
    const ChunkFields* fields = state_.reader.read(body_);
    outcome_.failure = fmt::format("http {}", reply.status());
    outcome_.detail = fields != nullptr && fields->error ? *fields->error : body_.substr(0, 200);
  } else if (!event_failure_.empty()) {
    outcome_.failure = event_failure_;
    outcome_.detail = event_detail_;
  } else if (!reply.event_stream()) {
    judge_whole_reply();
  } else if (!done_seen_) {
    outcome_.failure = "incomplete stream";
    outcome_.detail = "the stream ended without [DONE]";
  }
  owner_.on_end(*this, outcome_);
}

void Connection::judge_whole_reply() {
  const ChunkFields* fields = state_.reader.read(body_);
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

void Connection::on_failure(http::Failure failure) {
  switch (failure.kind) {
    case http::Failure::Kind::kConnect:
      fail("connect", connect_error(state_.target, failure.cause).message());
      break;
    case http::Failure::Kind::kClosed:
      fail("connection closed", std::move(failure.message));
      break;
    case http::Failure::Kind::kMalformed:
    case http::Failure::Kind::kTimeout:
      fail("malformed reply", std::move(failure.message));
      break;
  }
}

void Connection::fail(std::string failure, std::string detail) {
  outcome_.failure = std::move(failure);
  outcome_.detail = std::move(detail);
  outcome_.ended = Clock::now();
  owner_.on_end(*this, outcome_);
}

void Connection::abort(const char* failure) {
  if (busy()) {
    const bool begun = connection_.response().has_head();
    connection_.close();
    fail(failure, begun ? "within the reply" : "no reply yet");
  }
}

}  // namespace tutti::loadgen
