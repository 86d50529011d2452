#include "serve/http_head.h"

#include <algorithm>
#include <charconv>

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/ascii.h"
#include "base/utf8.h"

namespace tutti {

namespace {

namespace http = boost::beast::http;

int hex_value(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const auto l = static_cast<char>(c | 0x20);  // of letters the lower case
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

bool valid_target(std::string_view target) {
  if (target.empty() || target.front() != '/') {
    return false;
  }
  const bool clean = std::all_of(target.begin(), target.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '\\' && c != '#' && c != '"' && c != '<' && c != '>';
  });
  return clean && percent_decode(target).has_value();
}

bool valid_host(std::string_view host) {
  return host.size() <= 255 && std::all_of(host.begin(), host.end(), [](char c) {
           return is_token_char(c) || c == ':' || c == '[' || c == ']';
         });
}

/// The host and port that an absolute-form target (RFC 9112, 3.2.2) names; `target` becomes its
/// origin form. nullopt: the target has another form.
std::optional<std::string> take_authority(std::string_view& target) {
  const size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string name = to_lower(target.substr(0, scheme));
  if (name != "http" && name != "https") {
    return std::nullopt;
  }
  std::string_view rest = target.substr(scheme + 3);
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  std::string authority = to_lower(rest.substr(0, end));
  rest.remove_prefix(end);
  target = rest.empty() || rest.front() == '?' ? "/" : rest;  // "/" reads no query
  return authority;
}

// HTTP/1.0 knows no Host, and an empty one says that the client has no name for the server (RFC
// 9112, 3.2): probes of load balancers come so, browsers never do.
std::optional<ApiError> read_host(HttpHead& head, const std::optional<std::string>& authority) {
  const int hosts = head.count("host");
  const std::string* host = head.find("host");
  if (hosts > 1 || (hosts == 0 && head.version == 11)) {
    return http_error(400, fmt::format("got {} Host headers, wanted exactly one", hosts));
  }
  if (host != nullptr && !valid_host(*host)) {
    return http_error(400, "Host is not a name or address with an optional port");
  }
  // Two names for one server are two readings, although the RFC would have Host ignored.
  if (authority && (authority->empty() || !valid_host(*authority) ||
                    (host != nullptr && *authority != to_lower(*host)))) {
    return http_error(400, "the request target and Host must name the same server");
  }
  head.host = authority ? *authority : host != nullptr ? *host : std::string();
  return std::nullopt;
}

/// Whether `option` is in a Connection header: a list, in any case, perhaps over several lines.
bool has_connection_option(const HttpHead& head, std::string_view option) {
  for (const HttpHeader& header : head.headers) {
    const std::string list = header.name == "connection" ? to_lower(header.value) : "";
    for (size_t begin = 0; begin < list.size();) {
      const size_t end = std::min(list.find(',', begin), list.size());
      const std::string_view item = std::string_view(list).substr(begin, end - begin);
      const size_t first = item.find_first_not_of(" \t");
      if (first != std::string_view::npos &&
          item.substr(first, item.find_last_not_of(" \t") - first + 1) == option) {
        return true;
      }
      begin = end + 1;
    }
  }
  return false;
}

std::optional<ApiError> read_framing(HttpHead& head) {
  // Programs behind CGI-like interfaces read "_" as "-" in names.
  if (head.count("content_length") + head.count("transfer_encoding") > 0) {
    return http_error(400, "headers of framing are spelled with a hyphen");
  }
  const int lengths = head.count("content-length");
  const int encodings = head.count("transfer-encoding");
  if (lengths + encodings > 1) {
    return http_error(400,
                      "more than one of Content-Length and Transfer-Encoding; "
                      "send exactly one of them, once");
  }
  if (lengths == 1) {
    const std::string& text = *head.find("content-length");
    int64_t value = 0;
    const bool digits = !text.empty() && text.size() <= 18 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits ||
        std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      return http_error(400, "Content-Length is not a decimal number of at most 18 digits");
    }
    head.content_length = value;
  }
  if (encodings == 1) {
    if (head.version != 11 || to_lower(*head.find("transfer-encoding")) != "chunked") {
      return http_error(400, "Transfer-Encoding must be exactly \"chunked\", with HTTP/1.1");
    }
    head.chunked = true;
  }
  return std::nullopt;
}

std::optional<ApiError> read_connection(HttpHead& head) {
  head.keep_alive = !has_connection_option(head, "close") &&
                    (head.version == 11 || has_connection_option(head, "keep-alive"));
  if (const std::string* expect = head.find("expect")) {
    if (to_lower(*expect) != "100-continue") {
      return http_error(417, "Expect: only 100-continue is understood");
    }
    head.expect_continue = head.version == 11;
  }
  return std::nullopt;
}

}  // namespace

void HeadScanner::reset() {
  *this = HeadScanner(limits_);
}

HeadScanner::State HeadScanner::fail(int http_status, std::string message) {
  error_ = http_error(http_status, std::move(message));
  return State::kError;
}

bool HeadScanner::check_byte(std::string_view buffer) {
  const char c = buffer[scanned_];
  const char previous = scanned_ == 0 ? '\0' : buffer[scanned_ - 1];
  if (scanned_ == 0 && !is_token_char(c)) {
    constexpr char kTlsHandshake = 0x16;
    (void)fail(400,
               c == kTlsHandshake ? "this is TLS, which this server does not speak; its address "
                                    "begins with http://, not https://"
                                  : "this is not an HTTP/1.1 request");
    return false;
  }
  if ((previous == '\r') != (c == '\n')) {
    (void)fail(400, "CR and LF in a request head must come as CRLF pairs");
    return false;
  }
  const auto byte = static_cast<unsigned char>(c);
  if ((byte < 0x20 && c != '\t' && c != '\r' && c != '\n') || byte == 0x7f) {
    (void)fail(400, "control character in the request head");
    return false;
  }
  if (scanned_ == line_start_ && lines_ > 0 && (c == ' ' || c == '\t')) {
    (void)fail(400, "a header may not be continued on the next line");
    return false;
  }
  return true;
}

bool HeadScanner::end_line(std::string_view buffer) {
  const std::string_view line = buffer.substr(line_start_, scanned_ - 1 - line_start_);
  if (lines_ == 0 && !line.ends_with(" HTTP/1.1") && !line.ends_with(" HTTP/1.0")) {
    (void)fail(400,
               line.ends_with(" HTTP/2.0") ? "HTTP/2 is not spoken here; send HTTP/1.1"
                                           : "the request line must end with HTTP/1.1 or HTTP/1.0");
    return false;
  }
  ++lines_;
  line_start_ = scanned_ + 1;
  if (!line.empty() && lines_ > limits_.header_count + 1) {
    (void)fail(431, fmt::format("more than {} request headers", limits_.header_count));
    return false;
  }
  return true;
}

HeadScanner::State HeadScanner::scan(std::string_view buffer) {
  while (scanned_ < buffer.size()) {
    if (!check_byte(buffer)) {
      return State::kError;
    }
    if (buffer[scanned_] == '\n') {
      const bool blank = scanned_ == line_start_ + 1;
      if (!end_line(buffer)) {
        return State::kError;
      }
      if (blank) {
        ++scanned_;
        return State::kComplete;
      }
    }
    ++scanned_;
    const auto size = static_cast<int64_t>(scanned_);
    if (lines_ == 0 && size > limits_.request_line_bytes + 1) {  // + 1: its CR
      return fail(414, fmt::format("request line over {} bytes", limits_.request_line_bytes));
    }
    if (size >= limits_.header_bytes) {
      return fail(431, fmt::format("request head over {} bytes", limits_.header_bytes));
    }
  }
  return State::kNeedMore;
}

std::variant<HttpHead, ApiError> parse_head(std::string_view text) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(text.size() + 1));
  parser.body_limit(boost::none);
  boost::beast::error_code ec;
  parser.put(boost::asio::const_buffer(text.data(), text.size()), ec);
  if (ec || !parser.is_header_done()) {
    return http_error(400, "malformed request head");
  }
  const auto& message = parser.get();
  HttpHead head;
  head.method = std::string(message.method_string());
  head.version = static_cast<int>(message.version());
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    head.headers.push_back({to_lower({name.data(), name.size()}), {value.data(), value.size()}});
  }
  std::string_view target(message.target().data(), message.target().size());
  const std::optional<std::string> authority = take_authority(target);
  if (head.method == "OPTIONS" && target == "*") {
    target = "/";  // RFC 9112, 3.2.4: about the server as a whole
  }
  if (!valid_target(target)) {
    return http_error(400,
                      "the request target must be a path that starts with /, or http://HOST before "
                      "one, and hold only valid percent-escapes");
  }
  const size_t question = target.find('?');
  head.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) {
    head.query = std::string(target.substr(question + 1));
  }
  if (auto error = read_host(head, authority)) {
    return *std::move(error);
  }
  if (auto error = read_framing(head)) {
    return *std::move(error);
  }
  if (auto error = read_connection(head)) {
    return *std::move(error);
  }
  return head;
}

bool is_token_char(char c) {
  constexpr std::string_view kSymbols = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kSymbols.find(c) != std::string_view::npos;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) {
      return std::nullopt;
    }
    const int byte = hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]);
    if (byte == 0) {
      return std::nullopt;
    }
    out += static_cast<char>(byte);
    i += 2;
  }
  if (!is_valid_utf8(out)) {
    return std::nullopt;
  }
  return out;
}

bool is_local_name(std::string_view host) {
  host = host.substr(0, host.find(':'));
  return host.empty() || host.find('_') != std::string_view::npos ||
         (host.find('.') == std::string_view::npos && host.find('[') == std::string_view::npos);
}

bool is_loopback_host(std::string_view host) {
  const size_t colon = host.rfind(':');
  const bool port =
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  if (port) {
    const std::string_view digits = host.substr(colon + 1);
    if (digits.empty() || digits.size() > 5 ||
        digits.find_first_not_of("0123456789") != std::string_view::npos) {
      return false;
    }
    host = host.substr(0, colon);
  }
  if (to_lower(host) == "localhost" || host == "[::1]") {
    return true;
  }
  int dots = 0;
  for (size_t i = 0, digits = 0; i < host.size(); ++i) {
    const bool dot = host[i] == '.';
    if (dot ? digits == 0 : (host[i] < '0' || host[i] > '9' || ++digits > 3)) {
      return false;
    }
    dots += dot ? 1 : 0;
    digits = dot ? 0 : digits;
  }
  return host.starts_with("127.") && dots == 3 && host.back() != '.';
}

}  // namespace tutti
