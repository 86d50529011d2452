// The replies under way, so that they can be listed and stopped, and the streams among them that
// outlive the connection of their client (header X-Tutti-Keep): their events are kept for a while,
// within bounds, and whoever lost the connection goes on where it broke. Thread-safe.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "serve/http_limits.h"
#include "serve/waker.h"

namespace tutti {

/// Of a request: seconds for which its stream is kept without a client.
inline constexpr const char* kKeepHeader = "x-tutti-keep";
/// Of a reply that is a stream: its id in /v1/replies.
inline constexpr const char* kReplyHeader = "X-Tutti-Reply";

class Dialect;
class RunningReplies;

/// One of them. Thread-safe.
class RunningReply {
 public:
  using Clock = std::chrono::steady_clock;

  struct Facts {
    std::string id;
    std::string owner;                 ///< KeyRing::Pass::owner
    const Dialect* dialect = nullptr;  ///< and route, which it answers
    int number = 0;
    std::string request_id;
    int64_t created_unix = 0;
  };

  RunningReply(Facts facts, RunningReplies& all) : facts_(std::move(facts)), all_(all) {}

  const Facts& facts() const { return facts_; }

  /// Ends it with an error, as soon as whoever makes it sees that.
  void stop();
  /// And it is kept no longer.
  void stop_and_forget();

  bool stopped() const { return stopped_; }

  /// Told when there is something to see: a stop, or events.
  void add_waker(std::shared_ptr<Waker> waker);
  void remove_waker(const std::shared_ptr<Waker>& waker);

  /// From here on its events are kept, for so long without a reader.
  void keep(std::chrono::milliseconds time, std::string content_type, std::string_view event_end);
  bool kept() const;
  std::string content_type() const;

  /// Whole events. Each gets its number, in an `id:` line where the stream has such; comments are
  /// dropped.
  void add_events(std::string_view text);
  /// Nothing more comes.
  void end();
  bool ended() const;

  /// Of one that reads: appends events from number `next` on, to about `most` bytes, and moves it.
  /// False: some that are wanted are no longer there.
  bool read(int64_t& next, size_t most, std::string& out) const;
  /// The number of the next event.
  int64_t next() const;

  void begin_reading();
  void end_reading();

  /// Nobody has read it for longer than it is kept.
  bool expired(Clock::time_point now) const;

  Json json() const;

 private:
  friend class RunningReplies;

  void wake_locked() const;

  const Facts facts_;
  RunningReplies& all_;
  std::atomic<bool> stopped_{false};
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Waker>> wakers_;
  std::optional<std::chrono::milliseconds> keep_;
  std::string content_type_;
  std::string event_end_;
  std::deque<std::string> events_;
  int64_t first_ = 1;  // number of events_.front()
  size_t bytes_ = 0;
  int readers_ = 0;
  Clock::time_point unread_since_;
  bool ended_ = false;
};

/// kNotFound.
Status no_such_reply(const std::string& id);

class RunningReplies {
 public:
  explicit RunningReplies(const HttpLimits& limits) : limits_(limits) {}

  std::shared_ptr<RunningReply> add(RunningReply::Facts facts);
  /// Whoever has made it is done with it; one that is kept stays until it has expired.
  void done(const RunningReply& reply);

  /// nullptr: there is none, or it is another's.
  std::shared_ptr<RunningReply> find(const std::string& id, const std::string& owner) const;
  std::vector<std::shared_ptr<RunningReply>> of(const std::string& owner) const;
  void forget(const std::string& id);

  /// Whether one more may be kept now.
  bool room() const;
  /// Forgets what has expired. Called now and then.
  void tidy(RunningReply::Clock::time_point now);
  /// Those that are kept; the others end with their connections.
  void stop_kept();
  size_t size() const;

 private:
  friend class RunningReply;

  const HttpLimits& limits_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<RunningReply>> all_;
};

}  // namespace tutti
