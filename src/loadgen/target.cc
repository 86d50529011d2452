#include "loadgen/target.h"

#include <chrono>
#include <variant>

#include <boost/asio/error.hpp>

#include "base/json.h"
#include "http/client.h"

namespace tutti::loadgen {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr size_t kMaxBody = 4 << 20;
constexpr std::chrono::seconds kTimeout{30};

Status not_fetched(const Target& target, std::string_view path, const http::Failure& failure) {
  const std::string where = target.url() + std::string(path);
  switch (failure.kind) {
    case http::Failure::Kind::kConnect:
      return connect_error(target, failure.cause).with_context(where);
    case http::Failure::Kind::kClosed:
      return error(StatusCode::kUnavailable,
                   "{}: {} closed the connection without an answer ({})",
                   where,
                   target.server.authority,
                   failure.cause.message());
    case http::Failure::Kind::kMalformed:
      return error(StatusCode::kCorrupt, "{}: {}", where, failure.message);
    case http::Failure::Kind::kTimeout:
      break;
  }
  return error(StatusCode::kUnavailable,
               "{} did not answer GET {} within {} s; does the server still load its model?",
               target.server.authority,
               path,
               kTimeout.count());
}

Result<http::Fetched> get(const Target& target, std::string_view path) {
  TUTTI_TRY(const http::Endpoint endpoint, find_endpoint(target));
  std::variant<http::Fetched, http::Failure> got = http::fetch(
      endpoint, request_head(target, path, 0), {.timeout = kTimeout, .max_body_bytes = kMaxBody});
  if (const auto* failure = std::get_if<http::Failure>(&got)) {
    return not_fetched(target, path, *failure);
  }
  return std::get<http::Fetched>(std::move(got));
}

}  // namespace

Status connect_error(const Target& target, const error_code& ec) {
  if (ec == asio::error::connection_refused) {
    return error(StatusCode::kUnavailable,
                 "nothing listens on {} (connection refused); start the server first, for example "
                 "tutti serve, or give its address with ‹url›",
                 target.server.authority);
  }
  return error(StatusCode::kUnavailable,
               "cannot connect to {} ({}); check ‹url› and that the server runs",
               target.server.authority,
               ec.message());
}

Result<Target> Target::parse(const std::string& url) {
  Result<http::Url> server = http::Url::parse(url);
  if (!server.ok()) {
    return error(server.status().code(), "‹url› {}", server.status().message());
  }
  Target out;
  out.server = std::move(server).value();
  out.base_path = out.server.path.empty() ? "/v1" : out.server.path;
  return out;
}

Result<http::Endpoint> find_endpoint(const Target& target) {
  Result<http::Endpoint> found = http::find_endpoint(target.server);
  if (!found.ok()) {
    return error(found.status().code(), "{}; check ‹url›", found.status().message());
  }
  return found;
}

std::string request_head(const Target& target, std::string_view path, size_t body_bytes) {
  std::string out = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tutti-bench\r\n",
                                body_bytes == 0 ? "GET" : "POST",
                                target.base_path,
                                path,
                                target.server.authority);
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

Result<std::vector<std::string>> list_models(const Target& target) {
  TUTTI_TRY(const http::Fetched reply, get(target, "/models"));
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
