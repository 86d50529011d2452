#include "http/url.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace tutti::http {

namespace {

constexpr std::string_view kScheme = "http://";

}  // namespace

Result<Url> Url::parse(const std::string& text) {
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    return error(StatusCode::kUnsupported,
                 "{}: https is not supported; give the http address of the server itself",
                 text);
  }
  if (rest.starts_with(kScheme)) {
    rest.remove_prefix(kScheme.size());
  } else if (rest.find("://") != std::string_view::npos) {
    return invalid("{}: wanted http://HOST:PORT", text);
  }
  const size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  std::string_view path = slash == std::string_view::npos ? "" : rest.substr(slash);
  while (path.ends_with('/')) {
    path.remove_suffix(1);
  }
  Url out;
  std::string_view host = authority;
  const size_t colon = authority.rfind(':');
  const bool v6_end = authority.ends_with(']');
  if (colon != std::string_view::npos && !v6_end) {
    const std::string_view digits = authority.substr(colon + 1);
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    if (ec != std::errc() || end != digits.data() + digits.size() || out.port == 0) {
      return invalid("{}: \"{}\" is no port; wanted a number from 1 to 65535", text, digits);
    }
    host = authority.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  const bool plain =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
  if (host.empty() || !plain || authority.find('@') != std::string_view::npos) {
    return invalid("{}: wanted http://HOST:PORT", text);
  }
  out.host = host;
  out.authority = authority;
  out.path = path;
  return out;
}

}  // namespace tutti::http
