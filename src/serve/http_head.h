// Request heads from bytes, without I/O: finding the end of a head, then parsing and checking it.
// Strict on purpose: whatever two parsers could read differently (RFC 9112, section 11) is refused.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "serve/http_limits.h"
#include "serve/http_message.h"

namespace tutti {

/// Looks for the end of a request head in a growing buffer; each byte is looked at once.
class HeadScanner {
 public:
  enum class State { kNeedMore, kComplete, kError };

  explicit HeadScanner(const HttpLimits& limits) : limits_(limits) {}

  /// `buffer` starts with the bytes of earlier calls. On kComplete length() bytes are the head.
  State scan(std::string_view buffer);

  size_t length() const { return scanned_; }

  const ApiError& error() const { return error_; }

  void reset();

 private:
  State fail(int http_status, std::string message);
  bool check_byte(std::string_view buffer);
  bool end_line(std::string_view buffer);

  HttpLimits limits_;
  size_t scanned_ = 0;
  size_t line_start_ = 0;
  int64_t lines_ = 0;
  ApiError error_;
};

/// Parses a complete head (as the scanner delimits it) and checks framing, Host and target.
std::variant<HttpHead, ApiError> parse_head(std::string_view head);

/// A character of header names and methods (RFC 9110, 5.6.2).
bool is_token_char(char c);

/// Decodes %XX once. nullopt for a broken escape, NUL, or a result that is not UTF-8.
std::optional<std::string> percent_decode(std::string_view text);

/// True for names that load balancers give the machines behind them: one word, or with "_", which
/// no host name of the Internet has.
bool is_local_name(std::string_view host);

/// True for localhost, 127.x.x.x and [::1], with or without a port: the names under which a server
/// bound to loopback is reached. Others come from DNS rebinding.
bool is_loopback_host(std::string_view host);

}  // namespace tutti
