#include "engine/text_engine.h"

#include <limits>

#include <gtest/gtest.h>

#include "engine/text_engine_fakes.h"
#include "text/chat_template.h"

namespace tutti {
namespace {

TEST(TextEngine, EosEndsAndIsNotCounted) {
  Harness h({"a", "b"}, {0, 1, 1});
  const auto sink = h.run(prompt());
  EXPECT_EQ(sink->content(), "abb");
  EXPECT_EQ(sink->tokens(), (std::vector<int32_t>{0, 1, 1}));
  EXPECT_EQ(sink->finish(), FinishReason::kStop);
  EXPECT_EQ(sink->usage().prompt_tokens, 3);
  EXPECT_EQ(sink->usage().completion_tokens, 3);
  ASSERT_TRUE(h.engine->drain(std::chrono::seconds(30)));
  const EngineStats stats = h.engine->stats();
  EXPECT_EQ(stats.requests_finished, 1U);
  EXPECT_EQ(stats.prompt_tokens, 3U);
  EXPECT_EQ(stats.generated_tokens, 3U);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.requests_running, 0);
}

TEST(TextEngine, IgnoreEosGoesOnToTheLimit) {
  Harness h({"a"}, {0, kEos, 0});
  GenerationRequest request = prompt();
  request.ignore_eos = true;
  request.max_tokens = 3;
  const auto sink = h.run(request);
  EXPECT_EQ(sink->content(), "a<299>a");
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
  EXPECT_EQ(sink->usage().completion_tokens, 3);
}

TEST(TextEngine, StopTokenIdsEndLikeEos) {
  Harness h({"a", "b", "c"}, {0, 1, 2, 0});
  GenerationRequest request = prompt();
  request.stop_token_ids = {2};
  const auto sink = h.run(request);
  EXPECT_EQ(sink->content(), "ab");
  EXPECT_EQ(sink->finish(), FinishReason::kStop);
  EXPECT_EQ(sink->usage().completion_tokens, 2);
}

TEST(TextEngine, MaxTokensIsClampedToTheContext) {
  Harness h({"a"});
  GenerationRequest request = prompt(std::vector<int32_t>(125, 1));
  request.ignore_eos = true;
  request.max_tokens = INT64_MAX;
  auto sink = h.run(request);
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
  EXPECT_EQ(sink->usage().completion_tokens, 3);
  request.max_tokens = std::nullopt;
  sink = h.run(request);
  EXPECT_EQ(sink->usage().completion_tokens, 3);
}

TEST(TextEngine, MaxTokensThatMustFitAreRefusedBeyondTheRoom) {
  Harness h({"a"});
  GenerationRequest request = prompt(std::vector<int32_t>(125, 1));
  request.ignore_eos = true;
  request.max_tokens_must_fit = true;
  EXPECT_EQ(h.run(request)->usage().completion_tokens, 3);  // no number: all the room
  request.max_tokens = 3;
  EXPECT_EQ(h.run(request)->usage().completion_tokens, 3);
  for (const int64_t many : {int64_t{4}, int64_t{5000}, INT64_MAX}) {
    request.max_tokens = many;
    const auto id = h.engine->generate(request, std::make_shared<RecordingSink>());
    ASSERT_FALSE(id.ok()) << many;
    EXPECT_EQ(id.status().code(), StatusCode::kContextLength);
    EXPECT_EQ(id.status().param(), "max_tokens");
    for (const char* part : {"125 tokens", "at most 3", "128"}) {
      EXPECT_NE(id.status().message().find(part), std::string::npos) << id.status().message();
    }
  }
}

TEST(TextEngine, AStopStringIsFoundAtEverySplit) {
  const std::string text = "Grüße an alle STOP und mehr";
  const std::string before = text.substr(0, text.find("STOP"));
  for (const size_t per_step : {size_t{1}, size_t{2}, size_t{3}}) {
    for (size_t i = 0; i <= text.size(); ++i) {
      for (size_t j = i; j <= text.size(); j += 3) {
        Harness h({text.substr(0, i), text.substr(i, j - i), text.substr(j)}, {0, 1, 2}, per_step);
        GenerationRequest request = prompt();
        request.stop = {"never", "STOP"};
        const auto sink = h.run(request);
        ASSERT_EQ(sink->content(), before) << "cut at " << i << " and " << j;
        ASSERT_EQ(sink->finish(), FinishReason::kStop);
        for (const GenerationDelta& delta : sink->deltas()) {
          ASSERT_EQ(text_of(delta.events, OutputEvent::Kind::kText).find_first_of("STOP"),
                    std::string::npos);
        }
      }
    }
  }
}

TEST(TextEngine, AStopStringTellsTheEngineToEnd) {
  Harness h({"ab", "cd"}, std::vector<int32_t>(100, 0));
  GenerationRequest request = prompt();
  request.stop = {"baba"};
  auto sink = h.run(request);
  EXPECT_EQ(sink->content(), "a");
  EXPECT_EQ(sink->usage().completion_tokens, 3);
  // The sequence itself ends before its 125 tokens are made.
  ASSERT_TRUE(h.engine->drain(std::chrono::seconds(30)));
  EXPECT_EQ(h.engine->stats().kv_blocks_used, 0);
}

TEST(TextEngine, HeldTextComesOutWhenNoStopFollows) {
  Harness h({"ab ST", "O"}, {0, 1});
  GenerationRequest request = prompt();
  request.stop = {"STOP"};
  EXPECT_EQ(h.run(request)->content(), "ab STO");
}

TEST(TextEngine, CharactersAreNeverCut) {
  const std::string text = "a\u00e9\u20ac\U0001F600z";
  std::vector<std::string> bytes;
  std::vector<int32_t> script;
  for (const char c : text) {
    script.push_back(static_cast<int32_t>(bytes.size()));
    bytes.emplace_back(1, c);
  }
  Harness h(bytes, script);
  const auto sink = h.run(prompt());
  EXPECT_EQ(sink->content(), text);
  EXPECT_EQ(sink->tokens(), script);
  EXPECT_EQ(sink->usage().completion_tokens, static_cast<int64_t>(text.size()));
}

TEST(TextEngine, AnUnfinishedCharacterEndsAsReplacement) {
  Harness h({"a\xe2\x82"}, {0});
  EXPECT_EQ(h.run(prompt())->content(), "a\ufffd");
}

TEST(TextEngine, LogprobsComeOnePerToken) {
  Harness h({"a", "\xe2", "\x82\xac"}, {0, 1, 2});
  GenerationRequest request = prompt();
  request.sampling.top_logprobs = 1;
  const auto sink = h.run(request);
  std::vector<TokenLogprobs> all;
  for (const GenerationDelta& delta : sink->deltas()) {
    EXPECT_EQ(delta.tokens.size(), delta.logprobs.size());
    all.insert(all.end(), delta.logprobs.begin(), delta.logprobs.end());
  }
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1].bytes, "\xe2");
  EXPECT_EQ(all[2].logprob, -0.5F);
  ASSERT_EQ(all[0].top.size(), 1U);
  EXPECT_EQ(all[0].top[0].bytes, "a");
}

TEST(TextEngine, ChoicesAreIndependent) {
  Harness h({});
  GenerationRequest request = prompt();
  request.n = 5;
  request.max_tokens = 20;
  request.ignore_eos = true;
  request.sampling.seed = 99;
  const auto sink = h.run(request);
  for (int32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(sink->tokens(static_cast<size_t>(i)),
              fake_output({1, 2, 3}, request.sampling, i, 20, {}, 300));
    EXPECT_EQ(sink->finish(static_cast<size_t>(i)), FinishReason::kLength);
  }
  EXPECT_NE(sink->tokens(0), sink->tokens(1));
  EXPECT_EQ(sink->usage().completion_tokens, 100);
  EXPECT_EQ(sink->usage().prompt_tokens, 3);
  EXPECT_EQ(h.engine->stats().requests_finished, 1U);
}

TEST(TextEngine, TheUsageSaysWhatWasCached) {
  Harness h({"a"}, {0, 0});
  const std::vector<int32_t> ids(11, 5);  // blocks of 4
  EXPECT_EQ(h.run(prompt(ids))->usage().cached_prompt_tokens, 0);
  EXPECT_EQ(h.run(prompt(ids))->usage().cached_prompt_tokens, 8);
  EXPECT_EQ(h.engine->stats().prefix_cache_hits, 8U);
  EXPECT_EQ(h.engine->stats().prefix_cache_queries, 22U);
  GenerationRequest request = prompt(ids);
  request.cache_salt = "mine";
  EXPECT_EQ(h.run(request)->usage().cached_prompt_tokens, 0);
  request.n = 3;
  EXPECT_EQ(h.run(request)->usage().cached_prompt_tokens, 8);

  Harness off({"a"}, {0, 0});
  off.parts.engine.prefix_cache = false;
  off.run(prompt(ids));
  EXPECT_EQ(off.run(prompt(ids))->usage().cached_prompt_tokens, 0);
  EXPECT_EQ(off.engine->stats().prefix_cache_queries, 0U);
}

TEST(TextEngine, WithoutATokenizerDeltasHoldIds) {
  Harness h({}, {5, 6});
  h.parts.text = nullptr;
  const auto sink = h.run(prompt());
  EXPECT_EQ(sink->tokens(), (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(sink->content(), "");
  GenerationRequest request = prompt();
  request.stop = {"x"};
  EXPECT_EQ(h.engine->generate(request, sink).status().code(), StatusCode::kUnsupported);
}

// --- Refusals ---------------------------------------------------------------------------------

struct BadCase {
  const char* param;
  StatusCode code;
  void (*change)(GenerationRequest&);
};

TEST(TextEngine, RefusesBadRequestsNamingTheField) {
  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  static constexpr float kInf = std::numeric_limits<float>::infinity();
  const StatusCode bad = StatusCode::kInvalidArgument;
  const std::vector<BadCase> cases = {
      {"prompt", bad, [](auto& r) { r.prompt.clear(); }},
      {"prompt", bad, [](auto& r) { r.prompt[1] = -1; }},
      {"prompt", bad, [](auto& r) { r.prompt[1] = 300; }},
      {"prompt", StatusCode::kContextLength, [](auto& r) { r.prompt.assign(128, 1); }},
      {"max_tokens", bad, [](auto& r) { r.max_tokens = 0; }},
      {"n", bad, [](auto& r) { r.n = 0; }},
      {"n", bad, [](auto& r) { r.n = 129; }},
      {"temperature", bad, [](auto& r) { r.sampling.temperature = -0.1F; }},
      {"temperature", bad, [](auto& r) { r.sampling.temperature = kNan; }},
      {"temperature", bad, [](auto& r) { r.sampling.temperature = kInf; }},
      {"top_p", bad, [](auto& r) { r.sampling.top_p = 0.0F; }},
      {"top_p", bad, [](auto& r) { r.sampling.top_p = 1.1F; }},
      {"top_p", bad, [](auto& r) { r.sampling.top_p = kNan; }},
      {"min_p", bad, [](auto& r) { r.sampling.min_p = kNan; }},
      {"min_p", bad, [](auto& r) { r.sampling.min_p = 1.5F; }},
      {"top_k", bad, [](auto& r) { r.sampling.top_k = -2; }},
      {"presence_penalty", bad, [](auto& r) { r.sampling.presence_penalty = 2.5F; }},
      {"frequency_penalty", bad, [](auto& r) { r.sampling.frequency_penalty = kNan; }},
      {"repetition_penalty", bad, [](auto& r) { r.sampling.repetition_penalty = 0.0F; }},
      {"repetition_penalty", bad, [](auto& r) { r.sampling.repetition_penalty = kInf; }},
      {"top_logprobs", bad, [](auto& r) { r.sampling.top_logprobs = 21; }},
      {"cache_salt", bad, [](auto& r) { r.cache_salt.assign(1025, 'x'); }},
      {"stop[1]",
       bad,
       [](auto& r) {
         r.stop = {"a", ""};
       }},
      {"stop[0]", bad, [](auto& r) { r.stop = {"\xff"}; }},
      {"stop[0]", bad, [](auto& r) { r.stop = {std::string(5000, 'x')}; }},
      {"stop", bad, [](auto& r) { r.stop.assign(33, "x"); }},
      {"stop_token_ids", bad, [](auto& r) { r.stop_token_ids = {300}; }},
      {"stop_token_ids", bad, [](auto& r) { r.stop_token_ids.assign(2000, 1); }},
  };
  Harness h({});
  h.start();
  for (const BadCase& c : cases) {
    GenerationRequest request = prompt();
    c.change(request);
    const auto sink = std::make_shared<RecordingSink>();
    const auto id = h.engine->generate(request, sink);
    ASSERT_FALSE(id.ok()) << c.param;
    EXPECT_EQ(id.status().code(), c.code) << id.status().message();
    EXPECT_EQ(id.status().param(), c.param) << id.status().message();
  }
  EXPECT_EQ(h.engine->stats().prompt_tokens, 0U);
}

TEST(TextEngine, TooLongPromptsAreRefusedWithNumbers) {
  Harness h({});
  h.start();
  const auto sink = std::make_shared<RecordingSink>();
  const auto id = h.engine->generate(prompt(std::vector<int32_t>(500, 1)), sink);
  EXPECT_EQ(id.status().message().substr(0, 44), "prompt has 500 tokens, the context is 128 (p");
}

TEST(TextEngine, APromptLargerThanTheKvMemoryIsRefusedAtOnce) {
  Harness h({});
  h.limits.num_blocks = 10;
  h.parts.runner = std::make_unique<FakeModelRunner>(h.limits);
  h.start();
  EXPECT_EQ(h.engine->info().max_context, 40);
  const auto sink = std::make_shared<RecordingSink>();
  const auto id = h.engine->generate(prompt(std::vector<int32_t>(40, 1)), sink);
  EXPECT_EQ(id.status().code(), StatusCode::kOutOfMemory);
  EXPECT_NE(id.status().message().find("holds 40"), std::string::npos) << id.status().message();
}

// --- Reasoning --------------------------------------------------------------------------------

TEST(TextEngine, ReasoningIsSplitFromTheAnswer) {
  Harness h({"<think>", "so ", "it is", "</think>", "\n\n", "42"}, {0, 1, 2, 3, 4, 5});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  auto sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "so it is");
  EXPECT_EQ(sink->content(), "42");
  EXPECT_EQ(sink->tokens(), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(sink->usage().completion_tokens, 6);
  EXPECT_EQ(sink->usage().reasoning_tokens, 3);  // the closing mark is still reasoning

  request.form.reasoning = nullptr;
  EXPECT_EQ(h.run(request)->content(), "<think>so it is</think>\n\n42");
}

TEST(TextEngine, ReasoningMayBeOpenedByThePrompt) {
  Harness h({"so", "</th", "ink>", "42"}, {0, 1, 2, 3});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  request.form.reasoning_open = true;
  const auto sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "so");
  EXPECT_EQ(sink->content(), "42");
}

// The answer is what stop strings are for: the same text in the reasoning ends nothing.
TEST(TextEngine, StopStringsDoNotEndTheReasoning) {
  Harness h({"<think>", "a END b", "</think>", "\n\n", "c E", "ND d"}, {0, 1, 2, 3, 4, 5});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  request.stop = {"END", "</think>"};
  const auto sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "a END b");
  EXPECT_EQ(sink->content(), "c ");
  EXPECT_EQ(sink->finish(), FinishReason::kStop);
  // Raw completions know no reasoning.
  request.form.reasoning = nullptr;
  EXPECT_EQ(h.run(request)->content(), "<think>a ");
}

TEST(TextEngine, AClosingMarkThatNothingOpened) {
  Harness h({"so", "</th", "ink>", "\n\n42 </think>"}, {0, 1, 2, 3});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  // A stream has shown the text when the mark comes.
  auto sink = h.run(request);
  EXPECT_EQ(sink->content(), "so</think>\n\n42 </think>");
  EXPECT_EQ(sink->reasoning(), "");
  EXPECT_EQ(sink->usage().reasoning_tokens, 3);
  request.whole = true;
  sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "so");
  EXPECT_EQ(sink->content(), "42 </think>");
  EXPECT_EQ(sink->usage().reasoning_tokens, 3);
  // A template that closed the reasoning itself has left none.
  request.form.reasoning_closed = true;
  sink = h.run(request);
  EXPECT_EQ(sink->content(), "so</think>\n\n42 </think>");
  EXPECT_EQ(sink->usage().reasoning_tokens, 0);
  // One reasoning is enough: a mark in the answer is text.
  request.form.reasoning_closed = false;
  request.form.reasoning_open = true;
  sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "so");
  EXPECT_EQ(sink->content(), "42 </think>");
}

TEST(TextEngine, AWholeReplyWithoutMarksIsAllAnswer) {
  Harness h({"so", "</th", "at"}, {0, 1, 2});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  request.whole = true;
  EXPECT_EQ(h.run(request)->content(), "so</that");
}

GenerationRequest with_tools() {
  GenerationRequest request = prompt();
  request.form.calls = tool_call_markup("hermes");
  request.form.tools =
      std::make_shared<const Json>(*parse_json(R"([{"type":"function","function":{"name":"f"}}])"));
  return request;
}

OutputEvents call_events(int32_t number, const std::string& name, const std::string& arguments) {
  using Kind = OutputEvent::Kind;
  return {{.kind = Kind::kCallBegin, .text = {}, .call = number, .id = {}, .name = name},
          {.kind = Kind::kCallArguments, .text = arguments, .call = number, .id = {}, .name = {}},
          {.kind = Kind::kCallEnd, .text = {}, .call = number, .id = {}, .name = {}}};
}

// The same events however the output is cut into tokens, and whether it is streamed or not.
TEST(TextEngine, ToolCallsAreEvents) {
  const std::string said =
      "Let me see.\n<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"é "
      "</tool_call>\"}}</tool_call>\n"
      "<tool_call>{\"name\":\"g\",\"arguments\":{}}</tool_call>";
  OutputEvents want;
  add_text(want, OutputEvent::Kind::kText, "Let me see.");
  for (const OutputEvent& event : call_events(0, "f", R"({"a":"é </tool_call>"})")) {
    want.push_back(event);
  }
  OutputEvents both = want;
  for (const OutputEvent& event : call_events(1, "g", "{}")) {
    both.push_back(event);
  }
  for (size_t cut = 1; cut < said.size(); cut += 3) {
    Harness h({said.substr(0, cut), said.substr(cut)}, {0, 1});
    GenerationRequest request = with_tools();
    for (const bool whole : {false, true}) {
      request.whole = whole;
      const auto sink = h.run(request);
      EXPECT_EQ(sink->events(), both) << cut;
      EXPECT_EQ(sink->deltas().back().calls, 2) << cut;
      EXPECT_EQ(sink->finish(), FinishReason::kStop);
    }
    request.form.one_call = true;
    EXPECT_EQ(h.run(request)->events(), want) << cut;
  }
}

TEST(TextEngine, ACallThatIsCutOffIsText) {
  const std::string said = "<tool_call>{\"name\":\"f\",\"argu";
  Harness h({said}, {0});
  const auto sink = h.run(with_tools());
  EXPECT_EQ(sink->content(), said);
  EXPECT_EQ(sink->deltas().back().calls, 0);
}

TEST(TextEngine, WithoutToolsMarksAreText) {
  const std::string said = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
  Harness h({said}, {0});
  EXPECT_EQ(h.run(prompt())->content(), said);
}

TEST(TextEngine, AnEmptyReasoningIsReasoningToo) {
  Harness h({"<think>", "\n\n</think>", "\n\n", "see </think>"}, {0, 1, 2, 3});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  const auto sink = h.run(request);
  EXPECT_EQ(sink->content(), "see </think>");
}

TEST(TextEngine, ReasoningThatDoesNotEndIsAllReasoning) {
  Harness h({"so", "</th"}, {0, 1});
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  request.form.reasoning_open = true;
  request.max_tokens = 2;
  const auto sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "so</th");
  EXPECT_EQ(sink->content(), "");
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
}

/// Special tokens (id 1) are not shown.
class HidingTokenText final : public TokenText {
 public:
  std::unique_ptr<TextStream> open(bool /*skip_special_tokens*/) const override {
    return std::make_unique<Stream>(*this);
  }

  std::string token_bytes(int32_t token) const override {
    return token == 1 ? "</think>" : token == 0 ? "so" : "42";
  }

  bool is_special(int32_t token) const override { return token == 1; }

  Result<std::vector<int32_t>> encode(std::string_view /*text*/) const override {
    return error(StatusCode::kUnsupported, "not needed");
  }

 private:
  struct Stream final : TextStream {
    explicit Stream(const HidingTokenText& t) : text(t) {}

    std::string push(int32_t token) override {
      return token == 1 ? std::string() : text.token_bytes(token);
    }

    std::string finish() override { return {}; }

    const HidingTokenText& text;
  };
};

TEST(TextEngine, MarksThatAreSpecialTokensStillSplit) {
  Harness h({}, {0, 1, 2});
  h.parts.text = std::make_shared<HidingTokenText>();
  GenerationRequest request = prompt();
  request.form.reasoning = find_reasoning_markup("<think>");
  request.form.reasoning_open = true;
  const auto sink = h.run(request);
  EXPECT_EQ(sink->reasoning(), "so");
  EXPECT_EQ(sink->content(), "42");
}

}  // namespace
}  // namespace tutti
