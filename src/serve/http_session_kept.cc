// The half of HttpSession that knows of replies under way and of streams that are kept.
#include <charconv>

#include "base/wall_clock.h"
#include "serve/dialect.h"
#include "serve/http_session.h"
#include "serve/random_id.h"

namespace tutti {

namespace {

// Digits alone; nullopt: something else.
std::optional<int64_t> number_of(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, ec] = std::from_chars(text.data(), end, number);
  return ec == std::errc() && stop == end && !text.empty() && number >= 0 ? std::optional(number)
                                                                          : std::nullopt;
}

// Of "a=b&after=7".
std::optional<std::string_view> parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(one.size() + 1, query.size()));
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) {
      return one.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

}  // namespace

// A gateway says whose request it is that it passes on.
std::string HttpSession::owner_of(const RouteMatch& match) const {
  const std::string* told = shared_.api.behind_gateway() ? head_.find(kOwnerHeader) : nullptr;
  return told == nullptr ? match.owner : *told;
}

// Whether, and for how long, its stream is to be kept.
std::optional<ApiError> HttpSession::read_keep() {
  keep_ = std::chrono::milliseconds(0);
  const std::string* wanted = head_.find(kKeepHeader);
  if (wanted == nullptr) {
    return std::nullopt;
  }
  const int64_t most =
      std::chrono::duration_cast<std::chrono::seconds>(limits_.keep_timeout).count();
  const std::optional<int64_t> seconds = number_of(*wanted);
  if (!seconds || *seconds < 1 || *seconds > most) {
    return to_api_error(invalid("{}: got \"{}\", wanted seconds, 1 to {}",
                                kKeepHeader,
                                header_text(wanted->substr(0, 40)),
                                most));
  }
  if (!shared_.api.replies().room()) {
    reply_headers_ += fmt::format(
        "{}: {}: not kept, {} others are\r\n", kWarningHeader, kKeepHeader, limits_.kept_replies);
    return std::nullopt;
  }
  keep_ = std::chrono::seconds(*seconds);
  return std::nullopt;
}

void HttpSession::begin_reply(const RouteMatch& match) {
  running_ = shared_.api.replies().add({.id = random_id("reply"),
                                        .owner = owner_of(match),
                                        .dialect = match.route->dialect,
                                        .number = match.route->number,
                                        .request_id = request_id_,
                                        .created_unix = unix_now()});
  running_->add_waker(waker_);
  if (keep_.count() > 0) {
    keeper_ = std::make_shared<ReplyKeeper>(thread_, shared_.keepers, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) {
        self->on_wake();
      }
    });
  }
}

void HttpSession::end_reply() {
  if (running_ != nullptr) {
    running_->remove_waker(waker_);
    shared_.api.replies().done(*running_);
  }
  running_.reset();
  keeper_.reset();
  counted_.reset();
}

std::shared_ptr<Waker> HttpSession::model_waker() {
  return keeper_ != nullptr ? keeper_->make_waker() : waker_;
}

// Its client is the first that reads what is kept.
Task<HttpSession::Outcome> HttpSession::keep_and_send(std::unique_ptr<ReplyStream> stream,
                                                      std::shared_ptr<void> held,
                                                      Clock::time_point deadline) {
  const std::shared_ptr<RunningReply> reply = running_;
  const Dialect& dialect = *reply->facts().dialect;
  reply->keep(
      keep_, stream->content_type(), dialect.format(reply->facts().number, {})->event_end());
  KeptStream kept(reply, 1, waker_);
  reply_headers_ += fmt::format("{}: {}\r\n", kReplyHeader, reply->facts().id);
  reply->remove_waker(waker_);  // of the two that it has now: it is the reader's
  running_.reset();
  keeper_->run(std::move(stream), reply, deadline, std::move(held));
  const Outcome outcome = co_await send_stream(kept);
  co_return outcome;
}

Task<HttpSession::Outcome> HttpSession::send_kept(const RouteMatch& match) {
  const std::shared_ptr<RunningReply> reply = shared_.api.replies().find(match.name, match.owner);
  const std::string* header = head_.find("last-event-id");
  const std::optional<std::string_view> query = parameter(head_.query, "after");
  const std::optional<int64_t> after = query               ? number_of(*query)
                                       : header != nullptr ? number_of(*header)
                                                           : std::optional<int64_t>(0);
  Status wrong;
  if (reply == nullptr) {
    wrong = no_such_reply(match.name);
  } else if (!reply->kept()) {
    wrong = error(StatusCode::kNotFound,
                  "reply \"{}\" is not kept: it was asked for without {}",
                  match.name.substr(0, 80),
                  kKeepHeader);
  } else if (!after || *after >= reply->next()) {
    wrong =
        invalid("after: wanted the number of an event that was sent, 0 to {}", reply->next() - 1);
  } else {
    int64_t next = *after + 1;
    std::string unused;
    if (!reply->read(next, 0, unused)) {
      wrong = error(StatusCode::kNotFound, "events from {} on are no longer kept", next);
    }
  }
  if (!wrong.ok()) {
    HttpResponse response = error_reply(to_api_error(wrong));
    const Outcome outcome = co_await respond(std::move(response));
    co_return outcome;
  }
  KeptStream stream(reply, *after + 1, waker_);
  const Outcome outcome = co_await send_stream(stream);
  co_return outcome;
}

}  // namespace tutti
