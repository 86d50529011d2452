#include "http/response_parser.h"

#include <gtest/gtest.h>

namespace tutti::http {
namespace {

struct Parsed {
  ResponseParser reply;
  std::string body;
  Status status;
  size_t used = 0;
};

Parsed parse(std::string_view text, size_t piece) {
  Parsed out;
  for (size_t at = 0; at < text.size() && out.status.ok() && !out.reply.complete(); at += piece) {
    size_t used = 0;
    out.status = out.reply.feed(
        text.substr(at, piece), [&](std::string_view bytes) { out.body += bytes; }, used);
    out.used += used;
  }
  return out;
}

TEST(ResponseParserTest, ChunkedBodySplitAnywhere) {
  const std::string text =
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
      "transfer-encoding: Chunked\r\n\r\n"
      "5\r\nhello\r\nA;x=y\r\n, chunked!\r\n0\r\nTrailer: 1\r\n\r\n";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    const Parsed got = parse(text, piece);
    ASSERT_TRUE(got.status.ok()) << got.status.message() << ", pieces of " << piece;
    EXPECT_TRUE(got.reply.complete());
    EXPECT_EQ(got.reply.status(), 200);
    EXPECT_TRUE(got.reply.event_stream());
    EXPECT_TRUE(got.reply.keep_alive());
    EXPECT_EQ(got.body, "hello, chunked!") << "pieces of " << piece;
    EXPECT_EQ(got.used, text.size());
  }
}

TEST(ResponseParserTest, LengthSaysWhereTheReplyEnds) {
  const std::string text =
      "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\nRetry-After: 7\r\n"
      "Connection: close\r\n\r\nbusyHTTP/1.1 200 OK\r\n";
  const Parsed got = parse(text, text.size());
  ASSERT_TRUE(got.status.ok());
  EXPECT_TRUE(got.reply.complete());
  EXPECT_EQ(got.body, "busy");
  EXPECT_EQ(got.reply.status(), 429);
  EXPECT_EQ(got.reply.field("retry-after"), "7");
  EXPECT_EQ(got.reply.field("Via"), "");
  EXPECT_FALSE(got.reply.keep_alive());
  EXPECT_EQ(got.used, text.find("busy") + 4);
}

TEST(ResponseParserTest, WithoutALengthTheEndOfTheConnectionEndsTheBody) {
  Parsed got = parse("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}", 3);
  EXPECT_FALSE(got.reply.complete());
  EXPECT_TRUE(got.reply.end_of_input());
  EXPECT_EQ(got.body, "{}");
  EXPECT_FALSE(got.reply.keep_alive());
  Parsed cut = parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", 100);
  EXPECT_FALSE(cut.reply.end_of_input());
}

TEST(ResponseParserTest, EmptyBodies) {
  for (const char* text : {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                           "HTTP/1.1 204 No Content\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    const Parsed got = parse(text, 1);
    EXPECT_TRUE(got.reply.complete()) << text;
    EXPECT_EQ(got.body, "");
  }
}

TEST(ResponseParserTest, RefusesWhatIsNoHttp) {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& text : {std::string("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
                                  std::string("HTTP/2 200\r\n\r\n"),
                                  std::string("HTTP/1.1 abc\r\n\r\n"),
                                  std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
                                  std::string("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
                                  std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
                                  std::string(70'000, 'x'),
                                  chunked + "xyz\r\n",
                                  chunked + "-5\r\n",
                                  chunked + "FFFFFFFFFFFFFFFFF\r\n",
                                  chunked + "2\r\nabc\r\n0\r\n\r\n",
                                  chunked + std::string(5000, '1')}) {
    for (const size_t piece : {size_t{1}, text.size()}) {
      const Parsed got = parse(text, piece);
      EXPECT_FALSE(got.status.ok()) << text.substr(0, 80);
    }
  }
}

}  // namespace
}  // namespace tutti::http
