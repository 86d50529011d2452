// What hostile or broken clients send: slow, oversized, ambiguous, pipelined.
#include <chrono>

#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kHello = R"({"messages":[{"role":"user","content":"hi"}]})";

ServerConfig quick() {
  ServerConfig config;
  config.limits.header_timeout = 150ms;
  config.limits.body_idle_timeout = 150ms;
  config.limits.keep_alive_timeout = 150ms;
  config.limits.linger_timeout = 100ms;
  config.limits.body_bytes = 1000;
  return config;
}

std::string chunked_head() {
  return std::string("POST ") + kChat +
         " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
         "Transfer-Encoding: chunked\r\n\r\n";
}

std::string code_of(const RawResponse& response) {
  return text_at(at(error_of(response), "code"));
}

TEST(Abuse, H01_SlowHeadIs408) {
  TestServer s({}, quick());
  RawClient client(s.port());
  client.send("GET /health HT");
  const auto begun = std::chrono::steady_clock::now();
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 408);
  EXPECT_EQ(code_of(response), "request_timeout");
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 100ms);
  EXPECT_TRUE(client.closed_within(2000ms));
}

TEST(Abuse, H01_ATrickleDoesNotExtendTheHeadDeadline) {
  TestServer s({}, quick());
  RawClient client(s.port());
  client.send("GET /health HTTP/1.1\r\n");
  const auto begun = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begun < 2s && client.send("X: a\r\n") &&
         !client.closed_within(30ms)) {
    if (client.read_until("\r\n").starts_with("HTTP/1.1 408")) {
      break;
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
}

TEST(Abuse, H02_SlowBodyIs408) {
  TestServer s({}, quick());
  RawClient client(s.port());
  client.send(make_post(kChat, kHello).substr(0, 140));
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Abuse, IdleConnectionsAreClosedSilently) {
  TestServer s({}, quick());
  RawClient never(s.port());
  EXPECT_TRUE(never.closed_within(2000ms));
  RawClient once(s.port());
  once.send(make_request("GET", "/health"));
  EXPECT_EQ(once.read_response().status, 200);
  EXPECT_TRUE(once.closed_within(2000ms));
}

TEST(Abuse, H09_BodyLimitHasThreeCases) {
  TestServer s({}, quick());
  const auto padded = [](size_t n) {
    std::string body = kHello;
    body.resize(n, ' ');
    return body;
  };
  const auto chunked = [&](size_t n) {
    return chunked_head() + fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", n, padded(n));
  };
  EXPECT_EQ(s.send(make_post(kChat, padded(999))).status, 200);
  EXPECT_EQ(s.send(make_post(kChat, padded(1000))).status, 200);
  EXPECT_EQ(s.send(make_post(kChat, padded(1001))).status, 413);
  EXPECT_EQ(s.send(chunked(999)).status, 200);
  EXPECT_EQ(s.send(chunked(1000)).status, 200);
  EXPECT_EQ(s.send(chunked(1001)).status, 413);
  // Refused from the number alone, before any byte of it.
  const RawResponse huge = s.send(std::string("POST ") + kChat +
                                  " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                                  "\r\nContent-Length: 999999999999\r\n\r\n");
  EXPECT_EQ(huge.status, 413);
  EXPECT_EQ(code_of(huge), "payload_too_large");
  EXPECT_EQ(huge.header("connection"), "close");
}

TEST(Abuse, H09_ExpectContinueIsAnsweredBeforeTheBody) {
  TestServer s({}, quick());
  const std::string request = make_post(kChat, kHello, {"Expect: 100-continue"});
  const size_t split = request.find("\r\n\r\n") + 4;
  RawClient client(s.port());
  client.send(request.substr(0, split));
  EXPECT_EQ(client.read_response().status, 100);
  client.send(request.substr(split));
  EXPECT_EQ(client.read_response().status, 200);
  RawClient refused(s.port());
  refused.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
  EXPECT_EQ(refused.read_response().status, 413);
}

TEST(Abuse, H06_OversizedHeadsAreNamed) {
  TestServer s({}, quick());
  EXPECT_EQ(s.send("GET /" + std::string(70000, 'a')).status, 414);
  const RawResponse big =
      s.send(make_request("GET", "/health", "", {"X: " + std::string(40000, 'a')}));
  EXPECT_EQ(big.status, 431);
  EXPECT_EQ(code_of(big), "header_too_large");
  const std::vector<std::string> many(200, "X: a");
  EXPECT_EQ(s.send(make_request("GET", "/health", "", many)).status, 431);
}

TEST(Abuse, H11_BadChunksAre400AndEndTheConnection) {
  TestServer s({}, quick());
  for (const char* body : {"-2\r\n",
                           "+1\r\na\r\n0\r\n\r\n",
                           "0x1\r\na\r\n0\r\n\r\n",
                           " 1\r\na\r\n0\r\n\r\n",
                           "1\na\n0\n\n",
                           "1\r\nab\r\n0\r\n\r\n",
                           "0\r\nX-Trailer\r\n\r\n"}) {
    RawClient client(s.port());
    client.send(chunked_head() + body + make_request("GET", "/health"));
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(response.header("connection"), "close");
    EXPECT_TRUE(client.closed_within(2000ms)) << body;
  }
  EXPECT_EQ(s.model->generations(), 0U);
}

// A trailer is no request and no header: the next request begins behind it.
TEST(Abuse, H11_TrailersAreDropped) {
  TestServer s({}, quick());
  RawClient client(s.port());
  const std::string json = R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":1})";
  client.send(chunked_head() + fmt::format("{:x}\r\n{}\r\n", json.size(), json) +
              "0\r\nX-Sum: y\r\nContent-Length: 9\r\nConnection: close\r\n\r\n" +
              make_request("GET", "/health"));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.header("connection"), "keep-alive");
  EXPECT_EQ(client.read_response().body, R"({"status":"ok"})");
}

TEST(Abuse, H13_SmuggledRequestsAreNeverServed) {
  TestServer s({}, quick());
  for (const char* framing : {"Content-Length: 6\r\nTransfer-Encoding: chunked",
                              "Transfer-Encoding: chunked\r\nContent-Length: 6",
                              "Content-Length: 0\r\nContent-Length: 40",
                              "Transfer-Encoding: xchunked",
                              "Transfer-Encoding: chunked, identity",
                              "Content-Length: 0\r\n Content-Length: 40"}) {
    RawClient client(s.port());
    client.send(
        fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                    "\r\n{}\r\n\r\n0\r\n\r\n{}",
                    kChat,
                    framing,
                    make_request("GET", "/health")));
    EXPECT_EQ(client.read_response().status, 400) << framing;
    EXPECT_TRUE(client.closed_within(2000ms)) << framing;
  }
}

TEST(Abuse, H14_UnreadBodiesNeverBecomeRequests) {
  TestServer s({}, quick());
  const std::string inner = make_request("GET", "/health");
  for (const std::string& head : {std::string("POST /nope"), std::string("PUT /v1/models")}) {
    RawClient client(s.port());
    client.send(fmt::format("{} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                            head,
                            inner.size(),
                            inner));
    EXPECT_GE(client.read_response().status, 404);
    EXPECT_TRUE(client.closed_within(2000ms));
  }
  // A body where none belongs is read and dropped; the connection goes on in step.
  RawClient client(s.port());
  client.send(make_request("GET", "/v1/models", inner) + make_request("HEAD", "/health", inner) +
              make_request("GET", "/nope"));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response(/*head_only=*/true).status, 200);
  EXPECT_EQ(client.read_response().status, 404);
}

TEST(Abuse, H15_PipelinedRequestsAreAnsweredInOrder) {
  TestServer s;
  RawClient client(s.port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string id = fmt::format("X-Request-Id: id-{}", i);
    const std::string stream = i % 2 == 0 ? "true" : "false";
    all += i % 5 == 0 ? make_post(kChat,
                                  fmt::format(R"({{"stream":{},"max_tokens":2,"messages":[)"
                                              R"({{"role":"user","content":"hi"}}]}})",
                                              stream),
                                  {id})
                      : make_request("GET", i % 7 == 0 ? "/nope" : "/health", "", {id});
  }
  client.send(all);
  for (int i = 0; i < 50; ++i) {
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, i % 5 == 0 || i % 7 != 0 ? 200 : 404);
    EXPECT_EQ(response.header("x-request-id"), fmt::format("id-{}", i));
  }
}

TEST(Abuse, AnEmptyLineBetweenRequestsIsIgnored) {
  TestServer s;
  RawClient client(s.port());
  client.send("\r\n" + make_request("GET", "/health") + "\r\n\r\n" +
              make_request("GET", "/health"));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(Abuse, H17_GarbageIsRefusedAtOnce) {
  TestServer s;
  for (const std::string& bytes : {std::string("\x16\x03\x01\x02\x00\x01", 6),
                                   std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                                   std::string("GET /health\r\n"),
                                   std::string("GET /health HTTP/1.1\nHost: a\n\n"),
                                   std::string("\0\0\0\0", 4)}) {
    RawClient client(s.port());
    client.send(bytes);
    EXPECT_EQ(client.read_response().status, 400);
    EXPECT_TRUE(client.closed_within(2000ms));
  }
}

TEST(Abuse, H19_UpgradesAreIgnored) {
  TestServer s;
  for (const char* protocol : {"websocket", "h2c"}) {
    EXPECT_EQ(s.send(make_request("GET",
                                  "/health",
                                  "",
                                  {"Connection: Upgrade", fmt::format("Upgrade: {}", protocol)}))
                  .status,
              200);
  }
}

TEST(Abuse, H04_ConnectionsAreCapped) {
  ServerConfig config = quick();
  config.limits.probe_timeout = 100ms;
  config.limits.connections = 3;
  config.limits.keep_alive_timeout = 5000ms;
  TestServer s({}, config);
  std::vector<std::unique_ptr<RawClient>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<RawClient>(s.port()));
    held.back()->send(make_request("GET", "/health"));
    EXPECT_EQ(held.back()->read_response().status, 200);
  }
  RawClient refused(s.port());
  const RawResponse response = refused.read_response();
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(retry_within(response, 2, 8));
  EXPECT_EQ(s.send(make_request("GET", "/health")).status, 200);
  EXPECT_EQ(s.send(make_request("GET", "/v1/models")).status, 503);
  held.clear();
  // A slot comes free as soon as the server has seen the close.
  RawResponse again;
  for (int i = 0; i < 200 && again.status != 200; ++i) {
    again = s.send(make_request("GET", "/health"));
  }
  EXPECT_EQ(again.status, 200);
}

TEST(Abuse, O01_AFullPreparationQueueIs429) {
  ServerConfig config;
  config.limits.prepare_queue = 0;
  TestServer s({}, config);
  const RawResponse response = s.post(kChat, kHello);
  EXPECT_EQ(response.status, 429);
  EXPECT_TRUE(retry_within(response, 1, 4));
  EXPECT_EQ(code_of(response), "overloaded");
}

}  // namespace
}  // namespace tutti::testing
