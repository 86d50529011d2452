#include "serve/http_session.h"

#include <algorithm>
#include <charconv>
#include <exception>

#include "base/check.h"
#include "base/log.h"
#include "serve/dialect.h"

namespace tutti {

namespace {

// Eight hexadecimal digits, CR, LF: room for the size line of a chunk.
constexpr size_t kChunkHead = 10;

// Writes the size line so that it ends at kChunkHead; returns where it begins.
size_t put_chunk_size(std::string& text, size_t size) {
  char digits[8];
  const auto [end, ec] = std::to_chars(digits, digits + sizeof(digits), size, 16);
  TUTTI_CHECK(ec == std::errc());  // the unsent text of a stream is bounded far below 4 GiB
  const size_t begin = kChunkHead - 2 - static_cast<size_t>(end - digits);
  std::copy(digits, end, text.begin() + static_cast<std::ptrdiff_t>(begin));
  text[kChunkHead - 2] = '\r';
  text[kChunkHead - 1] = '\n';
  return begin;
}

bool is_get(const RouteMatch& match) {
  return !match.route->takes_body();
}

}  // namespace

/// A request on its way through the worker pool. Dropped by the session when the client leaves; the
/// worker then drops the reply, which cancels its generation.
struct HttpSession::Preparation {
  HttpHead head;  // of a GET
  std::string body;
  RouteMatch match;
  ReplyInput input;
  std::shared_ptr<Waker> waker;  // told when it is done
  PostReply reply;
  std::atomic<bool> done{false};
};

/// Counts one generation request as under way.
class HttpSession::CountedRequest {
 public:
  explicit CountedRequest(Shared& shared) : shared_(shared), number_(++shared.requests) {}

  ~CountedRequest() { --shared_.requests; }

  CountedRequest(const CountedRequest&) = delete;
  CountedRequest& operator=(const CountedRequest&) = delete;

  /// How many there were with this one.
  int64_t number() const { return number_; }

 private:
  Shared& shared_;
  int64_t number_;
};

HttpSession::HttpSession(Shared& shared,
                         IoThread& thread,
                         std::unique_ptr<Conn> conn,
                         Kind kind,
                         std::shared_ptr<EnginePool> engines)
    : shared_(shared),
      limits_(shared.api.limits()),
      conn_(std::move(conn)),
      kind_(kind),
      changed_(thread),
      thread_(thread),
      engines_(std::move(engines)),
      last_progress_(Clock::now()) {}

Task<void> HttpSession::run(std::shared_ptr<HttpSession> self,
                            std::function<void(HttpSession&)> on_end) {
  self->waker_ = self->thread_.make_waker(self->weak_from_this());
  self->thread_.add_ticker(self.get());
  try {
    Outcome outcome = Outcome::kNext;
    while (outcome == Outcome::kNext) {
      outcome = co_await self->serve_one();
    }
    if (outcome == Outcome::kLinger) {
      co_await self->linger();
    }
  } catch (const std::exception& e) {
    log_error("http connection of {}: {}", self->conn_->peer_address(), e.what());
  }
  self->end_reply();
  self->stream_ = nullptr;
  self->thread_.remove_ticker(self.get());
  self->conn_->close();
  on_end(*self);
}

// ---- events ----

void HttpSession::on_writable() {
  write_armed_ = false;
  if (stream_ != nullptr) {
    pump();
  } else {
    send_some();
  }
  changed_.notify();
}

void HttpSession::on_wake() {
  if (stream_ == nullptr) {
    changed_.notify();
    return;
  }
  pump();
  // While all goes well the coroutine sleeps: pieces go from here straight to the socket.
  const bool stopped = running_ != nullptr && running_->stopped();
  if (stream_->ended() || !out_.empty() || write_failed_ || stopped) {
    changed_.notify();
  }
}

void HttpSession::on_tick(Clock::time_point now) {
  shared_.log.tell_left_out();
  if (now >= deadline_ && !expired_) {
    expired_ = true;
    changed_.notify();
  }
  if (now >= request_deadline_) {
    changed_.notify();
  }
  if (stream_ != nullptr) {
    check_stream_progress(now);
  }
}

void HttpSession::evict() {
  evicted_ = true;
  changed_.notify();
}

void HttpSession::abort(const Status& status) {
  abort_status_ = status;
  changed_.notify();
}

void HttpSession::check_stream_progress(Clock::time_point now) {
  if (!out_.empty() && now - last_progress_ >= limits_.write_stall_timeout) {
    expired_ = true;
    changed_.notify();
  } else if (out_.empty() && !stream_->ended() &&
             now - last_event_ >= limits_.sse_comment_interval) {
    last_event_ = now;
    if (!stream_->keep_alive().empty()) {
      add_chunk(stream_->keep_alive());
      send_some();
      changed_.notify();
    }
  }
}

// ---- output ----

void HttpSession::send_some() {
  while (sent_ < out_.size() && !write_failed_) {
    const IoResult put = conn_->try_write(std::string_view(out_).substr(sent_));
    if (put.state == IoResult::State::kAgain) {
      break;
    }
    if (put.state == IoResult::State::kClosed) {
      write_failed_ = true;
      break;
    }
    sent_ += put.bytes;
    last_progress_ = Clock::now();
  }
  if (sent_ == out_.size()) {
    out_.clear();
    sent_ = 0;
  } else if (sent_ > out_.size() / 2) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
}

void HttpSession::send_now(std::string_view bytes) {
  if (!out_.empty()) {
    out_ += bytes;
    send_some();
    return;
  }
  last_progress_ = Clock::now();  // the stall clock runs only while something is unsent
  while (!bytes.empty() && !write_failed_) {
    const IoResult put = conn_->try_write(bytes);
    if (put.state == IoResult::State::kAgain) {
      break;
    }
    write_failed_ = put.state == IoResult::State::kClosed;
    bytes.remove_prefix(put.bytes);
  }
  out_ += bytes;
}

Task<bool> HttpSession::flush() {
  last_progress_ = Clock::now();
  send_some();
  while (!out_.empty() && !write_failed_) {
    set_deadline(std::chrono::duration_cast<std::chrono::milliseconds>(
        last_progress_ + limits_.write_stall_timeout - Clock::now()));
    if (!write_armed_) {
      write_armed_ = true;
      conn_->wait_writable(shared_from_this());
    }
    co_await changed_.wait();
    if (expired_) {
      write_failed_ = true;
    }
  }
  set_deadline(std::chrono::milliseconds::max());
  co_return !write_failed_;
}

void HttpSession::add_chunk(std::string_view text) {
  if (out_.empty()) {
    last_progress_ = Clock::now();  // the stall clock runs only while something is unsent
  }
  last_event_ = Clock::now();
  if (stream_chunked_) {
    out_ += fmt::format("{:x}\r\n", text.size());
    out_ += text;
    out_ += "\r\n";
  } else {
    out_ += text;
  }
}

void HttpSession::pump() {
  if (stream_ended_) {
    send_some();
    return;
  }
  // Again while the socket takes all: held pieces then follow at once.
  do {
    // Made in the thread's memory and sent from there: a stream whose client keeps up needs no
    // buffer of its own. The size of a chunk is only known behind it, so room is left in front.
    std::string& text = thread_.scratch();
    text.assign(kChunkHead, ' ');
    stream_->pull(out_.size() - sent_, text);
    size_t begin = kChunkHead;
    if (text.size() > kChunkHead) {
      last_event_ = Clock::now();
      if (stream_chunked_) {
        begin = put_chunk_size(text, text.size() - kChunkHead);
        text += "\r\n";
      }
    }
    if (stream_->ended()) {
      stream_ended_ = true;
      text += stream_chunked_ ? "0\r\n\r\n" : "";
    }
    send_now(std::string_view(text).substr(begin));
  } while (!stream_ended_ && stream_->holding() && out_.empty() && !write_failed_);
}

WriteOptions HttpSession::write_options() const {
  return {.head_only = head_.method == "HEAD",
          .keep_alive = !last_request(),
          .request_id = request_id_,
          .headers = reply_headers_};
}

bool HttpSession::last_request() const {
  return close_after_ || kind_ == Kind::kProbe || !head_.keep_alive || shared_.api.draining();
}

// Why the reply under way must end now; ok while it may go on.
Status HttpSession::ending() const {
  if (!abort_status_.ok()) {
    return abort_status_;
  }
  if (running_ != nullptr && running_->stopped()) {
    return error(StatusCode::kCancelled, "the reply {} was stopped", running_->facts().id);
  }
  if (Clock::now() >= request_deadline_) {
    return {StatusCode::kDeadlineExceeded, "the request took longer than its time-out"};
  }
  return ok_status();
}

void HttpSession::account(int status, const HttpResponse& error) {
  shared_.api.metrics().count_request(route_ == nullptr ? "other" : route_->path, status);
  if (!error.error_code.empty()) {
    shared_.api.metrics().count_rejected(error.error_code);
  }
  RequestLine line{.request_id = request_id_,
                   .method = head_.method,
                   .path = head_.path,
                   .peer = peer_,
                   .status = status,
                   .seconds = std::chrono::duration<double>(Clock::now() - request_begun_).count(),
                   .error = error.error_code,
                   .field = error.error_param,
                   .message = error.error_message,
                   .warnings = warnings_};
  if (watch_ != nullptr) {
    line.model = watch_->model();
    line.facts = watch_->facts();
  }
  const bool probe = told_by_engine_ || (route_ != nullptr && route_->health());
  shared_.log.write(line, probe ? RequestLog::Kind::kProbe : RequestLog::Kind::kRequest);
  watch_.reset();
}

Task<HttpSession::Outcome> HttpSession::respond(HttpResponse response) {
  const WriteOptions options = write_options();
  out_ += write_response(response, options);
  const bool written = co_await flush();
  account(response.status, response);
  if (!written) {
    co_return Outcome::kClose;
  }
  if (options.keep_alive) {
    co_return Outcome::kNext;
  }
  co_return Outcome::kLinger;
}

// An error after which the connection's framing cannot be trusted, or its body is unread.
Task<HttpSession::Outcome> HttpSession::refuse(ApiError error) {
  close_after_ = true;
  HttpResponse response = error_reply(error);
  const Outcome outcome = co_await respond(std::move(response));
  co_return outcome;
}

HttpResponse HttpSession::error_reply(const ApiError& error) const {
  return error_response(error, route_ == nullptr ? nullptr : route_->dialect, request_id_);
}

HttpSession::Outcome HttpSession::disconnected() {
  ++shared_.api.metrics().disconnects;
  account(499);
  return Outcome::kClose;
}

// ---- one request ----

Task<HttpSession::Outcome> HttpSession::serve_one() {
  Outcome outcome = co_await read_head();
  if (outcome != Outcome::kNext || close_after_) {
    co_return outcome;
  }
  const auto admitted = shared_.api.admit(head_, request_id_);
  if (const auto* refused = std::get_if<HttpResponse>(&admitted)) {
    close_after_ = head_.has_body();  // its bytes are not worth reading
    HttpResponse response = *refused;
    outcome = co_await respond(std::move(response));
    co_return outcome;
  }
  const RouteMatch& match = std::get<RouteMatch>(admitted);
  route_ = match.route;
  if (kind_ == Kind::kProbe && !match.route->probe) {
    ApiError full = to_api_error(too_many_connections());
    outcome = co_await refuse(std::move(full));
    co_return outcome;
  }
  outcome = co_await read_body(shared_.api.body_limit(match));
  if (outcome != Outcome::kNext || close_after_) {
    co_return outcome;
  }
  outcome = co_await serve_request(match);
  co_return outcome;
}

Task<HttpSession::Outcome> HttpSession::serve_get(const RouteMatch& match) {
  Reply reply;
  if (shared_.api.takes_long(match)) {
    const Outcome outcome = co_await prepare(match, reply);
    if (outcome != Outcome::kNext) {
      co_return outcome;
    }
  } else {
    reply = shared_.api.get(match, head_);
  }
  HttpResponse response = std::move(std::get<HttpResponse>(reply));
  const Outcome outcome = co_await respond(std::move(response));
  co_return outcome;
}

Task<HttpSession::Outcome> HttpSession::serve_request(const RouteMatch& match) {
  Outcome outcome = Outcome::kNext;
  if (match.route->id == RouteId::kManage) {
    outcome = co_await manage();
    co_return outcome;
  }
  if (match.route->id == RouteId::kReply) {
    outcome = co_await send_kept(match);
    co_return outcome;
  }
  if (is_get(match)) {
    outcome = co_await serve_get(match);
    co_return outcome;
  }
  const auto request = std::make_shared<CountedRequest>(shared_);
  if (shared_.api.draining() || request->number() > limits_.requests) {
    const Status full(StatusCode::kOverloaded, "too many requests are under way; try again");
    HttpResponse response =
        error_reply(to_api_error(shared_.api.draining() ? shutting_down() : full));
    outcome = co_await respond(std::move(response));
    co_return outcome;
  }
  if (const std::optional<ApiError> wrong = read_keep()) {
    HttpResponse response = error_reply(*wrong);
    outcome = co_await respond(std::move(response));
    co_return outcome;
  }
  counted_ = request;
  begin_reply(match);
  if (shared_.api.remote() != nullptr) {
    outcome = co_await relay(match);
  } else {
    outcome = co_await generate(match);
  }
  end_reply();
  co_return outcome;
}

Task<HttpSession::Outcome> HttpSession::generate(const RouteMatch& match) {
  Outcome outcome = Outcome::kNext;
  Reply reply;
  outcome = co_await prepare(match, reply);
  if (outcome != Outcome::kNext) {
    co_return outcome;
  }
  if (auto* response = std::get_if<HttpResponse>(&reply)) {
    HttpResponse named = std::move(*response);
    outcome = co_await respond(std::move(named));
    co_return outcome;
  }
  auto& made = std::get<std::unique_ptr<GenerationReply>>(reply);
  GenerationReply& generation = *made;
  request_deadline_ = generation.deadline();
  watch_ = generation.watch();
  if (generation.stream() && keeper_ != nullptr) {
    outcome = co_await keep_and_send(std::move(made), counted_, request_deadline_);
  } else if (generation.stream()) {
    outcome = co_await send_stream(generation);
  } else {
    outcome = co_await send_collected(generation);
  }
  co_return outcome;
}

Task<HttpSession::Outcome> HttpSession::prepare(const RouteMatch& match, Reply& reply) {
  auto gone = std::make_shared<std::atomic<bool>>(false);
  auto job = std::make_shared<Preparation>();
  if (is_get(match)) {
    job->head = head_;
  }
  job->body = std::move(body_);
  body_ = std::string();
  job->match = match;
  job->waker = waker_;
  job->input = ReplyInput{.request_id = request_id_,
                          .waker = model_waker(),
                          .gone = gone,
                          .begun = request_begun_,
                          .owner = owner_of(match)};
  const bool queued = shared_.workers.try_run([job, &api = shared_.api] {
    if (!*job->input.gone) {
      if (is_get(job->match)) {
        job->reply.reply = api.get(job->match, job->head);
      } else {
        job->reply = api.post(job->match, job->body, job->input);
      }
    }
    job->body = std::string();
    if (*job->input.gone) {
      job->reply = PostReply();  // cancels, here and now
    }
    job->done.store(true);
    job->waker->wake();
  });
  if (!queued) {
    const Status full(StatusCode::kOverloaded, "too many requests are being prepared; try again");
    reply = error_reply(to_api_error(full));
    co_return Outcome::kNext;
  }
  while (!job->done.load()) {
    if (dead()) {
      *gone = true;
      co_return disconnected();
    }
    if (const Status status = ending(); !status.ok()) {
      *gone = true;
      reply = error_reply(to_api_error(status));
      co_return Outcome::kNext;
    }
    arm_read();
    co_await changed_.wait();
  }
  reply = std::move(job->reply.reply);
  for (const std::string& warning : job->reply.warnings) {
    reply_headers_ += fmt::format("{}: {}\r\n", kWarningHeader, warning);
    warnings_ += (warnings_.empty() ? "" : " | ") + warning;
  }
  co_return Outcome::kNext;
}

Task<HttpSession::Outcome> HttpSession::send_collected(GenerationReply& reply) {
  std::string unused;
  while (true) {
    reply.pull(0, unused);
    if (reply.ended()) {
      break;
    }
    if (const Status status = ending(); !status.ok()) {
      reply.abort(status, unused);
      break;
    }
    if (dead()) {
      reply.cancel();
      co_return disconnected();
    }
    arm_read();
    co_await changed_.wait();
  }
  HttpResponse response = reply.status().ok() ? json_response(reply.whole())
                                              : error_reply(to_api_error(reply.status()));
  if (reply.status().ok() && shared_.api.behind_gateway()) {
    const GenerationUsage& usage = reply.usage();
    response.headers.push_back(
        {kTokensHeader, std::to_string(usage.prompt_tokens + usage.completion_tokens)});
  }
  const Outcome outcome = co_await respond(std::move(response));
  co_return outcome;
}

Task<HttpSession::Outcome> HttpSession::send_stream(ReplyStream& reply) {
  if (running_ != nullptr) {
    reply_headers_ += fmt::format("{}: {}\r\n", kReplyHeader, running_->facts().id);
  }
  stream_chunked_ = head_.version == 11;
  close_after_ = close_after_ || !stream_chunked_;  // HTTP/1.0: the end of the body is the close
  stream_ended_ = false;
  const WriteOptions options = write_options();
  out_ += write_stream_head(options, reply.content_type(), stream_chunked_);
  std::string first;
  reply.begin(first);
  stream_ = &reply;
  set_deadline(std::chrono::milliseconds::max());
  last_progress_ = Clock::now();
  last_event_ = last_progress_;
  if (!first.empty()) {
    add_chunk(first);
  }
  pump();
  while (!dead() && !expired_ && !reply.overflowed(out_.size() - sent_) &&
         !(stream_ended_ && out_.empty())) {
    const Status status = ending();
    if (!status.ok() && !stream_ended_) {
      std::string text;
      reply.abort(status, text);
      if (!text.empty()) {
        add_chunk(text);
      }
      pump();
      continue;
    }
    arm_read();
    if (!out_.empty() && !write_armed_) {
      write_armed_ = true;
      conn_->wait_writable(shared_from_this());
    }
    co_await changed_.wait();
  }
  stream_ = nullptr;
  if (stream_ended_ && out_.empty() && !write_failed_) {
    account(200);
    co_return options.keep_alive&& abort_status_.ok() ? Outcome::kNext : Outcome::kLinger;
  }
  reply.cancel();
  if (dead()) {
    co_return disconnected();
  }
  ++shared_.api.metrics().slow_clients;
  log_warn("request {}: the client of {} does not read its stream; cancelled",
           request_id_,
           conn_->peer_address());
  account(499);
  co_return Outcome::kClose;
}

}  // namespace tutti
