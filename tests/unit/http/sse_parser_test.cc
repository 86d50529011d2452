#include "http/sse_parser.h"

#include <vector>

#include <gtest/gtest.h>

namespace tutti::http {
namespace {

std::vector<std::string> parse(std::string_view text, size_t piece) {
  SseParser parser;
  std::vector<std::string> events;
  for (size_t at = 0; at < text.size(); at += piece) {
    EXPECT_TRUE(parser.feed(text.substr(at, piece),
                            [&](std::string_view data) { events.emplace_back(data); }));
  }
  return events;
}

TEST(SseParserTest, SplitAnywhereGivesTheSameEvents) {
  const std::string text =
      "\xEF\xBB\xBF"
      "data: {\"a\":1}\n\n"
      ": keep-alive\n\n"
      "event: x\nid: 7\ndata: two\ndata:lines\n\n"
      "data: windows\r\n\r\n"
      "data: mac\r\r"
      "data\n\n"
      "data:  one space is kept\n\n"
      "database: no\n\n"
      "data: [DONE]\n\n";
  const std::vector<std::string> wanted{
      R"({"a":1})", "two\nlines", "windows", "mac", "", " one space is kept", "[DONE]"};
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    EXPECT_EQ(parse(text, piece), wanted) << "pieces of " << piece;
  }
}

TEST(SseParserTest, AnEventWithoutItsEndIsNotGiven) {
  SseParser parser;
  int events = 0;
  const auto count = [&](std::string_view) { ++events; };
  EXPECT_TRUE(parser.feed("data: half", count));
  EXPECT_TRUE(parser.pending());
  EXPECT_TRUE(parser.feed("\n", count));
  EXPECT_TRUE(parser.pending());
  EXPECT_EQ(events, 0);
  EXPECT_TRUE(parser.feed("\n", count));
  EXPECT_FALSE(parser.pending());
  EXPECT_EQ(events, 1);
}

TEST(SseParserTest, MemoryIsBounded) {
  SseParser parser(100);
  const auto ignore = [](std::string_view) {};
  EXPECT_TRUE(parser.feed(std::string(100, 'x'), ignore));
  EXPECT_FALSE(parser.feed("y", ignore));
  SseParser lines(100);
  bool ok = true;
  for (int i = 0; i < 20 && ok; ++i) {
    ok = lines.feed("data: 0123456789\n", ignore);
  }
  EXPECT_FALSE(ok);
  lines.reset();
  EXPECT_TRUE(lines.feed("data: x\n\n", ignore));
}

}  // namespace
}  // namespace tutti::http
