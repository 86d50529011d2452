// A request that an engine behind this gateway answers: its response on the way to the client. What
// the model says is not read again: events of a stream go on as they came.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serve/engine_pool.h"
#include "serve/http_message.h"
#include "serve/remote_models.h"
#include "serve/reply_format.h"
#include "serve/reply_stream.h"

namespace tutti {

class Dialect;

/// On the connection's thread. Dropping it drops the connection to the engine, which then cancels
/// what it generates.
class RelayedReply final : public ReplyStream, private http::ClientConnection::Handler {
 public:
  /// `format` writes the error that ends a stream early; `on_change` is called when something came.
  RelayedReply(std::shared_ptr<EnginePool> pool,
               std::shared_ptr<EnginePlace> place,
               std::unique_ptr<ReplyFormat> format,
               std::function<void()> on_change);
  ~RelayedReply() override = default;

  /// A whole request, head and body.
  void send(std::string request);

  /// The head of a stream has come, or the whole of another response, or no more will.
  bool decided() const { return streaming_ || done_; }

  bool streaming() const { return streaming_; }

  /// The engine ended before its response was whole.
  bool lost() const { return lost_; }

  /// Once decided(), of what is no stream: what the engine said, or that it was lost.
  HttpResponse response(const Dialect* dialect, std::string_view request_id) const;

  /// Once decided(): header lines of the engine's response that its client should see.
  const std::string& headers() const { return headers_; }

  const EnginePlace& place() const { return *place_; }

  /// About how many tokens the model has made: events of a stream, or what the engine says of a
  /// whole reply and its prompt.
  int64_t tokens() const;

  const char* content_type() const override { return format_->content_type(); }

  /// The engine sends its own.
  std::string_view keep_alive() const override { return {}; }

  void begin(std::string&) override {}

  void pull(size_t unsent, std::string& out) override;

  bool ended() const override { return ended_; }

  bool holding() const override { return holding_; }

  /// What is unsent stays with the engine, which has its own bound.
  bool overflowed(size_t) const override { return false; }

  void abort(Status status, std::string& out) override;
  void cancel() override;

 private:
  void on_body(std::string_view bytes, http::Clock::time_point arrival) override;
  void on_drained(http::Clock::time_point arrival) override;
  void on_complete(http::Clock::time_point arrival) override;
  void on_failure(http::Failure failure) override;
  void take_head();

  std::shared_ptr<EnginePool> pool_;
  std::shared_ptr<EnginePlace> place_;
  std::unique_ptr<ReplyFormat> format_;
  std::function<void()> on_change_;
  std::unique_ptr<EnginePool::Line> line_;
  int64_t told_tokens_ = 0;  // of a whole reply
  int status_ = 0;           // of the response, once its head has come
  std::string content_type_;
  std::string headers_;
  std::string body_;  // of a stream: what pull() has not taken
  bool streaming_ = false;
  int64_t events_ = 0;    // of a stream, that were passed on
  bool holding_ = false;  // the client has not taken what pull() gave before
  bool done_ = false;     // the response is whole, or lost
  bool lost_ = false;
  bool ended_ = false;
};

}  // namespace tutti
