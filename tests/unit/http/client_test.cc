// The client against real sockets, TCP and Unix: one connection for many requests, servers that
// close it, answer nonsense, or do not answer.
#include "http/client.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti::http {
namespace {

namespace asio = boost::asio;
using asio::generic::stream_protocol;
using boost::system::error_code;

const char* const kRequest = "GET /x HTTP/1.1\r\nHost: test\r\n\r\n";

std::string response(const std::string& body, const char* fields = "") {
  return fmt::format(
      "HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n{}", fields, body.size(), body);
}

/// What one connection of the server does: the answers to its first requests, in order; then it is
/// closed. An empty answer: none comes, and the connection stays open until the client closes it.
using Script = std::vector<std::string>;

class ScriptedServer {
 public:
  ScriptedServer(const Endpoint& at, std::vector<Script> connections)
      : acceptor_(io_, at), connections_(std::move(connections)) {
    thread_ = std::thread([this] {
      for (const Script& script : connections_) {
        stream_protocol::socket socket(io_);
        acceptor_.accept(socket);
        ++accepted_;
        serve(socket, script);
      }
    });
  }

  ~ScriptedServer() { thread_.join(); }

  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  Endpoint endpoint() const { return acceptor_.local_endpoint(); }

  int accepted() const { return accepted_; }

 private:
  static void serve(stream_protocol::socket& socket, const Script& script) {
    std::string in;
    error_code ec;
    for (const std::string& answer : script) {
      const size_t end = asio::read_until(socket, asio::dynamic_buffer(in), "\r\n\r\n", ec);
      if (ec) {
        return;
      }
      in.erase(0, end);
      if (answer.empty()) {
        break;
      }
      for (size_t at = 0; at < answer.size(); at += 5) {
        const size_t size = std::min<size_t>(5, answer.size() - at);
        asio::write(socket, asio::buffer(answer.data() + at, size), ec);
      }
    }
    if (!script.empty() && script.back().empty()) {
      asio::read_until(socket, asio::dynamic_buffer(in), "\r\n\r\n", ec);  // until the client goes
    }
  }

  asio::io_context io_;
  asio::basic_socket_acceptor<stream_protocol> acceptor_;
  std::vector<Script> connections_;
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

Endpoint any_port() {
  return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0);
}

/// Sends `count` requests one after another, each from the end of the one before.
class Client final : private ClientConnection::Handler {
 public:
  explicit Client(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}

  void run(int count) {
    left_ = count;
    next();
    io_.run_for(std::chrono::seconds(20));
  }

  std::vector<std::string> bodies;
  std::vector<Failure> failures;
  bool close_in_body = false;

 private:
  void next() {
    if (left_-- > 0) {
      bodies.emplace_back();
      connection_.send(kRequest, *this);
    } else {
      connection_.close();
    }
  }

  void on_body(std::string_view bytes, Clock::time_point) override {
    bodies.back() += bytes;
    if (close_in_body) {
      connection_.close();
      EXPECT_FALSE(connection_.busy());
    }
  }

  void on_complete(Clock::time_point) override { next(); }

  void on_failure(Failure failure) override {
    failures.push_back(std::move(failure));
    next();
  }

  Endpoint endpoint_;
  asio::io_context io_{1};
  std::array<char, 7> buffer_{};  // far less than a head
  ClientConnection connection_{io_, endpoint_, buffer_};
  int left_ = 0;
};

TEST(ClientConnectionTest, OneConnectionCarriesManyRequests) {
  const ScriptedServer server(any_port(), {{response("one"), response("two"), response("three")}});
  Client client(server.endpoint());
  client.run(3);
  EXPECT_THAT(client.bodies, ::testing::ElementsAre("one", "two", "three"));
  EXPECT_TRUE(client.failures.empty());
  EXPECT_EQ(server.accepted(), 1);
}

TEST(ClientConnectionTest, AConnectionThatWasClosedWhileIdleIsOpenedAgain) {
  const ScriptedServer server(any_port(), {{response("one")}, {response("two")}});
  Client client(server.endpoint());
  client.run(2);
  EXPECT_THAT(client.bodies, ::testing::ElementsAre("one", "two"));
  EXPECT_TRUE(client.failures.empty());
  EXPECT_EQ(server.accepted(), 2);
}

TEST(ClientConnectionTest, ANewConnectionThatIsClosedIsAFailure) {
  const ScriptedServer server(any_port(), {{}, {response("two", "Connection: close\r\n")}});
  Client client(server.endpoint());
  client.run(2);
  ASSERT_EQ(client.failures.size(), 1U);
  EXPECT_EQ(client.failures.front().kind, Failure::Kind::kClosed);
  EXPECT_THAT(client.bodies, ::testing::ElementsAre("", "two"));
}

TEST(ClientConnectionTest, AResponseCutShortIsAFailure) {
  const ScriptedServer server(
      any_port(), {{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"}, {response("whole")}});
  Client client(server.endpoint());
  client.run(2);
  ASSERT_EQ(client.failures.size(), 1U);
  EXPECT_EQ(client.failures.front().kind, Failure::Kind::kClosed);
  EXPECT_THAT(client.bodies, ::testing::ElementsAre("half", "whole"));
}

TEST(ClientConnectionTest, WhatIsNoHttpIsAFailure) {
  const ScriptedServer server(
      any_port(), {{"220 mail ESMTP\r\n\r\n"}, {response("x") + "HTTP/1.1 200 OK\r\n"}});
  Client client(server.endpoint());
  client.run(2);
  ASSERT_EQ(client.failures.size(), 2U);
  EXPECT_EQ(client.failures[0].kind, Failure::Kind::kMalformed);
  EXPECT_EQ(client.failures[1].kind, Failure::Kind::kMalformed) << "bytes behind the response";
}

TEST(ClientConnectionTest, MayBeClosedFromWithinABody) {
  const ScriptedServer server(any_port(), {{response("a body of several pieces"), ""}});
  Client client(server.endpoint());
  client.close_in_body = true;
  client.run(1);
  EXPECT_TRUE(client.failures.empty());
  ASSERT_EQ(client.bodies.size(), 1U);
  EXPECT_LT(client.bodies.front().size(), 8U);
}

TEST(ClientConnectionTest, UnixSockets) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("tutti_http_{}", getpid())).string();
  {
    const ScriptedServer server(asio::local::stream_protocol::endpoint(path),
                                {{response("here"), response("again")}});
    Client client(server.endpoint());
    client.run(2);
    EXPECT_THAT(client.bodies, ::testing::ElementsAre("here", "again"));
  }
  std::filesystem::remove(path);
}

TEST(FetchTest, OneAnswer) {
  const ScriptedServer server(any_port(), {{"HTTP/1.1 404 Not Found\r\n\r\nno such route"}});
  const auto got = fetch(server.endpoint(), kRequest);
  ASSERT_TRUE(std::holds_alternative<Fetched>(got));
  EXPECT_EQ(std::get<Fetched>(got).status, 404);
  EXPECT_EQ(std::get<Fetched>(got).body, "no such route");
}

TEST(FetchTest, SaysWhatWentWrong) {
  Endpoint gone;
  {
    const ScriptedServer server(any_port(), {{response(std::string(100, 'x'))}, {""}});
    gone = server.endpoint();
    const auto large = fetch(gone, kRequest, {.max_body_bytes = 99});
    ASSERT_TRUE(std::holds_alternative<Failure>(large));
    EXPECT_EQ(std::get<Failure>(large).kind, Failure::Kind::kMalformed);
    const auto silent = fetch(gone, kRequest, {.timeout = std::chrono::milliseconds(50)});
    ASSERT_TRUE(std::holds_alternative<Failure>(silent));
    EXPECT_EQ(std::get<Failure>(silent).kind, Failure::Kind::kTimeout);
  }
  const auto refused = fetch(gone, kRequest);
  ASSERT_TRUE(std::holds_alternative<Failure>(refused));
  EXPECT_EQ(std::get<Failure>(refused).kind, Failure::Kind::kConnect);
  EXPECT_EQ(std::get<Failure>(refused).cause, asio::error::connection_refused);
}

TEST(FindEndpointTest, NamesTheHostThatIsNotThere) {
  const auto got = find_endpoint(Url::parse("http://no-such-host.invalid:1").value());
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(got.status().message(), ::testing::HasSubstr("no-such-host.invalid"));
}

}  // namespace
}  // namespace tutti::http
