// One connection of the load generator: what its requests say and when. Belongs to one thread.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/client_connection.h"
#include "http/sse_parser.h"
#include "loadgen/chunk_fields.h"
#include "loadgen/load_run.h"

namespace tutti::loadgen {

/// How one request went.
struct Outcome {
  int64_t index = 0;
  std::string failure;  ///< kind, for counting; empty = it went well
  std::string detail;   ///< what the server or the network said
  Clock::time_point started;
  Clock::time_point first_text;  ///< of a stream; set if chunks > 0
  Clock::time_point last_text;
  Clock::time_point ended;
  int64_t chunks = 0;  ///< of a stream: events that held text
  int64_t prompt_length = 0;
  std::optional<int64_t> prompt_tokens;  ///< these three from the reply's usage
  std::optional<int64_t> cached_tokens;
  std::optional<int64_t> completion_tokens;
};

class Connection;

/// What the connections of a thread share; outlives them.
struct ThreadState {
  const Target& target;
  const http::Endpoint& endpoint;
  bool stream = true;
  ChunkObserver* observer = nullptr;
  std::vector<float> gaps_ms;  ///< between chunks of one stream
  std::vector<int64_t> chunks_by_second;
  Clock::time_point begin;  ///< of the run
  std::atomic<int64_t>* chunks = nullptr;
  ChunkReader reader;
  std::array<char, 64 << 10> buffer;
};

class Connection final : private http::ClientConnection::Handler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The connection is idle again; may start the next request from here.
    virtual void on_end(Connection& connection, const Outcome& outcome) = 0;
  };

  Connection(boost::asio::io_context& io, ThreadState& state, Owner& owner);

  /// Sends `request`; the connection must be idle. Any end is reported through on_end().
  void start(int64_t index, MadeRequest request);

  bool busy() const { return connection_.busy(); }

  Clock::time_point started() const { return outcome_.started; }

  /// Ends the request under way with this failure.
  void abort(const char* failure);

 private:
  void on_body(std::string_view bytes, Clock::time_point arrival) override;
  void on_complete(Clock::time_point arrival) override;
  void on_failure(http::Failure failure) override;
  void on_event(std::string_view data);
  void add_text(std::string_view text);
  void add_usage(const ChunkFields& fields);
  void judge_whole_reply();
  void fail(std::string failure, std::string detail);

  ThreadState& state_;
  Owner& owner_;
  http::ClientConnection connection_;
  http::SseParser sse_;
  http::SseParser::OnEvent on_event_;
  std::string body_;  // of a reply that is no stream
  bool done_seen_ = false;
  std::string event_failure_;
  std::string event_detail_;
  Clock::time_point now_;  // when the bytes in hand arrived
  Outcome outcome_;
};

}  // namespace tutti::loadgen
