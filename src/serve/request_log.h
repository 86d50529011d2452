// The one log line of each request that asked for generation. Never holds text of a prompt or of a
// reply.
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
  int status = 0;          ///< 499: the client left
  double seconds = 0.0;    ///< first byte of the request to last byte of the reply
  std::string_view error;  ///< ApiError::code, "" if none
  std::string_view model;  ///< "" if none was reached
  std::optional<GenerationWatch::Facts> facts;
};

/// "POST /v1/chat/completions 200 req-1 tiny-r1: 12 prompt (8 cached) + 30 generated tokens, …"
std::string describe(const RequestLine& line);

class RequestLog {
 public:
  /// Requests that reached a model are information, others are for debugging, save refused ones of
  /// `generation` routes: those are information too, but at most kRefusalsPerSecond of them, so
  /// that a flood of bad requests is no flood of lines.
  void write(const RequestLine& line, bool generation);

  static constexpr int64_t kRefusalsPerSecond = 20;

 private:
  bool refusal_may_pass();

  std::atomic<int64_t> second_{0};
  std::atomic<int64_t> in_second_{0};
  std::atomic<int64_t> hidden_{0};
};

}  // namespace tutti
