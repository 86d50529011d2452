// The gateway's half of HttpSession: a request that an engine answers.
#include "serve/dialect.h"
#include "serve/http_session.h"
#include "serve/relayed_reply.h"

namespace tutti {

namespace {

constexpr const char* kNeverAnswered = "the model did not become ready in time; try again";

std::string engine_request(const HttpHead& head,
                           std::string_view request_id,
                           std::string_view peer,
                           std::string_view owner,
                           std::string_view body) {
  std::string out = fmt::format(
      "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
      "{}\r\n"
      "x-request-id: {}\r\n{}: {}\r\n{}: {}\r\n\r\n",
      head.method,
      head.path,
      body.size(),
      request_id,
      kPeerHeader,
      peer,
      kOwnerHeader,
      owner);
  out += body;
  return out;
}

}  // namespace

// Until there is a place for the request, which may take as long as a model loads.
Task<HttpSession::Outcome> HttpSession::find_place(PlaceFound& found) {
  RemoteModels& models = *shared_.api.remote();
  set_deadline(limits_.queue_timeout);
  while (true) {
    auto answer = models.find_place({.body = body_, .waker = waker_});
    if (answer) {
      set_deadline(std::chrono::milliseconds::max());
      found = *std::move(answer);
      co_return Outcome::kNext;
    }
    if (dead()) {
      co_return disconnected();
    }
    Status status = ending();
    if (status.ok() && expired_) {
      status = Status(StatusCode::kUnavailable, kNeverAnswered);
    }
    if (!status.ok()) {
      found = std::move(status);
      co_return Outcome::kNext;
    }
    arm_read();
    co_await changed_.wait();
  }
}

/// Counts tokens for the key of a request, however it ends. What is asked counts at once, so that
/// many requests at a time cannot overdraw it together.
class HttpSession::CountedTokens {
 public:
  CountedTokens(std::shared_ptr<KeyUse> use, const RelayedReply& reply, size_t asked_bytes)
      : use_(std::move(use)),
        reply_(reply),
        asked_(static_cast<int64_t>(asked_bytes) / kBytesPerToken) {
    if (use_ != nullptr) {
      use_->spend(asked_);
    }
  }

  ~CountedTokens() {
    if (use_ != nullptr) {
      const int64_t made = reply_.tokens();
      use_->spend(reply_.streaming() || made == 0 ? made : made - asked_);
    }
  }

  CountedTokens(const CountedTokens&) = delete;
  CountedTokens& operator=(const CountedTokens&) = delete;

 private:
  static constexpr int64_t kBytesPerToken = 4;  // about

  const std::shared_ptr<KeyUse> use_;
  const RelayedReply& reply_;
  const int64_t asked_;
};

Task<HttpSession::Outcome> HttpSession::relay(const RouteMatch& match) {
  PlaceFound found = std::shared_ptr<EnginePlace>();
  Outcome outcome = co_await find_place(found);
  if (outcome != Outcome::kNext) {
    co_return outcome;
  }
  if (!found.ok()) {
    HttpResponse refused = error_reply(to_api_error(found.status()));
    outcome = co_await respond(std::move(refused));
    co_return outcome;
  }
  const Dialect& dialect = *match.route->dialect;
  std::function<void()> on_change = [this] { on_wake(); };
  if (keeper_ != nullptr) {
    on_change = [keeper = std::weak_ptr(keeper_)] {
      if (const auto alive = keeper.lock()) {
        alive->on_wake();
      }
    };
  }
  auto made = std::make_unique<RelayedReply>(engines_,
                                             *std::move(found),
                                             dialect.format(match.route->number, ReplyEnvelope()),
                                             std::move(on_change));
  RelayedReply& reply = *made;
  auto counted = std::make_shared<CountedTokens>(match.use, reply, body_.size());
  reply.send(engine_request(head_, request_id_, peer_, match.owner, body_));
  body_ = std::string();
  while (!reply.decided()) {
    if (dead()) {
      co_return disconnected();
    }
    if (const Status status = ending(); !status.ok()) {
      HttpResponse ended = error_reply(to_api_error(status));
      outcome = co_await respond(std::move(ended));
      co_return outcome;
    }
    arm_read();
    co_await changed_.wait();
  }
  reply_headers_ += reply.headers();
  if (reply.streaming() && keeper_ != nullptr) {
    auto held = std::make_shared<std::pair<std::shared_ptr<void>, std::shared_ptr<void>>>(
        counted_, std::move(counted));
    outcome = co_await keep_and_send(std::move(made), std::move(held), request_deadline_);
    co_return outcome;
  }
  if (reply.streaming()) {
    outcome = co_await send_stream(reply);
    co_return outcome;
  }
  told_by_engine_ = !reply.lost();
  HttpResponse response = reply.response(&dialect, request_id_);
  outcome = co_await respond(std::move(response));
  co_return outcome;
}

// Until the answer is there: a launch may be waited for.
Task<HttpSession::Outcome> HttpSession::manage() {
  Management& management = *shared_.api.management();
  const ManagementCall call{.method = head_.method == "HEAD" ? "GET" : head_.method,
                            .path = head_.path,
                            .query = head_.query,
                            .body = std::move(body_),
                            .waker = waker_};
  body_ = std::string();
  const std::unique_ptr<PendingAnswer> answer = management.call(call);
  while (true) {
    std::optional<HttpResponse> response = answer->poll();
    if (const Status status = ending(); !response && !status.ok()) {
      response = management.error(to_api_error(status));
    }
    if (response) {
      HttpResponse named = *std::move(response);
      const Outcome outcome = co_await respond(std::move(named));
      co_return outcome;
    }
    if (dead()) {
      co_return disconnected();
    }
    arm_read();
    co_await changed_.wait();
  }
}

}  // namespace tutti
