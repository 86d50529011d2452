// The client's half of HTTP/1.1: one response from pieces that may be split anywhere (RFC 9112),
// parsed by Boost.Beast (docs/adr/0037-one-http-client.md).
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace tutti::http {

class ResponseParser {
 public:
  /// Called with body bytes as they come, without chunk framing; valid during the call.
  using OnBody = std::function<void(std::string_view bytes)>;

  ResponseParser();
  ~ResponseParser();
  ResponseParser(ResponseParser&&) noexcept;
  ResponseParser& operator=(ResponseParser&&) noexcept;

  /// Takes bytes up to the end of the response; `used` says how many. Interim (1xx) responses are
  /// skipped. kCorrupt: they are no HTTP/1.x response, the head is over 64 KiB, or a line of chunk
  /// framing over 4 KiB.
  Status feed(std::string_view bytes, const OnBody& on_body, size_t& used);

  /// The connection ended. True if that completes the response (a body without a length).
  bool end_of_input();

  bool complete() const;

  /// Any byte of a response has come.
  bool begun() const;

  bool has_head() const;

  // After has_head().
  int status() const;

  /// Whether the connection can carry another request once this response is complete.
  bool keep_alive() const;

  /// The first value of a field, `name` in any case; empty if there is none. Valid until reset().
  std::string_view field(std::string_view name) const;

  /// All of them, as they came.
  std::span<const std::pair<std::string, std::string>> fields() const;

  /// Content-Type is text/event-stream.
  bool event_stream() const;

  /// Ready for the next response.
  void reset();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti::http
