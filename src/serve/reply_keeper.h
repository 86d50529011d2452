// A stream that goes on without its client: its events go into a RunningReply, which whoever is
// there reads.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "serve/dialect.h"
#include "serve/io.h"
#include "serve/reply_stream.h"
#include "serve/running_replies.h"

namespace tutti {

class ReplyKeeper;

/// Those that run. Thread-safe; destroyed after the threads have ended.
class ReplyKeepers {
 public:
  void add(std::shared_ptr<ReplyKeeper> keeper);
  void remove(const std::shared_ptr<ReplyKeeper>& keeper);
  void clear();

 private:
  std::mutex mutex_;
  std::set<std::shared_ptr<ReplyKeeper>> all_;
};

/// All on its thread.
class ReplyKeeper final : public WakeTarget,
                          public Ticker,
                          public std::enable_shared_from_this<ReplyKeeper> {
 public:
  /// `waiting` is called instead, until there is a stream.
  ReplyKeeper(IoThread& thread, ReplyKeepers& all, std::function<void()> waiting)
      : thread_(thread), all_(all), waiting_(std::move(waiting)) {}

  ~ReplyKeeper() override = default;
  ReplyKeeper(const ReplyKeeper&) = delete;
  ReplyKeeper& operator=(const ReplyKeeper&) = delete;

  /// For what makes the stream.
  std::shared_ptr<Waker> make_waker() { return thread_.make_waker(weak_from_this()); }

  /// Runs it to its end, whoever reads. `held` is dropped then, before the stream.
  void run(std::unique_ptr<ReplyStream> stream,
           std::shared_ptr<RunningReply> reply,
           Clock::time_point deadline,
           std::shared_ptr<void> held);

  void on_wake() override;
  void on_tick(Clock::time_point now) override;

 private:
  void pump();
  void finish();

  IoThread& thread_;
  ReplyKeepers& all_;
  std::function<void()> waiting_;
  std::unique_ptr<ReplyStream> stream_;
  std::shared_ptr<void> held_;
  std::shared_ptr<RunningReply> reply_;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool ended_ = false;
};

/// What is kept, from one event on, to one client.
class KeptStream final : public ReplyStream {
 public:
  KeptStream(std::shared_ptr<RunningReply> reply, int64_t next, std::shared_ptr<Waker> waker);
  ~KeptStream() override;
  KeptStream(const KeptStream&) = delete;
  KeptStream& operator=(const KeptStream&) = delete;

  const char* content_type() const override { return content_type_.c_str(); }

  std::string_view keep_alive() const override;

  void begin(std::string&) override {}

  void pull(size_t unsent, std::string& out) override;

  bool ended() const override { return ended_; }

  bool holding() const override { return !ended_ && next_ < reply_->next(); }

  /// What is unsent is kept elsewhere.
  bool overflowed(size_t) const override { return false; }

  void abort(Status status, std::string& out) override;

  /// Its reader leaves; the reply goes on.
  void cancel() override { ended_ = true; }

 private:
  const std::shared_ptr<RunningReply> reply_;
  const std::shared_ptr<Waker> waker_;
  const std::string content_type_;
  int64_t next_;
  bool ended_ = false;
};

}  // namespace tutti
