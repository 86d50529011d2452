#include "serve/reply_keeper.h"

#include <utility>

namespace tutti {

namespace {

// Text that one client may have waiting.
constexpr size_t kMostUnsent = 64 << 10;

}  // namespace

void ReplyKeepers::add(std::shared_ptr<ReplyKeeper> keeper) {
  const std::lock_guard lock(mutex_);
  all_.insert(std::move(keeper));
}

void ReplyKeepers::remove(const std::shared_ptr<ReplyKeeper>& keeper) {
  const std::lock_guard lock(mutex_);
  all_.erase(keeper);
}

void ReplyKeepers::clear() {
  std::set<std::shared_ptr<ReplyKeeper>> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(all_);
  }
}

void ReplyKeeper::run(std::unique_ptr<ReplyStream> stream,
                      std::shared_ptr<RunningReply> reply,
                      Clock::time_point deadline,
                      std::shared_ptr<void> held) {
  stream_ = std::move(stream);
  reply_ = std::move(reply);
  deadline_ = deadline;
  held_ = std::move(held);
  waiting_ = nullptr;
  all_.add(shared_from_this());
  thread_.add_ticker(this);
  std::string text;
  stream_->begin(text);
  reply_->add_events(text);
  pump();
}

void ReplyKeeper::on_wake() {
  if (stream_ == nullptr) {
    if (waiting_) {
      waiting_();
    }
    return;
  }
  pump();
}

void ReplyKeeper::on_tick(Clock::time_point now) {
  if (ended_) {
    return;
  }
  Status why;
  if (reply_->stopped()) {
    why = Status(StatusCode::kCancelled, "the reply was stopped");
  } else if (now >= deadline_) {
    why = Status(StatusCode::kDeadlineExceeded, "the request took longer than its time-out");
  } else {
    return;
  }
  std::string text;
  stream_->abort(std::move(why), text);
  reply_->add_events(text);
  finish();
}

void ReplyKeeper::pump() {
  if (ended_) {
    return;
  }
  std::string text;
  do {
    text.clear();
    stream_->pull(0, text);
    reply_->add_events(text);
  } while (stream_->holding() && !text.empty());
  if (stream_->ended()) {
    finish();
  }
}

// Tickers cannot be taken away while they are called.
void ReplyKeeper::finish() {
  ended_ = true;
  reply_->end();
  thread_.post([self = shared_from_this()] {
    self->thread_.remove_ticker(self.get());
    self->held_.reset();
    self->stream_.reset();
    self->all_.remove(self);
  });
}

KeptStream::KeptStream(std::shared_ptr<RunningReply> reply,
                       int64_t next,
                       std::shared_ptr<Waker> waker)
    : reply_(std::move(reply)),
      waker_(std::move(waker)),
      content_type_(reply_->content_type()),
      next_(next) {
  reply_->begin_reading();
  reply_->add_waker(waker_);
}

KeptStream::~KeptStream() {
  reply_->remove_waker(waker_);
  reply_->end_reading();
}

std::string_view KeptStream::keep_alive() const {
  return content_type_ == "text/event-stream" ? ": keep-alive\n\n" : "";
}

void KeptStream::pull(size_t unsent, std::string& out) {
  if (ended_ || unsent >= kMostUnsent) {
    return;
  }
  const bool over = reply_->ended();  // asked first: what came before its end is then read
  std::string text;
  if (!reply_->read(next_, kMostUnsent, text)) {
    abort(error(StatusCode::kNotFound, "events from {} on are no longer kept", next_), out);
    return;
  }
  out += text;
  ended_ = over && next_ == reply_->next();
}

void KeptStream::abort(Status status, std::string& out) {
  const RunningReply::Facts& facts = reply_->facts();
  facts.dialect->format(facts.number, {})->error(status, out);
  ended_ = true;
}

}  // namespace tutti
