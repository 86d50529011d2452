#include "serve/running_replies.h"

#include <algorithm>

#include <fmt/format.h>

#include "serve/dialect.h"

namespace tutti {

Status no_such_reply(const std::string& id) {
  return error(StatusCode::kNotFound,
               "no reply \"{}\" is under way or kept, or another key asked for it",
               id.substr(0, 80));
}

void RunningReply::stop() {
  stopped_ = true;
  const std::lock_guard lock(mutex_);
  wake_locked();
}

void RunningReply::stop_and_forget() {
  {
    const std::lock_guard lock(mutex_);
    keep_ = keep_ ? std::optional(std::chrono::milliseconds(0)) : std::nullopt;
  }
  stop();
}

void RunningReply::wake_locked() const {
  for (const auto& waker : wakers_) {
    waker->wake();
  }
}

void RunningReply::add_waker(std::shared_ptr<Waker> waker) {
  const std::lock_guard lock(mutex_);
  wakers_.push_back(std::move(waker));
}

void RunningReply::remove_waker(const std::shared_ptr<Waker>& waker) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(wakers_.begin(), wakers_.end(), waker);
  if (found != wakers_.end()) {
    wakers_.erase(found);
  }
}

void RunningReply::keep(std::chrono::milliseconds time,
                        std::string content_type,
                        std::string_view event_end) {
  const std::lock_guard lock(mutex_);
  keep_ = time;
  content_type_ = std::move(content_type);
  event_end_ = event_end;
  unread_since_ = Clock::now();
}

bool RunningReply::kept() const {
  const std::lock_guard lock(mutex_);
  return keep_.has_value();
}

std::string RunningReply::content_type() const {
  const std::lock_guard lock(mutex_);
  return content_type_;
}

void RunningReply::add_events(std::string_view text) {
  const std::lock_guard lock(mutex_);
  const bool numbered = event_end_ == "\n\n";
  while (!text.empty()) {
    const size_t end = text.find(event_end_);
    const size_t size = end == std::string_view::npos ? text.size() : end + event_end_.size();
    const std::string_view event = text.substr(0, size);
    text.remove_prefix(size);
    if (numbered && event.starts_with(':')) {
      continue;
    }
    const int64_t number = first_ + static_cast<int64_t>(events_.size());
    events_.push_back(numbered ? fmt::format("id: {}\n{}", number, event) : std::string(event));
    bytes_ += events_.back().size();
  }
  while (bytes_ > static_cast<size_t>(all_.limits_.kept_reply_bytes) && events_.size() > 1) {
    bytes_ -= events_.front().size();
    events_.pop_front();
    ++first_;
  }
  wake_locked();
}

void RunningReply::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  wake_locked();
}

bool RunningReply::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool RunningReply::read(int64_t& next, size_t most, std::string& out) const {
  const std::lock_guard lock(mutex_);
  if (next < first_) {
    return false;
  }
  const int64_t end = first_ + static_cast<int64_t>(events_.size());
  for (; next < end && out.size() < most; ++next) {
    out += events_[static_cast<size_t>(next - first_)];
  }
  return true;
}

int64_t RunningReply::next() const {
  const std::lock_guard lock(mutex_);
  return first_ + static_cast<int64_t>(events_.size());
}

void RunningReply::begin_reading() {
  const std::lock_guard lock(mutex_);
  ++readers_;
}

void RunningReply::end_reading() {
  const std::lock_guard lock(mutex_);
  --readers_;
  unread_since_ = Clock::now();
}

bool RunningReply::expired(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return keep_.has_value() && readers_ == 0 && now - unread_since_ >= *keep_;
}

Json RunningReply::json() const {
  const std::lock_guard lock(mutex_);
  return Json::object({{"id", facts_.id},
                       {"object", "reply"},
                       {"created", facts_.created_unix},
                       {"route", facts_.dialect->routes()[static_cast<size_t>(facts_.number)].path},
                       {"request_id", facts_.request_id},
                       {"status", ended_ ? "ended" : "running"},
                       {"kept", keep_.has_value()},
                       {"first_event", first_},
                       {"events", first_ + static_cast<int64_t>(events_.size()) - 1}});
}

std::shared_ptr<RunningReply> RunningReplies::add(RunningReply::Facts facts) {
  auto reply = std::make_shared<RunningReply>(std::move(facts), *this);
  const std::lock_guard lock(mutex_);
  all_.emplace(reply->facts().id, reply);
  return reply;
}

void RunningReplies::done(const RunningReply& reply) {
  if (!reply.kept()) {
    forget(reply.facts().id);
  }
}

std::shared_ptr<RunningReply> RunningReplies::find(const std::string& id,
                                                   const std::string& owner) const {
  const std::lock_guard lock(mutex_);
  const auto found = all_.find(id);
  return found == all_.end() || found->second->facts().owner != owner ? nullptr : found->second;
}

std::vector<std::shared_ptr<RunningReply>> RunningReplies::of(const std::string& owner) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<RunningReply>> out;
  for (const auto& [id, reply] : all_) {
    if (reply->facts().owner == owner) {
      out.push_back(reply);
    }
  }
  return out;
}

void RunningReplies::forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  all_.erase(id);
}

bool RunningReplies::room() const {
  const std::lock_guard lock(mutex_);
  const auto kept =
      std::count_if(all_.begin(), all_.end(), [](const auto& one) { return one.second->kept(); });
  return kept < limits_.kept_replies;
}

void RunningReplies::tidy(RunningReply::Clock::time_point now) {
  std::vector<std::shared_ptr<RunningReply>> expired;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, reply] : all_) {
      if (reply->expired(now)) {
        expired.push_back(reply);
      }
    }
  }
  for (const auto& reply : expired) {
    reply->stop();  // one that still runs
    if (reply->ended()) {
      forget(reply->facts().id);
    }
  }
}

void RunningReplies::stop_kept() {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, reply] : all_) {
    if (reply->kept()) {
      reply->stop();
    }
  }
}

size_t RunningReplies::size() const {
  const std::lock_guard lock(mutex_);
  return all_.size();
}

}  // namespace tutti
