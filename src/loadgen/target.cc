#include "loadgen/target.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "base/json.h"
#include "loadgen/connect_error.h"
#include "loadgen/http_reply.h"

namespace tutti::loadgen {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::string_view kScheme = "http://";
constexpr size_t kMaxBody = 4 << 20;
constexpr std::chrono::seconds kTimeout{30};

}  // namespace

Status connect_error(const Target& target, const error_code& ec) {
  if (ec == asio::error::connection_refused) {
    return error(StatusCode::kUnavailable,
                 "nothing listens on {} (connection refused); start the server first, for example "
                 "tutti serve, or give its address with ‹url›",
                 target.host_header);
  }
  return error(StatusCode::kUnavailable,
               "cannot connect to {} ({}); check ‹url› and that the server runs",
               target.host_header,
               ec.message());
}

Result<Target> Target::parse(const std::string& url) {
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    return error(StatusCode::kUnsupported,
                 "‹url› {}: https is not supported; give the http address of the server itself",
                 url);
  }
  if (rest.starts_with(kScheme)) {
    rest.remove_prefix(kScheme.size());
  } else if (rest.find("://") != std::string_view::npos) {
    return invalid("‹url› {}: wanted http://HOST:PORT", url);
  }
  const size_t slash = rest.find('/');
  const std::string_view authority = rest.substr(0, slash);
  std::string_view path = slash == std::string_view::npos ? "" : rest.substr(slash);
  while (path.ends_with('/')) {
    path.remove_suffix(1);
  }
  Target out;
  out.port = 80;
  std::string_view host = authority;
  const size_t colon = authority.rfind(':');
  const bool v6_end = authority.ends_with(']');
  if (colon != std::string_view::npos && !v6_end) {
    const std::string_view digits = authority.substr(colon + 1);
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    if (ec != std::errc() || end != digits.data() + digits.size() || out.port == 0) {
      return invalid("‹url› {}: \"{}\" is no port; wanted a number from 1 to 65535", url, digits);
    }
    host = authority.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127; });
  if (host.empty() || !plain || authority.find('@') != std::string_view::npos) {
    return invalid("‹url› {}: wanted http://HOST:PORT", url);
  }
  out.host = host;
  out.host_header = authority;
  out.base_path = path.empty() ? "/v1" : path;
  return out;
}

std::string request_head(const Target& target, std::string_view path, size_t body_bytes) {
  std::string out = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tutti-bench\r\n",
                                body_bytes == 0 ? "GET" : "POST",
                                target.base_path,
                                path,
                                target.host_header);
  if (!target.api_key.empty()) {
    out += fmt::format("Authorization: Bearer {}\r\n", target.api_key);
  }
  if (body_bytes > 0) {
    out += fmt::format(
        "Accept: text/event-stream, application/json\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n",
        body_bytes);
  }
  return out + "\r\n";
}

Result<SimpleReply> get(const Target& target, std::string_view path) {
  asio::io_context context;
  tcp::resolver resolver(context);
  error_code ec;
  const auto found = resolver.resolve(target.host, std::to_string(target.port), ec);
  if (ec || found.empty()) {
    return error(StatusCode::kUnavailable,
                 "cannot find the host \"{}\" ({}); check ‹url›",
                 target.host,
                 ec.message());
  }
  // One deadline over all of it; run_for() ends the wait, whatever it waits for.
  tcp::socket socket(context);
  HttpReply reply;
  SimpleReply out;
  Status status;
  const std::string request = request_head(target, path, 0);
  std::array<char, 16 << 10> buffer{};
  const std::function<void(const error_code&, size_t)> on_read = [&](const error_code& e,
                                                                     size_t bytes) {
    if (e) {
      if (!reply.end_of_input()) {
        status = error(StatusCode::kUnavailable,
                       "{} closed the connection without an answer ({})",
                       target.host_header,
                       e.message());
      }
      return;
    }
    size_t used = 0;
    status = reply.feed(
        std::string_view(buffer.data(), bytes), [&](std::string_view b) { out.body += b; }, used);
    if (status.ok() && out.body.size() > kMaxBody) {
      status = error(StatusCode::kCorrupt, "{}: over {} bytes", path, kMaxBody);
    }
    if (status.ok() && !reply.complete()) {
      socket.async_read_some(asio::buffer(buffer), on_read);
    }
  };
  asio::async_connect(socket, found, [&](const error_code& e, const tcp::endpoint&) {
    if (e) {
      status = connect_error(target, e);
      return;
    }
    asio::async_write(socket, asio::buffer(request), [&](const error_code& failed, size_t) {
      if (failed) {
        status = connect_error(target, failed);
        return;
      }
      socket.async_read_some(asio::buffer(buffer), on_read);
    });
  });
  context.run_for(kTimeout);
  TUTTI_RETURN_IF_ERROR(std::move(status).with_context(target.url() + std::string(path)));
  if (!reply.complete()) {
    return error(StatusCode::kUnavailable,
                 "{} did not answer GET {} within {} s; does the server still load its model?",
                 target.host_header,
                 path,
                 kTimeout.count());
  }
  out.status = reply.status();
  return out;
}

Result<std::vector<std::string>> list_models(const Target& target) {
  TUTTI_TRY(const SimpleReply reply, get(target, "/models"));
  const std::string where = "GET " + target.url() + "/models";
  if (reply.status == 401 || reply.status == 403) {
    return error(StatusCode::kUnauthenticated,
                 "{}: {}; give the server's key with ‹api_key› or the variable TUTTI_API_KEY",
                 where,
                 reply.status);
  }
  if (reply.status != 200) {
    return error(StatusCode::kUnavailable,
                 "{} answers {}; give the model's name with ‹model›, or another ‹url›",
                 where,
                 reply.status);
  }
  TUTTI_TRY(const Json json, parse_json(reply.body, {.max_depth = 64, .max_bytes = kMaxBody}));
  const Json* data = json.find("data");
  std::vector<std::string> ids;
  if (data != nullptr && data->is_array()) {
    for (const Json& model : data->as_array()) {
      const Json* id = model.find("id");
      if (id != nullptr && id->is_string()) {
        ids.push_back(id->as_string());
      }
    }
  }
  return ids;
}

}  // namespace tutti::loadgen
