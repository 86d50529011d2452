// Which web pages may use this server (the CORS protocol of the Fetch standard). Off by default:
// then no reply says a word about it, and browsers keep other sites' pages out.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serve/http_message.h"

namespace tutti {

class Cors {
 public:
  /// Off.
  Cors() = default;

  /// `list`: origins as browsers send them ("https://chat.example:8443"), separated by commas;
  /// "null" for pages from files; "*" for every page. Empty: off. The error names the wrong one.
  static Result<Cors> parse(std::string_view list);

  bool enabled() const { return any_ || !origins_.empty(); }

  /// Lines for the head of every reply to this request; empty while off.
  std::string reply_headers(const HttpHead& head) const;

  /// Whether the page that sent this request may use the server.
  bool permits(const HttpHead& head) const;

  /// The answer to a preflight; nullopt if the request is none, or while off. It carries no key:
  /// browsers send none with it.
  std::optional<HttpResponse> preflight(const HttpHead& head) const;

 private:
  bool allows(std::string_view origin) const;

  bool any_ = false;
  std::vector<std::string> origins_;
};

}  // namespace tutti
