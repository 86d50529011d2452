// The reading half of HttpSession: heads, bodies, deadlines, and the end of a connection.
#include <algorithm>
#include <array>

#include "serve/chunked_decoder.h"
#include "serve/http_head.h"
#include "serve/http_session.h"
#include "serve/random_id.h"

namespace tutti {

namespace {

constexpr size_t kReadSize = 16 << 10;

// Ids of clients are echoed, so only harmless ones are taken over.
bool usable_request_id(const std::string& id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

}  // namespace

void HttpSession::read_available() {
  std::array<char, kReadSize> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled
  while (!peer_gone_ && !ahead_full()) {
    const IoResult got = conn_->try_read(buffer);
    if (got.state == IoResult::State::kAgain) {
      return;
    }
    if (got.state == IoResult::State::kClosed) {
      peer_gone_ = true;
      return;
    }
    in_.append(buffer.data(), got.bytes);
  }
}

// Later requests wait in the kernel, and then at the client, not in our memory. Blank lines inside
// their bodies count too, which only makes us read a little less far ahead.
bool HttpSession::ahead_full() {
  constexpr std::string_view kBlankLine = "\r\n\r\n";
  if (in_.size() >= static_cast<size_t>(limits_.pipeline_bytes)) {
    return true;
  }
  if (!answering_) {
    return false;
  }
  size_t found = 0;
  while (ahead_ < limits_.pipelined_requests &&
         (found = in_.find(kBlankLine, ahead_scanned_)) != std::string::npos) {
    ++ahead_;
    ahead_scanned_ = found + kBlankLine.size();
  }
  return ahead_ >= limits_.pipelined_requests;
}

void HttpSession::arm_read() {
  if (!read_armed_ && !peer_gone_ && !ahead_full()) {
    read_armed_ = true;
    conn_->wait_readable(shared_from_this());
  }
}

void HttpSession::on_readable() {
  read_armed_ = false;
  read_available();
  changed_.notify();
}

void HttpSession::set_deadline(std::chrono::milliseconds from_now) {
  expired_ = false;
  deadline_ = from_now == std::chrono::milliseconds::max() ? Clock::time_point::max()
                                                           : Clock::now() + from_now;
}

void HttpSession::set_body_deadline(Clock::time_point begun, size_t received) {
  const auto now = Clock::now();
  const std::chrono::milliseconds earned(static_cast<int64_t>(received) * 1000 /
                                         limits_.body_bytes_per_second);
  const auto slowest = begun + limits_.body_idle_timeout + earned;
  expired_ = false;
  deadline_ = std::min(slowest, now + limits_.body_idle_timeout);
}

void HttpSession::begin_answering() {
  answering_ = true;
  ahead_scanned_ = 0;
  ahead_ = 0;
}

Task<HttpSession::Outcome> HttpSession::read_head() {
  HeadScanner scanner(limits_);
  head_ = HttpHead();
  request_id_ = random_id("req");
  reply_headers_.clear();
  warnings_.clear();
  peer_ = conn_->peer_address();
  told_by_engine_ = false;
  route_ = nullptr;
  watch_.reset();
  close_after_ = false;
  answering_ = false;
  request_begun_ = Clock::now();
  request_deadline_ = Clock::time_point::max();
  bool begun = false;
  const auto header_timeout =
      kind_ == Kind::kProbe ? limits_.probe_timeout : limits_.header_timeout;
  set_deadline(first_request_ ? header_timeout : limits_.keep_alive_timeout);
  read_available();
  while (true) {
    while (!begun && in_.starts_with("\r\n")) {
      in_.erase(0, 2);  // RFC 9112, 2.2: an empty line before a request is ignored
    }
    if (!begun && !in_.empty() && in_ != "\r") {
      begun = true;
      request_begun_ = Clock::now();
      set_deadline(header_timeout);
    }
    const auto state = begun ? scanner.scan(in_) : HeadScanner::State::kNeedMore;
    if (state == HeadScanner::State::kError) {
      ApiError error = scanner.error();
      const Outcome outcome = co_await refuse(std::move(error));
      co_return outcome;
    }
    if (state == HeadScanner::State::kComplete) {
      break;
    }
    if (dead()) {
      co_return Outcome::kClose;
    }
    if (evicted_ || (kind_ == Kind::kProbe && expired_)) {
      ApiError full = to_api_error(too_many_connections());
      const Outcome outcome = co_await refuse(std::move(full));
      co_return outcome;
    }
    if (!abort_status_.ok() || (!begun && expired_)) {
      co_return Outcome::kClose;
    }
    if (expired_) {
      ApiError error = http_error(408, "the request head did not arrive in time");
      const Outcome outcome = co_await refuse(std::move(error));
      co_return outcome;
    }
    arm_read();
    co_await changed_.wait();
  }
  first_request_ = false;
  request_deadline_ = request_begun_ + limits_.request_timeout;
  auto parsed = parse_head(std::string_view(in_).substr(0, scanner.length()));
  in_.erase(0, scanner.length());
  if (auto* error = std::get_if<ApiError>(&parsed)) {
    ApiError copy = *error;
    const Outcome outcome = co_await refuse(std::move(copy));
    co_return outcome;
  }
  head_ = std::get<HttpHead>(std::move(parsed));
  const std::string* id = head_.find("x-request-id");
  if (id != nullptr && usable_request_id(*id)) {
    request_id_ = *id;
  }
  reply_headers_ = shared_.api.reply_headers(head_, request_id_);
  const std::string* peer = shared_.api.behind_gateway() ? head_.find(kPeerHeader) : nullptr;
  if (peer != nullptr) {
    peer_ = *peer;
  }
  co_return Outcome::kNext;
}

Task<HttpSession::Outcome> HttpSession::read_body(int64_t limit) {
  body_.clear();
  if (!head_.has_body()) {
    begin_answering();
    co_return Outcome::kNext;
  }
  if (head_.expect_continue && in_.empty()) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    send_some();
  }
  ChunkedDecoder decoder(limits_, limit);
  const auto begun = Clock::now();
  size_t received = 0;
  set_body_deadline(begun, received);
  while (true) {
    std::optional<ApiError> error;
    size_t used = 0;
    bool complete = false;
    if (head_.chunked) {
      const auto state = decoder.decode(in_, body_, used);
      complete = state == ChunkedDecoder::State::kComplete;
      if (state == ChunkedDecoder::State::kError) {
        error = decoder.error();
      }
    } else {
      const auto want = static_cast<size_t>(*head_.content_length);
      used = std::min(in_.size(), want - body_.size());
      body_.append(in_, 0, used);
      complete = body_.size() == want;
    }
    in_.erase(0, used);
    received += used;
    if (complete) {
      set_deadline(std::chrono::milliseconds::max());
      begin_answering();
      co_return Outcome::kNext;
    }
    if (dead()) {
      co_return Outcome::kClose;
    }
    if (!error && !abort_status_.ok()) {
      error = to_api_error(abort_status_);
    }
    if (!error && expired_) {
      error = http_error(408, "the request body did not arrive in time");
    }
    if (error) {
      ApiError named = *std::move(error);
      const Outcome outcome = co_await refuse(std::move(named));
      co_return outcome;
    }
    if (used > 0) {
      set_body_deadline(begun, received);
    }
    arm_read();
    co_await changed_.wait();
  }
}

// Closing with unread input makes the kernel reset the connection, and the client could lose our
// last reply. So: say that we are done, then read until the client is done too.
Task<void> HttpSession::linger() {
  conn_->shutdown_send();
  // A server that is stopping does not wait long for its clients.
  set_deadline(abort_status_.ok() ? limits_.linger_timeout : limits_.linger_timeout / 4);
  answering_ = false;
  size_t dropped = 0;
  const auto bound = static_cast<size_t>(limits_.body_bytes);
  while (!peer_gone_ && !expired_ && !evicted_ && dropped < bound) {
    dropped += in_.size();
    in_.clear();
    arm_read();
    co_await changed_.wait();
  }
}

}  // namespace tutti
