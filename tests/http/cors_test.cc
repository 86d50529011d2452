// Web pages of other origins: none by default; with --allowed-origins those, on every reply.
#include "serve/cors.h"

#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti::testing {
namespace {

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kHello = R"({"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kPage = "https://chat.example:8443";
const std::string kOrigin = std::string("Origin: ") + kPage;

ServerConfig allowing(const std::string& origins) {
  ServerConfig config;
  config.allowed_origins = origins;
  return config;
}

RawResponse preflight(const TestServer& s,
                      const std::string& path,
                      std::vector<std::string> headers = {kOrigin}) {
  headers.emplace_back("Access-Control-Request-Method: POST");
  headers.emplace_back("Access-Control-Request-Headers: authorization,content-type");
  return s.send(make_request("OPTIONS", path, "", headers));
}

std::string allowed_of(const RawResponse& response) {
  return response.header("access-control-allow-origin");
}

TEST(CorsList, HoldsOriginsAsBrowsersSendThem) {
  for (const char* good : {"",
                           "*",
                           "null",
                           "https://a.b",
                           "http://localhost:3000, https://[::1]:80 ,",
                           "chrome-extension://abcdef",
                           "http://a,*"}) {
    EXPECT_TRUE(Cors::parse(good).ok()) << good;
  }
  for (const char* bad : {"a.b",
                          "http://",
                          "://a",
                          "http://a/",
                          "http://a/b",
                          "https://*.a",
                          "http://a b",
                          "http://u@a",
                          "[\"*\"]",
                          "http://a\r\nX: y"}) {
    const auto parsed = Cors::parse(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_TRUE(parsed.status().message().starts_with("‹allowed_origins›: got ")) << bad;
  }
  EXPECT_FALSE(Cors::parse(" , ")->enabled());
}

TEST(Cors, IsOffByDefault) {
  TestServer s;
  const RawResponse asked = preflight(s, kChat);
  EXPECT_EQ(asked.status, 405);
  const RawResponse reply = s.send(make_post(kChat, kHello, {kOrigin}));
  EXPECT_EQ(reply.status, 200);
  for (const RawResponse& response : {asked, reply}) {
    for (const auto& [name, value] : response.headers) {
      EXPECT_FALSE(name.starts_with("access-control-") || name == "vary") << name;
    }
  }
}

TEST(Cors, PreflightsNeedNoKey) {
  ServerConfig config = allowing(std::string("http://localhost:3000,") + kPage);
  config.api_key = "secret";
  TestServer s({}, config);
  for (const char* path : {kChat, "/v1/models", "/nothing"}) {
    const RawResponse response = preflight(s, path);
    EXPECT_EQ(response.status, 204) << path;
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.header("content-length"), "");
    EXPECT_EQ(allowed_of(response), kPage);
    EXPECT_EQ(response.header("vary"), "Origin");
    EXPECT_EQ(response.header("access-control-allow-methods"), "GET, HEAD, POST, DELETE");
    EXPECT_EQ(response.header("access-control-allow-headers"), "authorization,content-type");
    EXPECT_EQ(response.header("access-control-max-age"), "600");
    EXPECT_EQ(response.header("access-control-allow-private-network"), "");
    EXPECT_FALSE(response.header("x-request-id").empty());
  }
  EXPECT_EQ(preflight(s, kChat, {kOrigin, "Access-Control-Request-Private-Network: true"})
                .header("access-control-allow-private-network"),
            "true");
  const RawResponse other = preflight(s, kChat, {"Origin: https://evil.test"});
  EXPECT_EQ(other.status, 403);
  EXPECT_EQ(allowed_of(other), "");
  // No preflight: neither OPTIONS alone, nor one that names no method.
  EXPECT_EQ(s.send(make_request("OPTIONS", kChat)).status, 401);
  EXPECT_EQ(s.send(make_request("OPTIONS", kChat, "", {kOrigin})).status, 401);
  EXPECT_EQ(preflight(s, kChat, {kOrigin, kOrigin}).status, 401);
}

TEST(Cors, ThePageCanReadRepliesAndErrors) {
  ServerConfig config = allowing(kPage);
  config.api_key = "secret";
  TestServer s({}, config);
  const std::string key = "Authorization: Bearer secret";
  const std::string stream = R"({"messages":[{"role":"user","content":"hi"}],"stream":true})";
  const std::pair<std::string, int> requests[] = {
      {make_post(kChat, kHello, {kOrigin, key}), 200},
      {make_post(kChat, stream, {kOrigin, key}), 200},
      {make_post(kChat, kHello, {kOrigin}), 401},
      {make_post(kChat, "{", {kOrigin, key}), 400},
      {make_request("GET", "/nothing", "", {kOrigin, key}), 404},
      {make_request("DELETE", kChat, "", {kOrigin, key}), 405},
      {make_request("POST", kChat, "x", {kOrigin, key}), 415},
      {make_request("GET", "/health", "", {kOrigin}), 200},
  };
  for (const auto& [request, status] : requests) {
    const RawResponse response = s.send(request);
    EXPECT_EQ(response.status, status) << request;
    EXPECT_EQ(allowed_of(response), kPage) << request;
    EXPECT_EQ(response.header("access-control-expose-headers"),
              "x-request-id, Retry-After, x-should-retry, X-Tutti-Warning, X-Tutti-Reply, "
              "request-id");
  }
  for (const char* origin : {"Origin: https://evil.test", "Origin: null", "X: y"}) {
    const RawResponse response = s.send(make_post(kChat, kHello, {origin, key}));
    EXPECT_EQ(response.status, 200) << origin;
    EXPECT_EQ(allowed_of(response), "") << origin;
    EXPECT_EQ(response.header("vary"), "Origin") << origin;
  }
}

TEST(Cors, OneRequestsOriginIsNotTheNexts) {
  TestServer s({}, allowing(kPage));
  RawClient client(s.port());
  client.send(make_request("GET", "/health", "", {kOrigin}) + make_request("GET", "/health"));
  EXPECT_EQ(allowed_of(client.read_response()), kPage);
  EXPECT_EQ(allowed_of(client.read_response()), "");
}

TEST(Cors, StarIsEveryPage) {
  TestServer s({}, allowing("*"));
  EXPECT_EQ(allowed_of(preflight(s, kChat, {"Origin: null"})), "*");
  EXPECT_EQ(allowed_of(s.send(make_request("GET", "/health", "", {kOrigin}))), "*");
}

// Rebound names stay out, whatever Origin says.
TEST(Cors, DoesNotLoosenTheHostCheck) {
  TestServer s({}, allowing("*"));
  EXPECT_EQ(s.send("OPTIONS /v1/models HTTP/1.1\r\nHost: evil.test\r\nOrigin: http://evil.test\r\n"
                   "Access-Control-Request-Method: GET\r\n\r\n")
                .status,
            403);
}

}  // namespace
}  // namespace tutti::testing
