// The client's half of HTTP/1.1: one response from pieces that may be split anywhere (RFC 9112).
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace tutti::loadgen {

class HttpReply {
 public:
  /// Called with body bytes as they come, without chunk framing; valid during the call.
  using OnBody = std::function<void(std::string_view bytes)>;

  /// Takes bytes up to the end of the response; `used` says how many. An error if they are no
  /// HTTP/1.x response. Interim (1xx) responses are skipped.
  Status feed(std::string_view bytes, const OnBody& on_body, size_t& used);

  /// The connection ended. True if that completes the response (a body without a length).
  bool end_of_input();

  bool complete() const { return state_ == State::kComplete; }

  /// Any byte of a response has come.
  bool begun() const { return begun_; }

  bool has_head() const { return state_ > State::kHead; }

  // After has_head().
  int status() const { return status_; }

  bool keep_alive() const { return keep_alive_ && framing_ != Framing::kUntilClose; }

  bool event_stream() const { return event_stream_; }

  /// Value of the Retry-After header, empty if there is none.
  const std::string& retry_after() const { return retry_after_; }

  void reset();

 private:
  enum class State { kHead, kBody, kChunkSize, kChunkData, kChunkEnd, kTrailer, kComplete };
  enum class Framing { kNone, kLength, kChunked, kUntilClose };

  Status take_head();
  Status take_header(std::string_view line);
  Status take_chunk_size(std::string_view line);
  bool take_line(std::string_view& bytes, std::string_view& line);

  State state_ = State::kHead;
  Framing framing_ = Framing::kUntilClose;
  bool begun_ = false;
  std::string head_;  // head, or a line of chunk framing, so far
  int64_t left_ = 0;  // of the body or the chunk
  int status_ = 0;
  bool keep_alive_ = true;
  bool event_stream_ = false;
  std::string retry_after_;
};

}  // namespace tutti::loadgen
