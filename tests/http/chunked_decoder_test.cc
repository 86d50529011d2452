// Chunked bodies: every cut of the input gives the same verdict.
#include "serve/chunked_decoder.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

struct Verdict {
  int status = 0;  // 0 whole, -1 more wanted, else the error's
  std::string body;
  size_t left = 0;

  bool operator==(const Verdict&) const = default;
};

Verdict decode(const std::string& bytes,
               size_t step,
               const HttpLimits& limits,
               int64_t body_limit) {
  ChunkedDecoder decoder(limits, body_limit);
  Verdict verdict{.status = -1, .body = {}, .left = 0};
  std::string pending;
  for (size_t i = 0; i < bytes.size() && verdict.status == -1; i += step) {
    pending += bytes.substr(i, step);
    size_t used = 0;
    const auto state = decoder.decode(pending, verdict.body, used);
    pending.erase(0, used);
    if (state == ChunkedDecoder::State::kError) {
      return {.status = decoder.error().http_status, .body = {}, .left = 0};
    }
    if (state == ChunkedDecoder::State::kComplete) {
      verdict.status = 0;
      verdict.left = bytes.size() - std::min(i + step, bytes.size()) + pending.size();
    }
  }
  return verdict;
}

Verdict verdict_of(const std::string& bytes,
                   const HttpLimits& limits = {},
                   int64_t body_limit = 1 << 20) {
  const Verdict whole = decode(bytes, bytes.size(), limits, body_limit);
  EXPECT_EQ(whole, decode(bytes, 1, limits, body_limit)) << bytes;
  EXPECT_EQ(whole, decode(bytes, 3, limits, body_limit)) << bytes;
  return whole;
}

TEST(ChunkedDecoder, Decodes) {
  EXPECT_EQ(verdict_of("0\r\n\r\n"), (Verdict{.status = 0, .body = "", .left = 0}));
  EXPECT_EQ(verdict_of("3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\nGET"),
            (Verdict{.status = 0, .body = "abc0123456789", .left = 3}));
  EXPECT_EQ(verdict_of("3;name=value\r\nabc\r\n000\r\n\r\n").body, "abc");
  EXPECT_EQ(verdict_of("A\r\n0123").status, -1);
  // RFC 9112, 7.1.1: white space around the parts of an extension is bad, but to be accepted.
  EXPECT_EQ(verdict_of("3 \t; name = \"v;w\"\r\nabc\r\n0 ;x\r\n\r\n").body, "abc");
}

// RFC 9112, 7.1.2. Also those that would matter as headers: they are dropped all the same.
TEST(ChunkedDecoder, DropsTrailers) {
  for (const char* trailers : {"X-Sum: y\r\n",
                               "X-Sum:y\r\nX-Empty:\r\n",
                               "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n",
                               "X: \t\xe4\xbd\xa0 \"q\" \r\n"}) {
    EXPECT_EQ(verdict_of("3\r\nabc\r\n0\r\n" + std::string(trailers) + "\r\nGET"),
              (Verdict{.status = 0, .body = "abc", .left = 3}))
        << trailers;
    EXPECT_EQ(verdict_of("3\r\nabc\r\n0\r\n" + std::string(trailers)).status, -1) << trailers;
  }
}

TEST(ChunkedDecoder, RefusesBadSyntax) {
  for (const char* bytes : {"-2\r\n",
                            "+1\r\na\r\n0\r\n\r\n",
                            "0x1\r\na\r\n0\r\n\r\n",
                            " 1\r\na\r\n0\r\n\r\n",
                            "1 \r\na\r\n0\r\n\r\n",
                            "1_0\r\n",
                            "00000000000000001\r\na\r\n0\r\n\r\n",  // 17 digits
                            "\r\n",
                            ";x\r\n",
                            "1\na\r\n0\r\n\r\n",
                            "1\ra\r\n0\r\n\r\n",
                            "1\r\nab\r\n0\r\n\r\n",
                            "1\r\na0\r\n\r\n",
                            "1\r\na\n0\r\n\r\n",
                            "1;a\nb\r\n",
                            "1 a\r\n",
                            "1 \n",
                            "0\r\n X: folded\r\n\r\n",
                            "0\r\nX: y\r\n folded\r\n\r\n",
                            "0\r\nX : y\r\n\r\n",
                            "0\r\n: y\r\n\r\n",
                            "0\r\nno colon\r\n\r\n",
                            "0\r\nX\r\n\r\n",
                            "0\r\nX: y\n\r\n",
                            "0\r\nX: y\rz\r\n\r\n",
                            "0\r\nX: \x01\r\n\r\n",
                            "0\r\nX: y\r\n\n",
                            "0\r\n\n",
                            "g\r\n"}) {
    EXPECT_EQ(verdict_of(bytes).status, 400) << bytes;
  }
}

TEST(ChunkedDecoder, LimitsHaveThreeCases) {
  HttpLimits limits;
  limits.chunks = 3;
  limits.chunk_extension_bytes = 4;
  const auto chunks = [](int n) {
    std::string text;
    for (int i = 0; i < n; ++i) {
      text += "1\r\na\r\n";
    }
    return text + "0\r\n\r\n";
  };
  EXPECT_EQ(verdict_of(chunks(2), limits).status, 0);
  EXPECT_EQ(verdict_of(chunks(3), limits).status, 0);
  EXPECT_EQ(verdict_of(chunks(4), limits).status, 400);
  EXPECT_EQ(verdict_of("1;abc\r\na\r\n0\r\n\r\n", limits).status, 0);
  EXPECT_EQ(verdict_of("1;abcd\r\na\r\n0\r\n\r\n", limits).status, 0);
  EXPECT_EQ(verdict_of("1;abcde\r\na\r\n0\r\n\r\n", limits).status, 400);
  limits.header_count = 2;
  limits.header_bytes = 20;
  const auto trailers = [](int n) {
    std::string text = "0\r\n";
    for (int i = 0; i < n; ++i) {
      text += "X:\r\n";
    }
    return text + "\r\n";
  };
  EXPECT_EQ(verdict_of(trailers(1), limits).status, 0);
  EXPECT_EQ(verdict_of(trailers(2), limits).status, 0);
  EXPECT_EQ(verdict_of(trailers(3), limits).status, 431);
  EXPECT_EQ(verdict_of("0\r\nX:" + std::string(15, ' ') + "\r\n\r\n", limits).status, 0);
  EXPECT_EQ(verdict_of("0\r\nX:" + std::string(16, ' ') + "\r\n\r\n", limits).status, 431);
  EXPECT_EQ(verdict_of("0\r\nX: " + std::string(99, 'y'), limits).status, 431);
  EXPECT_EQ(verdict_of("4\r\nabcd\r\n0\r\n\r\n", {}, 5).status, 0);
  EXPECT_EQ(verdict_of("5\r\nabcde\r\n0\r\n\r\n", {}, 5).status, 0);
  EXPECT_EQ(verdict_of("6\r\n", {}, 5).status, 413);
  EXPECT_EQ(verdict_of("3\r\nabc\r\n3\r\n", {}, 5).status, 413);
  EXPECT_EQ(verdict_of("ffffffffffffffff\r\n", {}, 5).status, 413);
}

}  // namespace
}  // namespace tutti
