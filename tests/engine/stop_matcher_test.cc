#include "engine/stop_matcher.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace tutti {
namespace {

/// By the definition: the text before the match that ends first, of those the longest.
std::string expected(const std::string& text, const std::vector<std::string>& stops, bool* hit) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) {
      *hit = true;
      return text.substr(0, end - longest);
    }
  }
  *hit = false;
  return text;
}

TEST(StopMatcher, WithoutStopsTextPasses) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("abc"), "abc");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBegin) {
  StopMatcher matcher({"STOP"});
  EXPECT_EQ(matcher.push("ab ST"), "ab ");
  EXPECT_EQ(matcher.push("A"), "STA");
  EXPECT_EQ(matcher.push("STO"), "");
  EXPECT_EQ(matcher.finish(), "STO");
}

TEST(StopMatcher, DropsEverythingAfterTheMatch) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.push("aENDb"), "a");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, CountsOnlyMatchesThatMayEnd) {
  StopMatcher matcher({"abab"});
  EXPECT_EQ(matcher.push("xabab", /*may_end=*/false), "xab");  // "ab" may begin the next one
  EXPECT_FALSE(matcher.matched());
  EXPECT_EQ(matcher.push("a", false), "");
  EXPECT_EQ(matcher.push("b"), "");  // begun before, ended now
  EXPECT_TRUE(matcher.matched());

  StopMatcher none({"aa"});
  EXPECT_EQ(none.push("aaaa", false), "aaa");
  EXPECT_EQ(none.push("b"), "ab");
  EXPECT_EQ(none.finish(), "");
  EXPECT_FALSE(none.matched());
}

TEST(StopMatcher, OverlappingPrefixesFallBack) {
  StopMatcher matcher({"aab"});
  EXPECT_EQ(matcher.push("aaa"), "a");
  EXPECT_EQ(matcher.push("b"), "");
  EXPECT_TRUE(matcher.matched());
}

TEST(StopMatcher, MatchesTheDefinitionHoweverTheTextIsCut) {
  const unsigned seed = 11;
  std::mt19937 rng(seed);
  const auto word = [&](unsigned low, unsigned high) {
    std::string s(low + rng() % (high - low + 1), 'a');
    for (char& c : s) {
      c = static_cast<char>('a' + rng() % 3);
    }
    return s;
  };
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops;
    for (unsigned i = 0; i < 1 + rng() % 3; ++i) {
      stops.push_back(word(1, 5));
    }
    const std::string text = word(0, 24);
    bool hit = false;
    const std::string want = expected(text, stops, &hit);
    StopMatcher matcher(stops);
    std::string got;
    for (size_t pos = 0; pos < text.size();) {
      const size_t length = std::min<size_t>(1 + rng() % 4, text.size() - pos);
      got += matcher.push(text.substr(pos, length));
      ASSERT_TRUE(want.starts_with(got)) << "sent part of a stop string, seed=" << seed;
      pos += length;
    }
    got += matcher.finish();
    ASSERT_EQ(got, want) << "round " << round << " seed=" << seed;
    ASSERT_EQ(matcher.matched(), hit);
  }
}

TEST(StopMatcher, SaysWhichStringMatched) {
  StopMatcher matcher({"END", "ND", "stop"});
  EXPECT_EQ(matcher.match(), "");
  EXPECT_EQ(matcher.push("so far EN"), "so far ");
  EXPECT_EQ(matcher.match(), "");
  EXPECT_EQ(matcher.push("D and on"), "");
  EXPECT_EQ(matcher.match(), "END");
}

}  // namespace
}  // namespace tutti
