#include "apps/managed_server.h"

#include <algorithm>
#include <cstdio>
#include <variant>

#include "apps/common.h"

namespace tutti {

namespace {

constexpr const char* kDefaultEndpoint = "http://127.0.0.1:9997";

}  // namespace

Result<ManagedServer> ManagedServer::find(const ManageOptions& options) {
  const Environment environment = read_environment();
  const std::string url = !options.endpoint.empty()       ? options.endpoint
                          : !environment.endpoint.empty() ? environment.endpoint
                                                          : kDefaultEndpoint;
  Result<http::Url> parsed = http::Url::parse(url);
  if (!parsed.ok()) {
    return error(parsed.status().code(),
                 "--endpoint {}, for example: tutti list --endpoint http://127.0.0.1:9997",
                 parsed.status().message());
  }
  TUTTI_TRY(http::Endpoint endpoint, http::find_endpoint(*parsed));
  return ManagedServer(std::move(parsed).value(),
                       std::move(endpoint),
                       options.api_key.empty() ? environment.api_key : options.api_key);
}

Result<Json> ManagedServer::ask(const std::string& method,
                                const std::string& path,
                                const Json* body) const {
  const std::string text = body == nullptr ? "" : to_string(*body);
  std::string request = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
                                    method,
                                    url_.path,
                                    path,
                                    url_.authority);
  if (!key_.empty()) {
    request += fmt::format("Authorization: Bearer {}\r\n", key_);
  }
  if (body != nullptr) {
    request += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", text.size());
  }
  request += "\r\n" + text;
  auto answer = http::fetch(endpoint_, std::move(request));
  if (const auto* failure = std::get_if<http::Failure>(&answer)) {
    return error(
        StatusCode::kUnavailable,
        "no answer from {} ({}); is a server running there? Start one with tutti serve "
        "--empty, or name another with --endpoint",
        url_.authority,
        failure->kind == http::Failure::Kind::kTimeout ? "it takes too long" : failure->message);
  }
  const auto& fetched = std::get<http::Fetched>(answer);
  Result<Json> json = parse_json(fetched.body);
  if (fetched.status == 200 && json.ok()) {
    return json;
  }
  return refusal(fetched.status, json);
}

Status ManagedServer::refusal(int status, const Result<Json>& json) const {
  const Json* inner = json.ok() ? json->find("error") : nullptr;
  const Json* message = inner == nullptr ? nullptr : inner->find("message");
  const StatusCode code = status == 404   ? StatusCode::kNotFound
                          : status == 401 ? StatusCode::kUnauthenticated
                          : status == 403 ? StatusCode::kForbidden
                          : status >= 500 ? StatusCode::kUnavailable
                                          : StatusCode::kInvalidArgument;
  return error(code,
               "{} says: {}",
               url_.authority,
               message != nullptr && message->is_string() ? message->as_string()
                                                          : fmt::format("HTTP {}", status));
}

std::string path_part(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("-_.~").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c)
                 : fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

std::string text_of(const Json& object, const char* field) {
  const Json* value = object.find(field);
  return value == nullptr || value->is_null() ? "-"
         : value->is_string()                 ? value->as_string()
                                              : to_string(*value);
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("{:<{}}", row[i], i + 1 == row.size() ? 0 : widths[i] + 2);
    }
    std::printf("%s\n", line.c_str());
  }
}

}  // namespace tutti
