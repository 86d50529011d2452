#include "serve/allowed_hosts.h"

#include <algorithm>

#include "base/ascii.h"
#include "serve/http_head.h"

namespace tutti {

namespace {

// "name:80" and "[::1]:80" without the port.
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  const bool address = host.ends_with(']') || host.find(':') != colon;
  const bool bracketed = host.starts_with('[') && colon != std::string_view::npos && colon > 0 &&
                         host[colon - 1] == ']';
  return colon == std::string_view::npos || (address && !bracketed) ? host : host.substr(0, colon);
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_token_char(c) || c == ':' || c == '[' || c == ']';
  });
}

}  // namespace

Result<AllowedHosts> AllowedHosts::parse(std::string_view list) {
  AllowedHosts hosts;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view item = trim(list.substr(0, comma), " \t");
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (item == "*") {
      hosts.all_ = true;
    } else if (is_name(item) && without_port(item) == item) {
      hosts.names_.push_back(to_lower(item));
    } else if (!item.empty()) {
      return invalid(
          "‹allowed_hosts›: got \"{}\", wanted names or addresses without a port, such as "
          "chat.example, separated by commas, or *",
          item.substr(0, 200));
    }
  }
  return hosts;
}

bool AllowedHosts::allows(std::string_view host) const {
  const std::string name = to_lower(without_port(host));
  return all_ || std::find(names_.begin(), names_.end(), name) != names_.end();
}

}  // namespace tutti
