// Finding, parsing and checking request heads, byte by byte and whole.
#include "serve/http_head.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

// Status of an error, 0 for a good head, -1 if more bytes are wanted.
int verdict(const std::string& bytes, const HttpLimits& limits = {}) {
  HeadScanner scanner(limits);
  HeadScanner::State state = HeadScanner::State::kNeedMore;
  // Growing prefixes: the scanner must not depend on how bytes are cut.
  for (size_t n = 1; n <= bytes.size() && state == HeadScanner::State::kNeedMore; ++n) {
    state = scanner.scan(std::string_view(bytes).substr(0, n));
  }
  HeadScanner at_once(limits);
  EXPECT_EQ(static_cast<int>(at_once.scan(bytes)), static_cast<int>(state)) << bytes;
  if (state == HeadScanner::State::kNeedMore) {
    return -1;
  }
  if (state == HeadScanner::State::kError) {
    return scanner.error().http_status;
  }
  const auto head = parse_head(std::string_view(bytes).substr(0, scanner.length()));
  const auto* error = std::get_if<ApiError>(&head);
  return error == nullptr ? 0 : error->http_status;
}

std::string with(const std::string& headers) {
  return "POST /v1/models HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}

HttpHead good(const std::string& bytes) {
  auto head = parse_head(bytes);
  EXPECT_TRUE(std::holds_alternative<HttpHead>(head)) << bytes;
  return std::get<HttpHead>(head);
}

TEST(HttpHead, ReadsAPlainRequest) {
  const HttpHead head = good(
      "POST /v1/x%20y?a=1 HTTP/1.1\r\nHost: localhost:9997\r\nCONTENT-Length: 12\r\n"
      "X-Two:  b \r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/x%20y");
  EXPECT_EQ(head.version, 11);
  EXPECT_EQ(head.content_length, 12);
  EXPECT_EQ(*head.find("x-two"), "b");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.chunked);
}

TEST(HttpHead, KeepAliveFollowsVersionAndConnection) {
  EXPECT_FALSE(good(with("Connection: close\r\n")).keep_alive);
  EXPECT_FALSE(good("GET / HTTP/1.0\r\nHost: a\r\n\r\n").keep_alive);
  EXPECT_TRUE(good("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

// RFC 9110, 7.6.1: a list of options in any case; several lines are one list.
TEST(HttpHead, ConnectionIsAList) {
  EXPECT_FALSE(good(with("Connection: TE, Close\r\n")).keep_alive);
  EXPECT_FALSE(good(with("Connection: TE\r\nConnection:\tclose \r\n")).keep_alive);
  EXPECT_TRUE(good(with("Connection: x-closed, ,disclose\r\n")).keep_alive);
  EXPECT_TRUE(good(with("Connection: \r\n")).keep_alive);
}

// RFC 9112, 3.2.2: a server must accept the form that is meant for proxies.
TEST(HttpHead, AbsoluteTargetsNameTheHostOnceMore) {
  const auto path = [](const std::string& target, const std::string& host) {
    return good(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", target, host)).path;
  };
  EXPECT_EQ(path("http://localhost:9997/v1/models?x=1", "LocalHost:9997"), "/v1/models");
  EXPECT_EQ(path("HTTPS://a_b/", "a_b"), "/");
  EXPECT_EQ(path("http://a", "a"), "/");
  EXPECT_EQ(path("http://a?x=/", "a"), "/");
  EXPECT_EQ(path("http://[::1]:80/x", "[::1]:80"), "/x");
  EXPECT_EQ(path("/x?u=http://b/", "a"), "/x");
}

TEST(HttpHead, RefusesWhatIsNoRequest) {
  EXPECT_EQ(verdict("\x16\x03\x01"), 400);  // TLS hello
  EXPECT_EQ(verdict("PRI * HTTP/2.0\r\n"), 400);
  EXPECT_EQ(verdict("GET /\r\n"), 400);  // HTTP/0.9
  EXPECT_EQ(verdict("GET / HTTP/1.2\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\n\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\rHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1"), -1);
}

TEST(HttpHead, RefusesAmbiguousHeaders) {
  EXPECT_EQ(verdict(with("")), 0);
  EXPECT_EQ(verdict(with("X: a\r\n b\r\n")), 400);  // continued line
  EXPECT_EQ(verdict(with("X : a\r\n")), 400);
  EXPECT_EQ(verdict(with(": a\r\n")), 400);
  EXPECT_EQ(verdict(with("X\r\n")), 400);
  EXPECT_EQ(verdict(with(std::string("X: a\0b\r\n", 8))), 400);
  EXPECT_EQ(verdict(with("X: a\x01\r\n")), 400);
}

TEST(HttpHead, DemandsOneFraming) {
  for (const char* headers : {
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5, 5\r\n",
           "Content-Length: -1\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: 0x10\r\n",
           "Content-Length: 5 5\r\n",
           "Content-Length: \r\n",
           "Content-Length: 9223372036854775808\r\n",
           "Content-Length: 18446744073709551616\r\n",
           "Transfer-Encoding: xchunked\r\n",
           "Transfer-Encoding: gzip, chunked\r\n",
           "Transfer-Encoding: chunked, identity\r\n",
           "Transfer-Encoding: identity\r\n",
           "Transfer-Encoding: \r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: \x0b"
           "chunked\r\n",
           "Transfer_Encoding: chunked\r\nTransfer-Encoding : chunked\r\n",
       }) {
    EXPECT_EQ(verdict(with(headers)), 400) << headers;
  }
  EXPECT_EQ(verdict("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_TRUE(good(with("Transfer-Encoding: Chunked\r\n")).chunked);
}

TEST(HttpHead, DemandsOneHost) {
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400);
}

TEST(HttpHead, HostMayBeEmptyAndWithHttp10Absent) {
  EXPECT_EQ(good("GET / HTTP/1.0\r\n\r\n").host, "");
  EXPECT_EQ(good("GET / HTTP/1.0\r\nHost: a\r\n\r\n").host, "a");
  EXPECT_EQ(good("GET / HTTP/1.0\r\nHost:\r\n\r\n").host, "");
  EXPECT_EQ(good("GET / HTTP/1.1\r\nHost:\r\n\r\n").host, "");
  EXPECT_EQ(good("GET / HTTP/1.1\r\nHost: my_backend:80\r\n\r\n").host, "my_backend:80");
  EXPECT_EQ(good("GET http://evil.test/ HTTP/1.0\r\n\r\n").host, "evil.test");
  EXPECT_EQ(verdict("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET http:///a HTTP/1.0\r\n\r\n"), 400);
  EXPECT_EQ(verdict("GET http://u@a/ HTTP/1.0\r\n\r\n"), 400);
}

TEST(HttpHead, RefusesOddTargets) {
  for (const char* target : {"*",
                             "http://b/health",
                             "http://a:80/health",
                             "http://u@a/health",
                             "http:///health",
                             "http://",
                             "http:/a/health",
                             "ftp://a/health",
                             "http://a/%zz",
                             "http://a\\b/",
                             "a:80",
                             "/%00",
                             "/%0",
                             "/%zz",
                             "/%c0%af",
                             "/%ff",
                             "/a\\b",
                             "/a#b",
                             "/\xC3\xA4"}) {
    EXPECT_EQ(verdict(std::string("GET ") + target + " HTTP/1.1\r\nHost: a\r\n\r\n"), 400)
        << target;
  }
}

TEST(HttpHead, LimitsHaveThreeCases) {
  HttpLimits limits;
  limits.request_line_bytes = 40;
  limits.header_bytes = 200;
  limits.header_count = 3;
  const auto line = [](size_t n) {
    const std::string rest = "GET / HTTP/1.1";
    return "GET /" + std::string(n - rest.size(), 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  EXPECT_EQ(verdict(line(39), limits), 0);
  EXPECT_EQ(verdict(line(40), limits), 0);
  EXPECT_EQ(verdict(line(41), limits), 414);
  EXPECT_EQ(verdict("GET /" + std::string(100, 'a'), limits), 414);
  const auto total = [](size_t n) {
    const std::string rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
    return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(n - rest.size(), 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(verdict(total(199), limits), 0);
  EXPECT_EQ(verdict(total(200), limits), 0);
  EXPECT_EQ(verdict(total(201), limits), 431);
  const auto count = [](int n) {
    std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < n; ++i) {
      text += "X: a\r\n";
    }
    return text + "\r\n";
  };
  EXPECT_EQ(verdict(count(2), limits), 0);
  EXPECT_EQ(verdict(count(3), limits), 0);
  EXPECT_EQ(verdict(count(4), limits), 431);
}

TEST(HttpHead, ExpectIsOneWord) {
  EXPECT_TRUE(good(with("Expect: 100-Continue\r\n")).expect_continue);
  EXPECT_EQ(verdict(with("Expect: 200-maybe\r\n")), 417);
}

TEST(PercentDecode, DecodesOnce) {
  EXPECT_EQ(percent_decode("org%2Fmodel%20name"), "org/model name");
  EXPECT_EQ(percent_decode("%252F"), "%2F");
  EXPECT_EQ(percent_decode("%E4%BD%A0"), "\xE4\xBD\xA0");
  EXPECT_EQ(percent_decode("a%2"), std::nullopt);
  EXPECT_EQ(percent_decode("a%"), std::nullopt);
}

TEST(LocalName, IsOneWordOrHasAnUnderscore) {
  for (const char* host :
       {"", "backend", "my_backend:8080", "tutti_1.docker.internal", "web-1:80"}) {
    EXPECT_TRUE(is_local_name(host)) << host;
  }
  for (const char* host : {"evil.test", "evil.test:80", "10.0.0.1", "[fe80::1]", "a.b:1_2"}) {
    EXPECT_FALSE(is_local_name(host)) << host;
  }
}

TEST(LoopbackHost, AllowsOnlyLoopbackNames) {
  for (const char* host : {"localhost",
                           "LocalHost:9997",
                           "127.0.0.1",
                           "127.0.0.1:1",
                           "127.1.2.3",
                           "[::1]",
                           "[::1]:80"}) {
    EXPECT_TRUE(is_loopback_host(host)) << host;
  }
  for (const char* host : {"evil.test",
                           "127.0.0.1.evil.test",
                           "localhost.evil.test",
                           "10.0.0.1",
                           "127.0.0",
                           "127.0.0.",
                           "127.0.0.1.1",
                           "127.0.0.1:",
                           "127.0.0.1:x",
                           "127.0.0.1:123456",
                           "[::2]",
                           "::1",
                           "0.0.0.0",
                           ""}) {
    EXPECT_FALSE(is_loopback_host(host)) << host;
  }
}

}  // namespace
}  // namespace tutti
