#include "http/raw_client.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace tutti::testing {

using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 5000ms;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return text;
}

}  // namespace

RawClient::RawClient() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {}

RawClient::RawClient(uint16_t port, int receive_buffer) : RawClient() {
  if (receive_buffer > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  }
  if (!connect(port)) {
    close();
  }
}

RawClient::~RawClient() {
  close();
}

bool RawClient::connect(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

void RawClient::close() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

void RawClient::half_close() {
  ::shutdown(fd_, SHUT_WR);
}

void RawClient::reset() {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close();
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool RawClient::fill(std::chrono::milliseconds timeout) {
  if (eof_ || fd_ < 0) {
    return false;
  }
  pollfd poll{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&poll, 1, static_cast<int>(timeout.count())) <= 0) {
    return false;
  }
  std::array<char, 16384> bytes{};
  const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), 0);
  if (n <= 0) {
    eof_ = true;
    return false;
  }
  buffer_.append(bytes.data(), static_cast<size_t>(n));
  return true;
}

std::optional<std::string> RawClient::take(size_t n) {
  while (buffer_.size() < n) {
    if (!fill(kPatience)) {
      return std::nullopt;
    }
  }
  std::string out = buffer_.substr(0, n);
  buffer_.erase(0, n);
  return out;
}

std::optional<std::string> RawClient::take_line() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill(kPatience)) {
      return std::nullopt;
    }
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

RawResponse RawClient::read_response(bool head_only) {
  RawResponse response;
  const auto status_line = take_line();
  if (!status_line || !status_line->starts_with("HTTP/1.1 ") || status_line->size() < 12) {
    return response;
  }
  while (const auto line = take_line()) {
    if (line->empty()) {
      break;
    }
    const size_t colon = line->find(": ");
    if (colon == std::string::npos) {
      return response;
    }
    response.headers[lower(line->substr(0, colon))] = line->substr(colon + 2);
  }
  const int status = std::stoi(status_line->substr(9, 3));
  if (head_only || status == 100 || status == 204) {
    response.status = status;
  } else if (response.header("transfer-encoding") == "chunked") {
    while (const auto size = take_line()) {
      const size_t n = std::stoul(*size, nullptr, 16);
      const auto data = take(n);
      const auto end = take_line();
      if (!data || !end || !end->empty()) {
        return response;
      }
      if (n == 0) {
        response.status = status;
        return response;
      }
      response.chunks.push_back(*data);
      response.body += *data;
    }
  } else if (response.headers.contains("content-length")) {
    if (const auto body = take(std::stoul(response.header("content-length")))) {
      response.body = *body;
      response.status = status;
    }
  } else if (const auto rest = read_to_end()) {
    response.body = *rest;
    response.status = status;
  }
  return response;
}

std::string RawClient::read_until(std::string_view text) {
  while (buffer_.find(text) == std::string::npos && fill(kPatience)) {
  }
  return buffer_;
}

std::optional<std::string> RawClient::read_to_end() {
  while (fill(kPatience)) {
  }
  return eof_ ? std::optional(buffer_) : std::nullopt;
}

bool RawClient::closed_within(std::chrono::milliseconds timeout) {
  return buffer_.empty() && !fill(timeout) && eof_;
}

bool RawClient::ready() {
  pollfd poll{.fd = fd_, .events = POLLIN, .revents = 0};
  return !buffer_.empty() || ::poll(&poll, 1, 0) > 0;
}

bool RawClient::silent_for(std::chrono::milliseconds timeout) {
  return buffer_.empty() && !fill(timeout) && !eof_;
}

std::string make_request(const std::string& method,
                         const std::string& path,
                         const std::string& body,
                         const std::vector<std::string>& headers) {
  std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path);
  for (const std::string& header : headers) {
    out += header + "\r\n";
  }
  if (!body.empty()) {
    out += fmt::format("Content-Length: {}\r\n", body.size());
  }
  return out + "\r\n" + body;
}

std::string make_post(const std::string& path,
                      const std::string& json,
                      const std::vector<std::string>& headers) {
  std::vector<std::string> all = headers;
  all.emplace_back("Content-Type: application/json");
  return make_request("POST", path, json, all);
}

RawResponse ask(uint16_t port, const std::string& request) {
  RawClient client(port);
  client.send(request);
  return client.read_response(request.starts_with("HEAD "));
}

}  // namespace tutti::testing
