// Keys of a server: who may what, limits by a clock of the test, comparisons that tell nothing.
#include "serve/key_ring.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/allowed_hosts.h"

namespace tutti {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

HttpHead with_key(const std::string& key) {
  HttpHead head;
  head.headers.push_back({"authorization", "Bearer " + key});
  return head;
}

int status_of(const KeyRing& ring, const std::string& key, KeyScope scope = KeyScope::kInference) {
  const auto pass = ring.check(with_key(key), scope);
  return pass.error ? pass.error->http_status : 200;
}

TEST(KeyUse, AMinutesWorthAtOnceThenSteadily) {
  const auto begin = KeyUse::Clock::now();
  KeyUse use({.requests = 60, .tokens = 0}, begin);
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(use.begin(begin)) << i;
  }
  const auto refused = use.begin(begin);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->http_status, 429);
  EXPECT_THAT(refused->message, HasSubstr("60 requests a minute; try again in 1 s"));
  EXPECT_TRUE(use.begin(begin + 900ms));
  EXPECT_FALSE(use.begin(begin + 1100ms));
  EXPECT_TRUE(use.begin(begin + 1200ms));
  // It never saves up more than a minute.
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(use.begin(begin + 3h)) << i;
  }
  EXPECT_TRUE(use.begin(begin + 3h));
}

TEST(KeyUse, TokensMayOverdrawAndAreWaitedFor) {
  const auto begin = KeyUse::Clock::now();
  KeyUse use({.requests = 0, .tokens = 600}, begin);
  EXPECT_FALSE(use.begin(begin));
  use.spend(900, begin);
  const auto refused = use.begin(begin);
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->message, HasSubstr("600 tokens a minute; try again in 31 s"));
  EXPECT_TRUE(use.begin(begin + 30s));
  EXPECT_FALSE(use.begin(begin + 31s));
  use.spend(-400, begin + 31s);  // less than was thought
  EXPECT_FALSE(use.begin(begin + 31s));
}

TEST(KeyUse, TimeThatRunsBackwardsGivesNothing) {
  const auto begin = KeyUse::Clock::now();
  KeyUse use({.requests = 1, .tokens = 0}, begin);
  EXPECT_FALSE(use.begin(begin));
  EXPECT_TRUE(use.begin(begin - 1h));
  EXPECT_TRUE(use.begin(begin + 59s));
  EXPECT_FALSE(use.begin(begin + 61s));
}

TEST(KeyRing, WhoMayWhat) {
  KeyRing ring;
  EXPECT_FALSE(ring.required());
  EXPECT_EQ(status_of(ring, "anything"), 200);
  ring.set({{.name = "user", .digest = digest_of("u")},
            {.name = "boss", .digest = digest_of("b"), .inference = false, .manage = true},
            {.name = "old", .digest = digest_of("o"), .expires_unix = 1}});
  EXPECT_TRUE(ring.required());
  EXPECT_EQ(status_of(ring, "u"), 200);
  EXPECT_EQ(status_of(ring, "u", KeyScope::kManage), 403);
  EXPECT_EQ(status_of(ring, "u", KeyScope::kMetrics), 403);
  EXPECT_EQ(status_of(ring, "u", KeyScope::kAny), 200);
  EXPECT_EQ(status_of(ring, "b"), 403);
  EXPECT_EQ(status_of(ring, "b", KeyScope::kManage), 200);
  EXPECT_EQ(status_of(ring, "o", KeyScope::kAny), 401);
  EXPECT_EQ(status_of(ring, "x", KeyScope::kAny), 401);
  ring.add_master(digest_of("m"));
  for (const KeyScope scope : {KeyScope::kInference, KeyScope::kManage, KeyScope::kMetrics}) {
    EXPECT_EQ(status_of(ring, "m", scope), 200);
  }
  ring.set({});
  EXPECT_EQ(status_of(ring, "u"), 401);
  EXPECT_EQ(status_of(ring, "m"), 200);
}

TEST(KeyRing, AServerThatOthersReachIsNeverOpen) {
  KeyRing ring;
  ring.always_require();
  EXPECT_TRUE(ring.required());
  EXPECT_EQ(status_of(ring, "anything"), 401);
}

TEST(KeyRing, ChangesOfOthersForgetNothing) {
  KeyRing ring;
  const KeyGrant limited{.name = "a", .digest = digest_of("a"), .limits = {.requests = 1}};
  ring.set({limited});
  EXPECT_EQ(status_of(ring, "a"), 200);
  ring.set({limited, {.name = "b", .digest = digest_of("b")}});
  EXPECT_EQ(status_of(ring, "a"), 429);
}

// the time of a comparison does not tell how much of a digest was right.
TEST(ApiKey, A05_ComparisonsTakeTheSameTime) {
  const KeyDigest right = digest_of("right");
  KeyDigest far = right;
  far[0] ^= 1U;
  KeyDigest near = right;
  near[31] ^= 1U;
  const auto batch = [&](const KeyDigest& other) {
    const auto begin = std::chrono::steady_clock::now();
    bool any = false;
    for (int i = 0; i < 2000; ++i) {
      any = same_digest(right, other) || any;
    }
    EXPECT_FALSE(any);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  double ratio = 0;
  for (int attempt = 0; attempt < 5; ++attempt) {  // others use this machine
    std::vector<double> of_far;
    std::vector<double> of_near;
    for (int i = 0; i < 200; ++i) {
      of_far.push_back(batch(far));
      of_near.push_back(batch(near));
    }
    std::nth_element(of_far.begin(), of_far.begin() + 100, of_far.end());
    std::nth_element(of_near.begin(), of_near.begin() + 100, of_near.end());
    ratio = of_near[100] / of_far[100];
    if (ratio > 0.95 && ratio < 1.05) {
      return;
    }
  }
  FAIL() << "31 right bytes take " << ratio << " times as long as none";
}

TEST(AllowedHosts, NamesWithoutPorts) {
  const auto hosts = AllowedHosts::parse("chat.example, 10.0.0.5,[fd00::1]");
  ASSERT_TRUE(hosts.ok()) << hosts.status().message();
  for (const char* good :
       {"chat.example", "CHAT.example:9997", "10.0.0.5:80", "[fd00::1]", "[fd00::1]:9997"}) {
    EXPECT_TRUE(hosts->allows(good)) << good;
  }
  for (const char* bad :
       {"evil.example", "chat.example.evil.test", "a.chat.example", "10.0.0.50", ""}) {
    EXPECT_FALSE(hosts->allows(bad)) << bad;
  }
  EXPECT_TRUE(AllowedHosts::parse("*")->allows("anything"));
  EXPECT_FALSE(AllowedHosts::parse("")->any_given());
  for (const char* wrong : {"http://chat.example", "chat.example:80", "a b", "chat.example/x"}) {
    EXPECT_FALSE(AllowedHosts::parse(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace tutti
