// The one log line of each request that asked for generation or was refused. Never holds text of a
// prompt, of a reply or of a key.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serve/generation_watch.h"

namespace tutti {

struct RequestLine {
  std::string_view request_id;
  std::string_view method;
  std::string_view path;  ///< as sent
  std::string_view peer;
  int status = 0;             ///< 499: the client left
  double seconds = 0.0;       ///< first byte of the request to last byte of the reply
  std::string_view error;     ///< ApiError::code, "" if none
  std::string_view field;     ///< of the request, that the error is about; "" if none
  std::string_view message;   ///< of the error; "" if it may quote the prompt
  std::string_view warnings;  ///< that the client got, separated by " | "
  std::string_view model;     ///< "" if none was reached
  std::optional<GenerationWatch::Facts> facts;
};

/// "POST /v1/chat/completions 200 req-1 tiny-r1: 12 prompt (8 cached) + 30 generated tokens, …"
/// "POST /v1/chat/completions 400 req-2 from 127.0.0.1: n: got 129, wanted … (invalid_argument), …"
std::string describe(const RequestLine& line);

class RequestLog {
 public:
  /// What a line is about: a probe that is told "not ready" is no refused request.
  enum class Kind { kRequest, kProbe };

  /// Requests that reached a model and refused ones are information, others are for debugging. Of
  /// refused ones at most kRefusalsPerSecond are written, so that a flood of bad requests is no
  /// flood of lines; how many were left out is written later.
  void write(const RequestLine& line, Kind kind);

  /// Writes how many refusals of past seconds were left out, if any were. Cheap if none were.
  void tell_left_out();
  /// The same, those of this second too: nothing is written after this.
  void end();

  static constexpr int64_t kRefusalsPerSecond = 20;

 private:
  bool refusal_may_pass();
  void tell(int64_t left_out);

  std::atomic<int64_t> second_{0};
  std::atomic<int64_t> in_second_{0};
  std::atomic<int64_t> hidden_{0};
};

}  // namespace tutti
