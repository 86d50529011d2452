// What a request forbids, from the request to the text: min_tokens, bad words, allowed ids, bias.
#include <algorithm>

#include <gtest/gtest.h>

#include "engine/request_rules.h"
#include "engine/text_engine_fakes.h"

namespace tutti {
namespace {

std::vector<int32_t> range(int32_t first, int32_t last) {
  std::vector<int32_t> out;
  for (int32_t i = first; i <= last; ++i) {
    out.push_back(i);
  }
  return out;
}

TEST(TextEngineRules, NoEndComesBeforeMinTokens) {
  int64_t early = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (const int64_t least : {0, 1, 7, 30}) {
      Harness h({});
      GenerationRequest request = prompt();
      request.sampling.seed = seed;
      request.stop_token_ids = range(200, 298);  // a third of all tokens, and EOS is 299
      request.min_tokens = least;
      request.max_tokens = 60;
      const auto sink = h.run(request);
      const std::vector<int32_t> said = sink->tokens();
      EXPECT_GE(ssize(said.size()), least) << "seed " << seed;
      EXPECT_TRUE(std::all_of(said.begin(), said.end(), [](int32_t t) { return t < 200; }));
      early += least == 0 && said.size() < 7 ? 1 : 0;
      const LogitRulesPtr rules = make_rules(request, std::vector<int32_t>{kEos}, nullptr).value();
      EXPECT_EQ(rules == nullptr, least == 0);
      std::vector<int32_t> ends = request.stop_token_ids;
      ends.push_back(kEos);
      EXPECT_EQ(said, fake_output({1, 2, 3}, request.sampling, 0, 60, ends, 300, rules));
    }
  }
  EXPECT_GT(early, 10) << "without min_tokens most end soon";
}

TEST(TextEngineRules, NoStopStringEndsBeforeMinTokens) {
  // "xyxyxy" token by token; "xy" ends with the second, fourth, sixth.
  const struct {
    int64_t min_tokens;
    const char* content;
    size_t tokens;
  } cases[] = {{0, "", 2}, {1, "", 2}, {2, "xy", 4}, {3, "xy", 4}, {4, "xyxy", 6}, {5, "xyxy", 6}};

  for (const auto& c : cases) {
    Harness h({"x", "y"}, {0, 1, 0, 1, 0, 1});
    GenerationRequest request = prompt();
    request.stop = {"xy"};
    request.min_tokens = c.min_tokens;
    const auto sink = h.run(request);
    EXPECT_EQ(sink->content(), c.content) << c.min_tokens;
    EXPECT_EQ(sink->usage().completion_tokens, ssize(c.tokens)) << c.min_tokens;
    EXPECT_EQ(sink->finish(), FinishReason::kStop);
  }
}

TEST(TextEngineRules, MinTokensAboveMaxTokensIsRefused) {
  Harness h({"a"}, {0});
  GenerationRequest request = prompt();
  request.min_tokens = 4;
  request.max_tokens = 3;
  const auto id = h.start().generate(request, std::make_shared<RecordingSink>());
  EXPECT_EQ(id.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(id.status().param(), "min_tokens");
}

TEST(TextEngineRules, BadWordsNeverAppearWithOrWithoutASpace) {
  int64_t without = 0;
  const std::vector<std::string> pieces = {"a", "b", " ", "c", " c"};
  const auto has = [](const std::string& text, const char* word) {
    return text.find(word) != std::string::npos;
  };
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    for (const bool banned : {false, true}) {
      Harness h(pieces);
      GenerationRequest request = prompt();
      request.sampling.seed = seed;
      request.allowed_token_ids = {0, 1, 2, 3, 4};
      request.max_tokens = 60;
      request.n = 2;
      if (banned) {
        request.bad_words = {"ab", " c", "bb"};
      }
      const auto sink = h.run(request);
      for (size_t choice = 0; choice < 2; ++choice) {
        EXPECT_EQ(sink->tokens(choice).size(), 60U);
        const std::string text = sink->content(choice);
        const bool hit = has(text, "ab") || has(text, "c") || has(text, "bb");
        EXPECT_FALSE(banned && hit) << "seed " << seed << ": " << text;
        without += !banned && hit ? 1 : 0;
      }
    }
  }
  EXPECT_GT(without, 50) << "unbanned they are common";
}

TEST(TextEngineRules, ABadWordIsTwoSequences) {
  const FakeTokenText text({"go", " go", "al", "x", " "});
  const auto words = [&](std::vector<std::string> bad) {
    GenerationRequest request;
    request.bad_words = std::move(bad);
    return make_rules(request, {}, &text).value()->bad_words;
  };
  using Words = std::vector<std::vector<int32_t>>;
  EXPECT_EQ(words({"goal"}), (Words{{0, 2}, {1, 2}}));
  EXPECT_EQ(words({"  goal"}), (Words{{0, 2}, {1, 2}}));  // spaces before it do not matter
  EXPECT_EQ(words({"x"}), (Words{{3}}));                  // " x" ends with it
  EXPECT_EQ(words({"go", "goal"}), (Words{{0}, {1}, {0, 2}, {1, 2}}));
  EXPECT_EQ(words({"al", "goal"}), (Words{{2}}));
  EXPECT_EQ(words({" "}), (Words{{4}}));
  GenerationRequest unknown;
  unknown.bad_words = {"x", "?"};
  EXPECT_EQ(make_rules(unknown, {}, &text).status().param(), "bad_words[1]");
}

TEST(TextEngineRules, ARequestThatForbidsEverythingEndsAlone) {
  Harness h({});
  h.start();
  GenerationRequest request = prompt();
  request.allowed_token_ids = {kEos};
  request.min_tokens = 1;
  const auto sink = h.run(request);
  EXPECT_EQ(sink->status().code(), StatusCode::kInvalidArgument);
  GenerationRequest other = prompt();
  other.max_tokens = 5;
  EXPECT_TRUE(h.run(other)->status().ok());
}

TEST(TextEngineRules, BadWordsNeedATokenizer) {
  Harness h({});
  h.parts.text = nullptr;
  GenerationRequest request = prompt();
  request.bad_words = {"a"};
  const auto id = h.start().generate(request, std::make_shared<RecordingSink>());
  EXPECT_EQ(id.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(id.status().param(), "bad_words");
}

TEST(TextEngineRules, LimitsOfTheEngineItself) {
  const auto verdict = [](const GenerationRequest& request) {
    Harness h({});
    const auto id = h.start().generate(request, std::make_shared<RecordingSink>());
    return id.ok() ? std::string() : id.status().param();
  };
  GenerationRequest request = prompt();
  request.max_tokens = 1;
  request.logit_bias = {{.token = 299, .bias = 100.0F}, {.token = 0, .bias = -100.0F}};
  EXPECT_EQ(verdict(request), "");
  request.logit_bias[0].token = 300;
  EXPECT_EQ(verdict(request), "logit_bias");
  request.logit_bias[0] = {.token = 1, .bias = 100.5F};
  EXPECT_EQ(verdict(request), "logit_bias");
  request.logit_bias = {};
  request.allowed_token_ids = {-1};
  EXPECT_EQ(verdict(request), "allowed_token_ids");
  request.allowed_token_ids = {};
  request.bad_words = {"\xFF"};
  EXPECT_EQ(verdict(request), "bad_words[0]");
  request.bad_words = {std::string(4097, 'x')};
  EXPECT_EQ(verdict(request), "bad_words[0]");
}

}  // namespace
}  // namespace tutti
