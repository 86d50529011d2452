// Cases of the catalogue of abuse (ids H-…) that abuse_test.cc, disconnect_test.cc and
// lifecycle_test.cc do not hold: raw bytes against a server over a fake model.
#include <chrono>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "http/test_server.h"
#include "serve/http_api.h"

namespace tutti::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kHello = R"({"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kStream = R"({"stream":true,"messages":[{"role":"user","content":"hi"}]})";

ServerConfig quick() {
  ServerConfig config;
  config.limits.header_timeout = 300ms;
  config.limits.body_idle_timeout = 300ms;
  config.limits.probe_timeout = 100ms;
  config.limits.linger_timeout = 100ms;
  return config;
}

std::string post_head(const std::string& framing) {
  return std::string("POST ") + kChat +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + framing + "\r\n";
}

// Status of the one reply that must come before the connection closes.
int status_then_close(uint16_t port, const std::string& bytes) {
  RawClient client(port);
  client.send(bytes);
  const RawResponse response = client.read_response();
  EXPECT_TRUE(client.closed_within(3000ms)) << bytes.substr(0, 200);
  return response.status;
}

// Sanitizers keep freed memory for a while, so that its size says nothing about the server.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kMaxGrowthKib = INT64_MAX;
#else
constexpr int64_t kMaxGrowthKib = 1024;
#endif

int64_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) {
      return std::stoll(line.substr(6));
    }
  }
  return 0;
}

// Bytes keep coming, so the idle time-out never fires; the rate is what is too low.
TEST(Catalogue, H02_ABodySlowerThanTheMinimumRateIs408) {
  ServerConfig config = quick();
  config.limits.body_bytes_per_second = 1 << 20;
  TestServer s({}, config);
  RawClient client(s.port());
  client.send(post_head("Content-Length: 100000\r\n"));
  const auto begun = std::chrono::steady_clock::now();
  while (client.send(" ") && !client.closed_within(20ms) &&
         std::chrono::steady_clock::now() - begun < 5s) {
    if (client.buffered()) {
      break;
    }
  }
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Catalogue, H04_AFloodOfIdleConnectionsIsCappedAndProbesAreAnswered) {
  ServerConfig config = quick();
  config.limits.connections = 50;
  config.limits.header_timeout = 20s;
  config.limits.probe_connections = 4;
  TestServer s({}, config);
  std::vector<std::unique_ptr<RawClient>> flood;
  for (int i = 0; i < 500; ++i) {
    flood.push_back(std::make_unique<RawClient>(s.port()));
  }
  for (const char* path : {"/health/live", "/health", "/ready", "/metrics"}) {
    EXPECT_EQ(s.send(make_request("GET", path)).status, 200) << path;
  }
  EXPECT_EQ(s.post(kChat, kHello).status, 503);
  // All but the first 50 were told to come later.
  int told = 0;
  for (size_t i = 50; i < flood.size(); ++i) {
    told += flood[i]->read_response().status == 503 ? 1 : 0;
  }
  EXPECT_EQ(told, 450);
  flood.clear();
  RawResponse again;
  for (int i = 0; i < 400 && again.status != 200; ++i) {
    again = s.post(kChat, kHello);
  }
  EXPECT_EQ(again.status, 200);
}

TEST(Catalogue, H06_BigHeadersAre431) {
  TestServer s({}, quick());
  const std::string head = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
  EXPECT_EQ(status_then_close(s.port(), head + "X: " + std::string(1 << 20, 'a')), 431);
  EXPECT_EQ(status_then_close(s.port(), head + std::string(64 << 10, 'a') + ": b\r\n"), 431);
  std::string many = head;
  for (int i = 0; i < 10'000; ++i) {
    many += "A: b\r\n";
  }
  EXPECT_EQ(status_then_close(s.port(), many), 431);
  // The three cases of a limit: 100 headers, Host among them.
  for (const auto& [count, status] : {std::pair{98, 200}, {99, 200}, {100, 431}}) {
    const std::vector<std::string> headers(static_cast<size_t>(count), "A: b");
    EXPECT_EQ(s.send(make_request("GET", "/health", "", headers)).status, status) << count;
  }
}

TEST(Catalogue, H07_TargetsAreOneThingOrAnError) {
  TestServer s({}, quick());
  const auto get = [&](const std::string& target) {
    return ask(s.port(), "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n").status;
  };
  EXPECT_EQ(get("/" + std::string(64 << 10, 'a')), 414);
  for (const std::string& target : {std::string("/health\0", 8),
                                    std::string("/health%00"),
                                    std::string("/health\\"),
                                    std::string("/%c0%af"),
                                    std::string("/%"),
                                    std::string("health"),
                                    std::string("http://127.0.0.1/health"),
                                    std::string("ftp://localhost/health"),
                                    std::string("*"),
                                    std::string("/health#x")}) {
    EXPECT_EQ(get(target), 400) << target;
  }
  EXPECT_EQ(get("http://localhost/health"), 200);
  EXPECT_EQ(get("http://localhost/HEALTH"), 404);
  for (const char* target : {"/health%0d%0a",
                             "//health",
                             "/health/",
                             "/HEALTH",
                             "/./health",
                             "/v1/../health",
                             "/%68ealth",
                             "/health;x"}) {
    EXPECT_EQ(get(target), 404) << target;
  }
  EXPECT_EQ(get("/health?x=%0d%0a"), 200);
}

TEST(Catalogue, H08_ContentLengthIsADecimalNumberOrNothing) {
  TestServer s({}, quick());
  for (const char* value : {"9223372036854775808",
                            "18446744073709551616",
                            "-1",
                            "+5",
                            "0x10",
                            "5, 5",
                            "5, 6",
                            "",
                            "5.0",
                            "1e3",
                            " ",
                            "\xd9\xa1"}) {
    EXPECT_EQ(status_then_close(s.port(), post_head(fmt::format("Content-Length: {}\r\n", value))),
              400)
        << value;
  }
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Catalogue, H10_ChunksAreCounted) {
  ServerConfig config = quick();
  config.limits.body_idle_timeout = 5s;
  TestServer s({}, config);
  const auto chunked = [&](int64_t chunks) {
    std::string body;
    for (int64_t i = 0; i < chunks; ++i) {
      body += "1\r\n \r\n";
    }
    return post_head("Transfer-Encoding: chunked\r\n") + body + "0\r\n\r\n";
  };
  const int64_t limit = config.limits.chunks;
  const std::string hello = fmt::format("{:x}\r\n{}\r\n", std::string(kHello).size(), kHello);
  std::string exact = chunked(limit - 1);
  exact.insert(exact.size() - 5, hello);
  EXPECT_EQ(s.send(exact).status, 200);
  EXPECT_EQ(s.send(chunked(limit + 1)).status, 400);
  // Refusing costs no memory that stays.
  const std::string over = chunked(limit + 1);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(s.send(over).status, 400);
  }
  const int64_t before = resident_kib();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(s.send(over).status, 400);
  }
  EXPECT_LE(resident_kib() - before, kMaxGrowthKib);
}

TEST(Catalogue, H11_ChunkSyntaxIsStrict) {
  TestServer s({}, quick());
  for (const std::string& body : {std::string("_1\r\na\r\n0\r\n\r\n"),
                                  std::string("1 \r\na\r\n0\r\n\r\n"),
                                  std::string("00000000000000001\r\na\r\n0\r\n\r\n"),
                                  std::string("1\ra\r\n0\r\n\r\n"),
                                  std::string("1\r\na0\r\n\r\n"),
                                  "1;" + std::string(64 << 10, 'x') + "\r\na\r\n0\r\n\r\n",
                                  std::string("1;a\nb\r\na\r\n0\r\n\r\n"),
                                  std::string("\r\n"),
                                  std::string("ffffffffffffffff1\r\n")}) {
    EXPECT_EQ(status_then_close(s.port(), post_head("Transfer-Encoding: chunked\r\n") + body), 400)
        << body.substr(0, 40);
  }
  EXPECT_EQ(status_then_close(s.port(),
                              post_head("Transfer-Encoding: chunked\r\n") + "ffffffffffffffff\r\n"),
            413);
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Catalogue, H12_AChunkedBodyWithoutEndIs413AtTheLimit) {
  ServerConfig config = quick();
  config.limits.body_bytes = 1 << 20;
  TestServer s({}, config);
  RawClient client(s.port());
  client.send(post_head("Transfer-Encoding: chunked\r\n"));
  const std::string chunk = "4000\r\n" + std::string(0x4000, ' ') + "\r\n";
  for (int i = 0; i < 70 && client.send(chunk); ++i) {
  }
  EXPECT_EQ(client.read_response().status, 413);
}

TEST(Catalogue, H13_AmbiguousFramingIsOneReplyAndAClose) {
  TestServer s({}, quick());
  const std::string inner = make_request("GET", "/health");
  for (const char* framing : {"Transfer-Encoding : chunked\r\n",
                              "Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n",
                              "Transfer-Encoding: \"chunked\"\r\n",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                              "Transfer-Encoding: gzip, chunked\r\n",
                              "Transfer-Encoding: chunked;a=b\r\n",
                              "Transfer-Encoding:\r\n chunked\r\n",
                              "Transfer-Encoding: \x0b"
                              "chunked\r\n",
                              "Transfer_Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
                              "Transfer_Encoding: chunked\r\nContent-Length: 3\r\n",
                              "Content_Length: 3\r\n",
                              "Content-Length : 3\r\n",
                              "Content-Length: 3\r\nContent-Length: 3\r\n",
                              "Content-Length: 3\nX: y\r\n",
                              "X: y\rContent-Length: 3\r\n"}) {
    EXPECT_EQ(status_then_close(s.port(), post_head(framing) + "0\r\n\r\n" + inner), 400)
        << framing;
  }
  // Chunked is a word of HTTP/1.1.
  EXPECT_EQ(status_then_close(s.port(),
                              fmt::format("POST {} HTTP/1.0\r\nHost: a\r\nContent-Type: "
                                          "application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                                          "0\r\n\r\n{}",
                                          kChat,
                                          inner)),
            400);
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Catalogue, H14_BodiesOfRefusedRequestsAreNeverRequests) {
  ServerConfig config = quick();
  config.api_key = "key";
  config.limits.body_bytes = 1000;
  TestServer s({}, config);
  const std::string inner = make_request("GET", "/health");
  // 401, 404 and 413, each with a body that looks like a request.
  for (const auto& [request, status] :
       {std::pair{make_post(kChat, inner), 401},
        {make_request("POST", "/nope", inner, {"Authorization: Bearer key"}), 404},
        {make_post(kChat, inner + std::string(2000, ' '), {"Authorization: Bearer key"}), 413}}) {
    EXPECT_EQ(status_then_close(s.port(), request), status);
  }
  // A GET may have one; it is read and dropped up to a limit.
  RawClient client(s.port());
  client.send(make_request("GET", "/health", inner) + make_request("GET", "/health/live"));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_TRUE(client.silent_for(100ms));
  EXPECT_EQ(status_then_close(s.port(), make_request("GET", "/health", std::string(65 << 10, 'x'))),
            413);
}

// More than a few are left to the kernel, and thereby to the client.
TEST(Catalogue, H15_AThousandPipelinedRequestsAreAnsweredInOrder) {
  ServerConfig config;
  config.limits.pipelined_requests = 8;
  TestServer s(manual_model(), config);
  RawClient client(s.port());
  client.send(make_post(kChat, kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    all += make_request("GET", "/health", "", {fmt::format("X-Request-Id: {}", i)});
  }
  std::thread sender([&] { client.send(all); });
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({});
  EXPECT_EQ(client.read_response().status, 200);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(client.read_response().header("x-request-id"), std::to_string(i));
  }
  sender.join();
}

TEST(Catalogue, H17_MethodsAndVersions) {
  TestServer s({}, quick());
  for (const char* method : {"TRACE", "CONNECT", "BREW", "get", "OPTIONS"}) {
    const bool probe = std::string_view(method) == "OPTIONS";
    EXPECT_EQ(s.send(make_request(method, "/health")).status, probe ? 204 : 405) << method;
    EXPECT_EQ(s.send(make_request(method, kChat)).status, 405) << method;
  }
  for (const char* line : {"GET /health",
                           "GET /health HTTP/0.9",
                           "GET /health HTTP/2.0",
                           "GET /health HTTP/1.2",
                           "GET /health http/1.1",
                           "GET  /health HTTP/1.1",
                           " GET /health HTTP/1.1",
                           "GET /health HTTP/1.1 ",
                           "GET\t/health HTTP/1.1"}) {
    EXPECT_EQ(status_then_close(s.port(), std::string(line) + "\r\nHost: a\r\n\r\n"), 400) << line;
  }
}

TEST(Catalogue, H18_ExactlyOneHost) {
  TestServer s({}, quick());
  const auto get = [&](const std::string& hosts) {
    return ask(s.port(), "GET /health HTTP/1.1\r\n" + hosts + "\r\n").status;
  };
  for (const char* hosts : {"",
                            "Host: localhost\r\nHost: localhost\r\n",
                            "Host:\r\nHost:\r\n",
                            "Host: localhost/path\r\n",
                            "Host: user@localhost\r\n",
                            "Host: a b\r\n",
                            "Host : localhost\r\n"}) {
    EXPECT_EQ(get(hosts), 400) << hosts;
  }
  EXPECT_EQ(get("Host: evil.example\r\n"), 403);
  EXPECT_EQ(get("Host: LocalHost:80\r\n"), 200);
  EXPECT_EQ(get("Host:\r\n"), 200);
}

TEST(Catalogue, H19_UpgradesAreIgnoredOnEveryRoute) {
  TestServer s({}, quick());
  for (const Route& route : route_table()) {
    const std::string path =
        std::string(route.path) + (route.takes_name() ? "x" : "") + route.after;
    for (const char* protocol : {"websocket", "h2c"}) {
      const std::vector<std::string> headers{"Connection: Upgrade, HTTP2-Settings",
                                             fmt::format("Upgrade: {}", protocol),
                                             "HTTP2-Settings: AAMAAABkAAQAAP__"};
      const RawResponse response =
          s.send(route.takes_body() ? make_post(path, kHello, headers)
                                    : make_request(route.method, path, "", headers));
      EXPECT_TRUE(response.status == 200 || response.status == 400 || response.status == 404)
          << path << " " << response.status;
      EXPECT_EQ(response.header("upgrade"), "");
    }
  }
}

// docs/adr: who closes its sending side has left. The same on every route that takes time.
TEST(Catalogue, H23_HalfCloseIsLeaving) {
  TestServer s(manual_model());
  size_t index = 0;
  for (const auto& [path, body] :
       {std::pair{std::string(kChat), std::string(kStream)},
        {std::string(kChat), std::string(kHello)},
        {std::string("/v1/completions"), std::string(R"({"prompt":"a"})")},
        {std::string("/v1/completions"), std::string(R"({"prompt":"a","stream":true})")}}) {
    RawClient client(s.port());
    client.send(make_post(path, body));
    const auto generation = s.model->wait_generation(index++);
    ASSERT_NE(generation, nullptr);
    client.half_close();
    EXPECT_TRUE(s.model->wait_cancelled(*generation)) << path << body;
  }
}

TEST(Catalogue, H25_CompressedBodiesAre415) {
  TestServer s({}, quick());
  for (const char* encoding : {"gzip", "br", "deflate", "zstd", "identity, gzip"}) {
    EXPECT_EQ(
        s.send(make_post(kChat, kHello, {fmt::format("Content-Encoding: {}", encoding)})).status,
        415);
  }
}

// 500 connections that send a part of a request and drop.
TEST(Catalogue, FiveHundredConnectsAndDropsLeaveNothing) {
  TestServer s({}, quick());
  const std::string request = make_post(kChat, kStream);
  for (size_t i = 0; i < 500; ++i) {
    RawClient client(s.port());
    client.send(request.substr(0, (i * 7) % (request.size() - 1)));
    if (i % 3 == 0) {
      client.reset();
    }
  }
  EXPECT_EQ(s.model->generations(), 0U);
  std::string metrics;
  for (int i = 0; i < 100 && metrics.find("tutti:http_connections 1\n") == std::string::npos; ++i) {
    metrics = s.send(make_request("GET", "/metrics")).body;
  }
  EXPECT_NE(metrics.find("tutti:http_connections 1\n"), std::string::npos);
}

// Z3: refusing requests must not make the server grow.
TEST(Catalogue, RefusedRequestsKeepNoMemory) {
  TestServer s({}, quick());
  const std::vector<std::string> bad{
      make_request("GET", "/" + std::string(9000, 'x')),
      make_request("GET", "/health", "", {"X: " + std::string(40'000, 'a')}),
      make_post(kChat, "{" + std::string(100'000, '[')),
      make_post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"n":129})"),
      make_post("/nope", std::string(10'000, 'x')),
      post_head("Content-Length: 99999999999\r\n")};
  const auto round = [&](int times) {
    for (int i = 0; i < times; ++i) {
      for (const std::string& request : bad) {
        EXPECT_GE(s.send(request).status, 400);
      }
    }
  };
  round(50);
  const int64_t before = resident_kib();
  round(100);
  EXPECT_LE(resident_kib() - before, kMaxGrowthKib);
}

}  // namespace
}  // namespace tutti::testing
