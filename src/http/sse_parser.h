// Server-sent events from pieces that may be split anywhere (WHATWG HTML, section 9.2.6).
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace tutti::http {

/// Only `data` matters here: other fields and comments are skipped.
class SseParser {
 public:
  /// Called with the data of each event, lines joined by \n; valid during the call.
  using OnEvent = std::function<void(std::string_view data)>;

  /// An event over `max_event_bytes` is an error.
  explicit SseParser(size_t max_event_bytes = size_t{1} << 24) : max_bytes_(max_event_bytes) {}

  /// False once an event was too large; nothing more is parsed then.
  bool feed(std::string_view bytes, const OnEvent& on_event);

  /// Bytes wait for the rest of their event.
  bool pending() const { return !line_.empty() || has_data_; }

  void reset();

 private:
  void take_line(std::string_view line, const OnEvent& on_event);

  size_t max_bytes_;
  std::string line_;  // begun and not ended
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a \n now belongs to the \r before it
  bool first_line_ = true;
  bool failed_ = false;
};

}  // namespace tutti::http
