#include "serve/cors.h"

#include <algorithm>

#include "base/ascii.h"
#include "serve/http_head.h"

namespace tutti {

namespace {

constexpr std::string_view kSpace = " \t";

// scheme://host[:port], as browsers write it: no path, not even a slash.
bool is_origin(std::string_view text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || scheme == 0) {
    return false;
  }
  const std::string_view host = text.substr(scheme + 3);
  const auto host_char = [](char c) {
    return is_token_char(c) || c == ':' || c == '[' || c == ']';
  };
  return std::all_of(text.begin(),
                     text.begin() + static_cast<std::ptrdiff_t>(scheme),
                     [](char c) { return is_token_char(c); }) &&
         !host.empty() && host.find('*') == std::string_view::npos &&
         std::all_of(host.begin(), host.end(), host_char);
}

// Echoed into a reply, so only what a list of header names can hold.
bool is_name_list(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_token_char(c) || c == ',' || kSpace.find(c) != std::string_view::npos;
  });
}

}  // namespace

Result<Cors> Cors::parse(std::string_view list) {
  Cors cors;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view item = trim(list.substr(0, comma), kSpace);
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (item.empty()) {
      continue;
    }
    if (item == "*") {
      cors.any_ = true;
    } else if (item == "null" || is_origin(item)) {
      cors.origins_.push_back(to_lower(item));
    } else {
      return invalid(
          "‹allowed_origins›: got \"{}\", wanted origins as browsers send them, such as "
          "https://chat.example:8443 (no path, no slash at the end), separated by commas, or *",
          item.substr(0, 200));
    }
  }
  return cors;
}

bool Cors::allows(std::string_view origin) const {
  return any_ || std::find(origins_.begin(), origins_.end(), to_lower(origin)) != origins_.end();
}

std::string Cors::reply_headers(const HttpHead& head) const {
  if (!enabled()) {
    return {};
  }
  // Caches must not give one page the headers of another.
  std::string out = any_ ? "" : "Vary: Origin\r\n";
  const std::string* origin = head.count("origin") == 1 ? head.find("origin") : nullptr;
  if (origin != nullptr && allows(*origin)) {
    out += "Access-Control-Allow-Origin: " + (any_ ? std::string("*") : *origin) + "\r\n";
    out +=
        "Access-Control-Expose-Headers: x-request-id, Retry-After, x-should-retry, "
        "X-Tutti-Warning, X-Tutti-Reply, request-id\r\n";
  }
  return out;
}

bool Cors::permits(const HttpHead& head) const {
  return enabled() && head.count("origin") == 1 && allows(*head.find("origin"));
}

std::optional<HttpResponse> Cors::preflight(const HttpHead& head) const {
  if (!enabled() || head.method != "OPTIONS" || head.count("origin") != 1 ||
      head.find("access-control-request-method") == nullptr) {
    return std::nullopt;
  }
  if (!allows(*head.find("origin"))) {
    return error_response(http_error(
        403, "pages of this origin may not use this server unless its operator allows them"));
  }
  HttpResponse response;
  response.status = 204;
  response.headers.push_back({"Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE"});
  // Named one by one, since * does not stand for Authorization.
  const std::string* names = head.find("access-control-request-headers");
  if (names != nullptr && is_name_list(*names)) {
    response.headers.push_back({"Access-Control-Allow-Headers", *names});
  }
  // Asked for by browsers that guard loopback and private networks.
  if (head.find("access-control-request-private-network") != nullptr) {
    response.headers.push_back({"Access-Control-Allow-Private-Network", "true"});
  }
  response.headers.push_back({"Access-Control-Max-Age", "600"});
  return response;
}

}  // namespace tutti
