#include "serve/relayed_reply.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/ascii.h"
#include "serve/dialect.h"

namespace tutti {

namespace {

// What this server says itself of every response, or of the connection to its own client.
constexpr std::array<std::string_view, 13> kOwnHeaders{"connection",
                                                       "content-length",
                                                       "content-type",
                                                       "transfer-encoding",
                                                       "date",
                                                       "keep-alive",
                                                       "x-request-id",
                                                       "x-content-type-options",
                                                       "cache-control",
                                                       "x-accel-buffering",
                                                       "request-id",
                                                       "x-tutti-reply",
                                                       kTokensHeader};

int64_t count_events(std::string_view text, std::string_view end) {
  int64_t events = 0;
  for (size_t at = text.find(end); at != std::string_view::npos;
       at = text.find(end, at + end.size())) {
    ++events;
  }
  return events;
}

}  // namespace

RelayedReply::RelayedReply(std::shared_ptr<EnginePool> pool,
                           std::shared_ptr<EnginePlace> place,
                           std::unique_ptr<ReplyFormat> format,
                           std::function<void()> on_change)
    : pool_(std::move(pool)),
      place_(std::move(place)),
      format_(std::move(format)),
      on_change_(std::move(on_change)),
      line_(pool_->take(place_->socket())) {}

void RelayedReply::send(std::string request) {
  line_->connection.send(std::move(request), *this);
}

void RelayedReply::take_head() {
  if (status_ != 0) {
    return;
  }
  const http::ResponseParser& head = line_->connection.response();
  status_ = head.status();
  content_type_ = head.field("Content-Type");
  streaming_ = status_ == 200 && content_type_ == format_->content_type();
  const std::string_view tokens = head.field(kTokensHeader);
  std::from_chars(tokens.data(), tokens.data() + tokens.size(), told_tokens_);
  for (const auto& [name, value] : head.fields()) {
    if (std::find(kOwnHeaders.begin(), kOwnHeaders.end(), to_lower(name)) == kOwnHeaders.end()) {
      headers_ += fmt::format("{}: {}\r\n", name, header_text(value));
    }
  }
}

void RelayedReply::on_body(std::string_view bytes, http::Clock::time_point) {
  take_head();
  body_ += bytes;
}

void RelayedReply::on_drained(http::Clock::time_point) {
  if (streaming_) {
    on_change_();
  }
}

void RelayedReply::on_complete(http::Clock::time_point) {
  take_head();
  done_ = true;
  pool_->give_back(std::move(line_));
  on_change_();
}

void RelayedReply::on_failure(http::Failure) {
  done_ = true;
  lost_ = true;
  on_change_();
}

HttpResponse RelayedReply::response(const Dialect* dialect, std::string_view request_id) const {
  if (lost_) {
    return error_response(to_api_error(place_->lost()), dialect, request_id);
  }
  HttpResponse response;
  response.status = status_;
  response.content_type = content_type_;
  response.body = body_;
  return response;
}

void RelayedReply::pull(size_t unsent, std::string& out) {
  if (ended_ || !streaming_) {
    return;
  }
  holding_ = unsent > 0;
  if (holding_) {
    if (!done_) {
      line_->connection.hold();
    }
    return;
  }
  size_t whole = body_.size();
  const std::string_view end = format_->event_end();
  if (!done_ || lost_) {
    const size_t last = body_.rfind(end);
    whole = last == std::string::npos ? 0 : last + end.size();
  }
  events_ += count_events(std::string_view(body_).substr(0, whole), end);
  out.append(body_, 0, whole);
  body_.erase(0, whole);
  if (!done_) {
    line_->connection.resume();
    return;
  }
  if (lost_) {
    format_->error(place_->lost(), out);
  }
  ended_ = true;
}

int64_t RelayedReply::tokens() const {
  return streaming_ ? events_ : told_tokens_;
}

void RelayedReply::abort(Status status, std::string& out) {
  cancel();
  format_->error(status, out);
}

void RelayedReply::cancel() {
  if (!done_) {
    line_->connection.close();
  }
  done_ = true;
  ended_ = true;
}

}  // namespace tutti
