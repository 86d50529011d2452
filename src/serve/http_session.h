// One client connection: reads requests one after another, answers them in order, notices at once
// when the client leaves. All of it runs on the connection's thread.
//
// A client that closes its sending side while a reply is being generated counts as gone: its
// generation is cancelled. (Half-closing and reading on is legal TCP, but no HTTP client that
// matters does it, and a disconnect looks the same.)
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "serve/engine_pool.h"
#include "serve/http_api.h"
#include "serve/io.h"
#include "serve/reply_keeper.h"
#include "serve/request_log.h"
#include "serve/worker_pool.h"

namespace tutti {

class HttpSession final : public ConnEvents,
                          public Ticker,
                          public WakeTarget,
                          public std::enable_shared_from_this<HttpSession> {
 public:
  /// What all sessions of a server share; outlives them.
  struct Shared {
    HttpApi& api;
    WorkerPool& workers;
    std::atomic<int64_t> requests{0};  ///< generation requests under way
    RequestLog log;
    ReplyKeepers keepers;
  };

  /// A connection above the limit is a `kProbe`: it may ask one question of the routes for probes.
  enum class Kind { kFull, kProbe };

  /// `engines`: of a gateway, the thread's connections to those behind it.
  HttpSession(Shared& shared,
              IoThread& thread,
              std::unique_ptr<Conn> conn,
              Kind kind,
              std::shared_ptr<EnginePool> engines = nullptr);

  /// Serves the connection until it ends; `on_end` runs last.
  static Task<void> run(std::shared_ptr<HttpSession> self,
                        std::function<void(HttpSession&)> on_end);

  /// Makes room for a newer probe: ends unless its request has come.
  void evict();

  /// Ends the reply under way with this error, then the connection.
  void abort(const Status& status);

  const std::string& peer_address() const { return conn_->peer_address(); }

  Kind kind() const { return kind_; }

  void on_readable() override;
  void on_writable() override;
  void on_tick(Clock::time_point now) override;
  void on_wake() override;

 private:
  struct Preparation;
  class CountedRequest;
  class CountedTokens;
  enum class Outcome { kNext, kClose, kLinger };

  bool dead() const { return peer_gone_ || write_failed_; }

  bool last_request() const;
  Status ending() const;
  bool ahead_full();
  void begin_answering();
  void read_available();
  void arm_read();
  void send_some();
  void set_deadline(std::chrono::milliseconds from_now);
  void set_body_deadline(Clock::time_point begun, size_t received);
  WriteOptions write_options() const;
  void account(int status, const HttpResponse& error = {});

  Task<Outcome> serve_one();
  Task<Outcome> serve_request(const RouteMatch& match);
  Task<Outcome> serve_get(const RouteMatch& match);
  Task<Outcome> read_head();
  Task<Outcome> read_body(int64_t limit);
  Task<Outcome> prepare(const RouteMatch& match, Reply& reply);
  Task<Outcome> send_collected(GenerationReply& reply);
  Task<Outcome> send_stream(ReplyStream& reply);
  Task<Outcome> relay(const RouteMatch& match);
  Task<Outcome> generate(const RouteMatch& match);
  Task<Outcome> send_kept(const RouteMatch& match);
  Task<Outcome> keep_and_send(std::unique_ptr<ReplyStream> stream,
                              std::shared_ptr<void> held,
                              Clock::time_point deadline);
  void begin_reply(const RouteMatch& match);
  void end_reply();
  std::optional<ApiError> read_keep();
  std::shared_ptr<Waker> model_waker();
  Task<Outcome> manage();
  using PlaceFound = Result<std::shared_ptr<EnginePlace>>;
  Task<Outcome> find_place(PlaceFound& found);
  Task<Outcome> respond(HttpResponse response);
  Task<Outcome> refuse(ApiError error);
  /// As the dialect of the route writes it.
  HttpResponse error_reply(const ApiError& error) const;
  std::string owner_of(const RouteMatch& match) const;
  Outcome disconnected();
  Task<bool> flush();
  Task<void> linger();
  void pump();
  void add_chunk(std::string_view text);
  void send_now(std::string_view bytes);
  void check_stream_progress(Clock::time_point now);

  Shared& shared_;
  const HttpLimits& limits_;
  std::unique_ptr<Conn> conn_;
  const Kind kind_;
  bool evicted_ = false;
  Event changed_;
  std::shared_ptr<Waker> waker_;
  IoThread& thread_;
  const std::shared_ptr<EnginePool> engines_;

  // Input.
  std::string in_;
  size_t ahead_scanned_ = 0;  // of in_, for blank lines
  int32_t ahead_ = 0;         // requests in in_, judged by blank lines
  bool answering_ = false;    // what is read now belongs to later requests
  bool read_armed_ = false;
  bool peer_gone_ = false;
  bool first_request_ = true;

  // Output.
  std::string out_;
  size_t sent_ = 0;  // of out_
  bool write_armed_ = false;
  bool write_failed_ = false;
  Clock::time_point last_progress_;

  // Time.
  Clock::time_point deadline_ = Clock::time_point::max();
  bool expired_ = false;
  Clock::time_point request_deadline_ = Clock::time_point::max();

  // The request under way.
  HttpHead head_;
  std::string body_;
  std::string request_id_;
  std::string peer_;                              // whom the request came from, for the log
  std::string reply_headers_;                     // lines that every reply to it has
  std::string warnings_;                          // what its client is warned of, for the log
  const Route* route_ = nullptr;                  // once it is known
  std::shared_ptr<void> counted_;                 // as long as it is under way
  std::shared_ptr<RunningReply> running_;         // the same
  std::shared_ptr<ReplyKeeper> keeper_;           // of a stream that is to be kept
  std::chrono::milliseconds keep_{0};             // for so long
  std::shared_ptr<const GenerationWatch> watch_;  // of the reply under way
  Clock::time_point request_begun_;
  bool close_after_ = false;
  bool told_by_engine_ = false;  // which has logged the request
  ReplyStream* stream_ = nullptr;
  bool stream_chunked_ = true;
  bool stream_ended_ = false;
  Clock::time_point last_event_;
  Status abort_status_;
};

}  // namespace tutti
