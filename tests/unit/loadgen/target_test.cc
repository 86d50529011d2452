#include "loadgen/target.h"

#include <gtest/gtest.h>

#include "loadgen/load_run.h"

namespace tutti::loadgen {
namespace {

TEST(TargetTest, UrlsInEveryForm) {
  struct Case {
    const char* url;
    const char* host;
    int port;
    const char* base;
  };

  for (const Case& c : {Case{"http://127.0.0.1:9997", "127.0.0.1", 9997, "/v1"},
                        Case{"http://host:80/", "host", 80, "/v1"},
                        Case{"host", "host", 80, "/v1"},
                        Case{"localhost:8000/v1/", "localhost", 8000, "/v1"},
                        Case{"http://proxy/llm/v1", "proxy", 80, "/llm/v1"},
                        Case{"http://[::1]:8000", "::1", 8000, "/v1"},
                        Case{"http://[::1]", "::1", 80, "/v1"}}) {
    const auto got = Target::parse(c.url);
    ASSERT_TRUE(got.ok()) << c.url << ": " << got.status().message();
    EXPECT_EQ(got->server.host, c.host) << c.url;
    EXPECT_EQ(got->server.port, c.port) << c.url;
    EXPECT_EQ(got->base_path, c.base) << c.url;
  }
}

TEST(TargetTest, RefusesOtherUrls) {
  for (const char* url : {"",
                          "http://",
                          "https://host",
                          "ftp://host",
                          "http://host:0",
                          "http://host:65536",
                          "http://host:x",
                          "http://host:",
                          "http://a b",
                          "http://user:pass@host",
                          "http://host\r\nX: y"}) {
    const auto got = Target::parse(url);
    ASSERT_FALSE(got.ok()) << url;
    EXPECT_NE(got.status().message().find("‹url›"), std::string::npos) << url;
  }
}

TEST(SloTest, ParsesAndRefuses) {
  const auto slo = Slo::parse("ttft:500,tpot:50.5,e2el:1e4");
  ASSERT_TRUE(slo.ok());
  EXPECT_EQ(slo->ttft_ms, 500);
  EXPECT_EQ(slo->tpot_ms, 50.5);
  EXPECT_EQ(slo->e2el_ms, 10000);
  EXPECT_FALSE(Slo::parse("")->any());
  for (const char* text :
       {"ttft", "ttft:", "ttft:x", "ttft:0", "ttft:-1", "x:5", "ttft:5;tpot:6", ",", "ttft:nan"}) {
    EXPECT_FALSE(Slo::parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace tutti::loadgen
