// Every field of the generation routes: types, ranges, support; then what a request means.
#include <gtest/gtest.h>

#include "http/fake_language_model.h"
#include "serve/openai/fields.h"
#include "serve/openai/request.h"

namespace tutti {
namespace {

constexpr auto kChat = OpenAiRoute::kChat;
constexpr auto kCompletions = OpenAiRoute::kCompletions;

std::string minimal(OpenAiRoute route) {
  return route == kChat ? R"("messages":[{"role":"user","content":"hi"}])" : R"("prompt":"hi")";
}

Result<CanonicalRequest> parse(OpenAiRoute route, const std::string& fields) {
  const std::string text = "{" + fields + "}";
  TUTTI_TRY(const Json body, parse_json(text));
  TUTTI_RETURN_IF_ERROR(check_fields(openai_fields(), static_cast<int>(route), body.as_object()));
  const testing::FakeLanguageModel model({});
  return parse_openai_request(
      route, body.as_object(), {.model = model, .random_seed = 99, .limits = RequestLimits()});
}

UnknownFields unknown_of(const std::string& text) {
  const Json body = *parse_json(text);
  return unknown_fields(openai_fields(), openai_aliases(), 0, body.as_object());
}

// "" if the request is good, else "<param> <code>".
std::string verdict(OpenAiRoute route, const std::string& extra) {
  const auto parsed = parse(route, minimal(route) + (extra.empty() ? "" : ",") + extra);
  return parsed.ok() ? "" : parsed.status().param() + " " + mapping(parsed.status().code()).name;
}

std::string chat(const std::string& extra) {
  return verdict(kChat, extra);
}

std::string completion(const std::string& extra) {
  return verdict(kCompletions, extra);
}

CanonicalRequest good(OpenAiRoute route, const std::string& extra) {
  auto parsed = parse(route, minimal(route) + "," + extra);
  EXPECT_TRUE(parsed.ok()) << extra << ": " << parsed.status().message();
  return parsed.ok() ? *std::move(parsed) : CanonicalRequest();
}

bool fits(ParameterType type, const std::string& json) {
  const bool number = json == "1" || json == "1.5";
  switch (type) {
    case ParameterType::kBool:
      return json == "true";
    case ParameterType::kInteger:
      return json == "1";
    case ParameterType::kNumber:
      return number;
    case ParameterType::kString:
      return json == R"("1")";
    case ParameterType::kObject:
      return json == "{}";
    case ParameterType::kList:
      return json == "[]";
    case ParameterType::kSeveral:
      break;
  }
  return true;
}

TEST(RequestFields, EveryFieldRefusesEveryOtherType) {
  int checked = 0;
  for (const FieldRule& rule : openai_fields()) {
    for (const OpenAiRoute route : {kChat, kCompletions}) {
      const bool mine =
          rule.routes == kBothRoutes || (rule.routes == kChatOnly) == (route == kChat);
      for (const char* value : {"true", "1", "1.5", R"("1")", "[]", "{}"}) {
        if (!mine || fits(rule.type, value)) {
          continue;
        }
        const std::string field = fmt::format(R"("{}":{})", rule.name, value);
        const auto parsed = parse(route, field);
        ASSERT_FALSE(parsed.ok()) << field;
        EXPECT_EQ(parsed.status().param(), rule.name) << field;
        EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument) << field;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 500);
}

TEST(RequestFields, NullMeansNotGiven) {
  for (const FieldRule& rule : openai_fields()) {
    const std::string name = rule.name;
    if (name == "messages" || name == "prompt") {
      continue;
    }
    EXPECT_EQ(chat(fmt::format(R"("{}":null)", name)), "") << name;
    EXPECT_EQ(completion(fmt::format(R"("{}":null)", name)), "") << name;
  }
  EXPECT_EQ(parse(kChat, R"("messages":null)").status().param(), "messages");
  EXPECT_EQ(parse(kCompletions, R"("prompt":null)").status().param(), "prompt");
}

TEST(RequestFields, RangesHaveEdges) {
  struct Case {
    const char* name;
    std::vector<const char*> in;
    std::vector<const char*> out;
  };

  const std::vector<Case> cases{
      {"temperature", {"0", "2", "0.7", "2.0"}, {"-0.1", "2.1", "1e300"}},
      {"top_p", {"1", "0.001", "1e-300"}, {"0", "-0.1", "1.1"}},
      {"top_k", {"-1", "0", "5", "2147483647"}, {"-2", "2147483648"}},
      {"min_p", {"0", "1"}, {"-0.1", "1.1"}},
      {"presence_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
      {"frequency_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
      {"repetition_penalty", {"0.1", "10"}, {"0", "-1", "10.1"}},
      {"max_tokens", {"1", "3.0", "2147483647"}, {"0", "-1", "2147483648", "1e18", "1e300"}},
      {"max_completion_tokens", {"1"}, {"0"}},
      {"min_tokens", {"0", "1", "16"}, {"-1", "2147483648", "1.5"}},
      {"n", {"1", "128"}, {"0", "129", "2147483648", "-1"}},
      {"seed",
       {"0", "-5", "9223372036854775807", "-9223372036854775808", "18446744073709551615"},
       {"1e300", "18446744073709551616", "-9223372036854775809"}},
  };
  for (const Case& c : cases) {
    for (const char* value : c.in) {
      EXPECT_EQ(chat(fmt::format(R"("{}":{})", c.name, value)), "") << c.name << " " << value;
    }
    for (const char* value : c.out) {
      EXPECT_EQ(chat(fmt::format(R"("{}":{})", c.name, value)),
                std::string(c.name) + " invalid_argument")
          << c.name << " " << value;
    }
  }
}

// What is wrong with a number is said as it is: too big is not "a fraction".
TEST(RequestFields, NumbersOutOfRangeAreToldTheRange) {
  int checked = 0;
  for (const FieldRule& rule : openai_fields()) {
    if (rule.type != ParameterType::kInteger) {
      continue;
    }
    const OpenAiRoute route = rule.routes == kCompletionsOnly ? kCompletions : kChat;
    const bool seed = std::string_view(rule.name) == "seed";
    const std::string range = seed
                                  ? "-9223372036854775808 to 18446744073709551615"
                                  : fmt::format("{:.0f} to {:.0f}", rule.range.min, rule.range.max);
    for (const char* value : {"9223372036854775808",
                              "18446744073709551616",
                              "-9223372036854775809",
                              "2147483648",
                              "1e300",
                              "1.5"}) {
      const auto parsed =
          parse(route, minimal(route) + fmt::format(R"(,"{}":{})", rule.name, value));
      const Json number = *parse_json(value);
      const bool fraction = std::string_view(value) == "1.5";
      if (seed && (number.is_int() || number.is_uint())) {
        EXPECT_TRUE(parsed.ok()) << value;
        continue;
      }
      EXPECT_EQ(parsed.status().message(),
                fmt::format("{}: got {}, wanted {}",
                            rule.name,
                            to_string(number),
                            fraction ? "an integer" : range));
      ++checked;
    }
  }
  EXPECT_GE(checked, 50);
  EXPECT_EQ(parse(kChat, minimal(kChat) + R"(,"seed":9007199254740993.0)").status().message(),
            "seed: got 9007199254740992.0, wanted an integer, above 2^53 without fraction and "
            "exponent");
}

// What the table calls "accepted, no effect" is that with tools, streams and log-probabilities too.
TEST(RequestFields, FieldsWithoutEffectAreAcceptedBesideEveryOther) {
  for (const FieldRule& rule : openai_fields()) {
    if (rule.use != FieldUse::kHarmless) {
      continue;
    }
    const OpenAiRoute route = rule.routes == kCompletionsOnly ? kCompletions : kChat;
    for (const char* value : {"true", "false", R"("1")", "{}", "null"}) {
      if (std::string_view(value) == "null" || fits(rule.type, value) ||
          (rule.type == ParameterType::kBool && std::string_view(value) == "false")) {
        std::string extra = fmt::format(R"("{}":{},"stream":true,"n":2)", rule.name, value);
        extra += route == kChat
                     ? R"(,"tools":[{"type":"function","function":{"name":"f"}}],"logprobs":true)"
                     : R"(,"logprobs":1)";
        EXPECT_EQ(verdict(route, extra), "") << extra;
      }
    }
  }
}

TEST(RequestFields, KnownButUnsupportedFieldsAreRefused) {
  for (const char* field : {R"("functions":[{}])",
                            R"("function_call":{"name":"f"})",
                            R"("best_of":2)",
                            R"("suffix":"x")",
                            R"("modalities":["text","audio"])",
                            R"("audio":{"voice":"a"})",
                            R"("prediction":{})",
                            R"("web_search_options":{})",
                            R"("chat_template":"x")",
                            R"("include_reasoning":false)"}) {
    for (const OpenAiRoute route : {kChat, kCompletions}) {
      const auto parsed = parse(route, minimal(route) + "," + field);
      ASSERT_FALSE(parsed.ok()) << field;
      EXPECT_EQ(parsed.status().code(), StatusCode::kUnsupported) << field;
      EXPECT_NE(parsed.status().message().find("not supported yet"), std::string::npos) << field;
      EXPECT_NE(std::string(field).find(parsed.status().param()), std::string::npos) << field;
    }
  }
}

TEST(RequestFields, NeutralAndHarmlessValuesPass) {
  for (const char* field : {R"("tools":[])",
                            R"("tool_choice":"auto")",
                            R"("tool_choice":"none")",
                            R"("response_format":{"type":"text"})",
                            R"("logit_bias":{})",
                            R"("best_of":1)",
                            R"("echo":false)",
                            R"("suffix":"")",
                            R"("modalities":["text"])",
                            R"("priority":0)",
                            R"("min_tokens":0)",
                            R"("bad_words":[])",
                            R"("length_penalty":1.0)",
                            R"("include_reasoning":true)",
                            R"("parallel_tool_calls":true)",
                            R"("store":true)",
                            R"("metadata":{"a":"b"})",
                            R"("user":"me")",
                            R"("service_tier":"auto")",
                            R"("no_such_field":{"x":[1]})",
                            R"("__proto__":1)",
                            R"("":1)"}) {
    EXPECT_EQ(chat(field), "") << field;
    EXPECT_EQ(completion(field), "") << field;
  }
}

TEST(RequestFields, CountsUnknownFields) {
  const UnknownFields unknown = unknown_of(R"({"a":1,"b":2,"model":"x"})");
  EXPECT_EQ(unknown.count, 2);
  EXPECT_EQ(unknown.warnings.size(), 2U);
}

TEST(RequestFields, UnknownOnesAreNamedWithWhatWasMeant) {
  struct Slip {
    const char* field;
    const char* advice;
  };

  for (const Slip& slip : {Slip{"max_token", "did you mean max_tokens?"},
                           Slip{"maxTokens", "did you mean max_tokens?"},
                           Slip{"max-tokens", "did you mean max_tokens?"},
                           Slip{"MaxTokens", "did you mean max_tokens?"},
                           Slip{"max_new_tokens", "did you mean max_tokens?"},
                           Slip{"num_predict", "did you mean max_tokens?"},
                           Slip{"temprature", "did you mean temperature?"},
                           Slip{"repeat_penalty", "did you mean repetition_penalty?"},
                           Slip{"stop_sequences", "did you mean stop?"},
                           Slip{"steam", "did you mean stream?"},
                           Slip{"prompt", "a field of /v1/completions"},
                           Slip{"options", "as fields of the request"},
                           Slip{"num_ctx", "when the server starts"}}) {
    const UnknownFields unknown = unknown_of(fmt::format(R"({{"{}":1}})", slip.field));
    ASSERT_EQ(unknown.warnings.size(), 1U) << slip.field;
    EXPECT_TRUE(unknown.warnings[0].starts_with(
        fmt::format("{}: no such field, so it has no effect; ", slip.field)))
        << unknown.warnings[0];
    EXPECT_NE(unknown.warnings[0].find(slip.advice), std::string::npos) << unknown.warnings[0];
  }
  EXPECT_EQ(unknown_of(R"({"zebra":1})").warnings[0], "zebra: no such field, so it has no effect");
}

// They become lines of a header and of the log.
TEST(RequestFields, WarningsAreBoundedPrintableAscii) {
  std::string body = R"({"a\r\nSet-Cookie: b":1,"\u00e9\u2028":1,"a b":2)";
  for (int i = 0; i < 5000; ++i) {
    body += fmt::format(R"(,"{}{}":1)", std::string(300, 'x'), i);
  }
  const UnknownFields unknown = unknown_of(body + "}");
  EXPECT_EQ(unknown.count, 5003);
  EXPECT_EQ(unknown.warnings.size(), 9U);
  EXPECT_EQ(unknown.warnings.back(), "4995 more unknown fields");
  for (const std::string& warning : unknown.warnings) {
    EXPECT_LE(warning.size(), 160U);
    for (const char c : warning) {
      EXPECT_TRUE(c >= 0x20 && c < 0x7f) << warning;
    }
  }
}

// An alias that is a field would never be looked up; what it advises must be one.
TEST(RequestFields, AliasesAreNoFieldsAndPointAtFields) {
  for (const FieldAlias& alias : openai_aliases()) {
    bool everywhere = true;
    for (const unsigned route : {kChatOnly, kCompletionsOnly}) {
      bool field = false;
      for (const FieldRule& rule : openai_fields()) {
        field |= std::string_view(rule.name) == alias.name && (rule.routes & route) != 0;
      }
      everywhere &= field;
    }
    EXPECT_FALSE(everywhere) << alias.name;
    const std::string advice = alias.advice;
    constexpr std::string_view kMeant = "did you mean ";
    if (advice.starts_with(kMeant)) {
      const std::string name = advice.substr(kMeant.size(), advice.size() - kMeant.size() - 1);
      EXPECT_TRUE(std::any_of(
          openai_fields().begin(),
          openai_fields().end(),
          [&](const FieldRule& rule) { return rule.name == name && rule.use == FieldUse::kUsed; }))
          << advice;
    }
  }
}

// Each would have the model do something else than was asked, and say nothing.
TEST(RequestFields, WhatWouldChangeTheMeaningSilentlyIsRefused) {
  EXPECT_EQ(chat(R"("system":"Answer in French")"), "system unsupported");
  EXPECT_EQ(chat(R"("format":"json")"), "format unsupported");
}

TEST(CanonicalRequest, ReasoningIsSwitchedByAnyOfItsNames) {
  EXPECT_EQ(good(kChat, R"("n":1)").chat.reasoning, std::nullopt);
  for (const char* off : {R"("enable_thinking":false)",
                          R"("think":false)",
                          R"("thinking":false)",
                          R"("thinking":{"type":"disabled"})"}) {
    EXPECT_EQ(good(kChat, off).chat.reasoning, false) << off;
  }
  for (const char* on : {R"("enable_thinking":true)", R"("thinking":{"type":"adaptive"})"}) {
    EXPECT_EQ(good(kChat, on).chat.reasoning, true) << on;
  }
  EXPECT_EQ(chat(R"("thinking":{"type":"on"})"), "thinking.type invalid_argument");
  EXPECT_EQ(chat(R"("thinking":7)"), "thinking invalid_argument");
}

TEST(CanonicalRequest, HowThePromptEnds) {
  EXPECT_TRUE(good(kChat, R"("n":1)").chat.add_generation_prompt);
  EXPECT_FALSE(good(kChat, R"("add_generation_prompt":false)").chat.add_generation_prompt);
  const CanonicalRequest on = good(kChat, R"("continue_final_message":true)");
  EXPECT_TRUE(on.chat.continue_final_message);
  EXPECT_FALSE(on.chat.add_generation_prompt);
  EXPECT_EQ(chat(R"("continue_final_message":true,"add_generation_prompt":true)"),
            "continue_final_message invalid_argument");
  EXPECT_EQ(good(kChat, R"("truncate_prompt_tokens":7)").keep_prompt_tokens, 7);
  EXPECT_EQ(good(kChat, R"("truncate_prompt_tokens":-1)").keep_prompt_tokens, -1);
  EXPECT_EQ(good(kChat, R"("truncate_prompt_tokens":0)").keep_prompt_tokens, std::nullopt);
}

TEST(CanonicalRequest, SamplingComesFromDefaultsAndRequest) {
  const CanonicalRequest plain = good(kChat, R"("n":1)");
  EXPECT_EQ(plain.generation.sampling.temperature, 1.0F);
  EXPECT_EQ(plain.generation.sampling.seed, 99U);
  EXPECT_EQ(plain.generation.sampling.top_logprobs, -1);
  EXPECT_FALSE(plain.generation.max_tokens.has_value());
  const CanonicalRequest full = good(
      kChat,
      R"("temperature":0,"top_p":0.5,"top_k":-1,"min_p":0.1,"seed":-1,"n":3,"ignore_eos":true,)"
      R"("max_tokens":7,"max_completion_tokens":7,"stop":["a","b"],"stop_token_ids":[0,999],)"
      R"("logprobs":true,"top_logprobs":20,"stream":true,"stream_options":{"include_usage":true},)"
      R"("priority":-2147483647,"cache_salt":"occupant 1",)"
      R"("reasoning_effort":"low","chat_template_kwargs":{"k":1})");
  EXPECT_EQ(plain.generation.priority, 0);
  EXPECT_EQ(plain.generation.cache_salt, "");
  EXPECT_EQ(full.generation.priority, -2147483647);
  EXPECT_EQ(full.generation.cache_salt, "occupant 1");
  EXPECT_TRUE(full.generation.sampling.greedy());
  EXPECT_EQ(full.generation.sampling.top_k, 0);
  EXPECT_EQ(full.generation.sampling.seed, UINT64_MAX);
  EXPECT_EQ(full.generation.n, 3);
  EXPECT_EQ(full.generation.max_tokens, 7);
  EXPECT_EQ(full.generation.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(full.generation.stop_token_ids, (std::vector<int32_t>{0, 999}));
  EXPECT_EQ(full.generation.sampling.top_logprobs, 20);
  EXPECT_TRUE(full.generation.ignore_eos && full.stream && full.include_usage && full.logprobs);
  EXPECT_EQ(to_string(Json(full.chat.template_kwargs)), R"({"k":1,"reasoning_effort":"low"})");
  EXPECT_EQ(good(kCompletions, R"("n":1)").generation.max_tokens, 16);
}

TEST(CanonicalRequest, FieldsThatNeedEachOther) {
  EXPECT_EQ(chat(R"("stream_options":{"include_usage":true})"), "stream_options invalid_argument");
  EXPECT_EQ(chat(R"("stream":true,"stream_options":{"include_usage":1})"),
            "stream_options.include_usage invalid_argument");
  EXPECT_EQ(chat(R"("stream":true,"stream_options":{"continuous_usage_stats":true})"),
            "stream_options.continuous_usage_stats unsupported");
  EXPECT_EQ(chat(R"("max_tokens":3,"max_completion_tokens":4)"),
            "max_completion_tokens invalid_argument");
  EXPECT_EQ(chat(R"("top_logprobs":2)"), "top_logprobs invalid_argument");
  EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs invalid_argument");
  EXPECT_EQ(completion(R"("logprobs":5)"), "");
  EXPECT_EQ(completion(R"("logprobs":6)"), "logprobs invalid_argument");
  EXPECT_EQ(chat(R"("reasoning_effort":"huge")"), "reasoning_effort invalid_argument");
}

std::string bias_of(int count) {
  std::string out = R"("logit_bias":{"0":-100)";
  for (int i = 1; i < count; ++i) {
    out += fmt::format(R"(,"{}":100)", i);
  }
  return out + "}";
}

TEST(CanonicalRequest, LogitBias) {
  const CanonicalRequest request = good(kChat, R"("logit_bias":{"7":-100,"0":1.5,"999":100})");
  ASSERT_EQ(request.generation.logit_bias.size(), 3U);
  EXPECT_EQ(request.generation.logit_bias[0].token, 7);
  EXPECT_EQ(request.generation.logit_bias[0].bias, -100.0F);
  EXPECT_EQ(request.generation.logit_bias[1].bias, 1.5F);
  for (const char* entry : {R"("1000":1)",
                            R"("-1":1)",
                            R"("-0":1)",
                            R"("+1":1)",
                            R"("01":1)",
                            R"("1 ":1)",
                            R"("1.0":1)",
                            R"("":1)",
                            R"("99999999999999999999":1)",
                            R"("5":100.1)",
                            R"("5":-100.1)",
                            R"("5":true)",
                            R"("5":null)"}) {
    EXPECT_EQ(chat(fmt::format(R"("logit_bias":{{{}}})", entry)), "logit_bias invalid_argument")
        << entry;
  }
  EXPECT_EQ(completion(bias_of(1000)), "");
  EXPECT_EQ(completion(bias_of(1001)), "logit_bias invalid_argument");  // of 1000 tokens
}

TEST(CanonicalRequest, MinTokensAndAllowedIds) {
  EXPECT_EQ(chat(R"("min_tokens":5)"), "");
  EXPECT_EQ(chat(R"("min_tokens":5,"max_tokens":5)"), "");
  EXPECT_EQ(chat(R"("min_tokens":6,"max_tokens":5)"), "min_tokens invalid_argument");
  EXPECT_EQ(completion(R"("min_tokens":16)"), "");  // the default of max_tokens
  EXPECT_EQ(completion(R"("min_tokens":17)"), "min_tokens invalid_argument");
  EXPECT_EQ(good(kChat, R"("min_tokens":3)").generation.min_tokens, 3);
  EXPECT_EQ(chat(R"("allowed_token_ids":[])"), "allowed_token_ids invalid_argument");
  EXPECT_EQ(chat(R"("allowed_token_ids":[0,999])"), "");
  EXPECT_EQ(chat(R"("allowed_token_ids":[0,1000])"), "allowed_token_ids[1] invalid_argument");
  EXPECT_EQ(chat(R"("allowed_token_ids":[-1])"), "allowed_token_ids[0] invalid_argument");
  EXPECT_EQ(good(kChat, R"("allowed_token_ids":[4,2])").generation.allowed_token_ids,
            (std::vector<int32_t>{4, 2}));
}

TEST(CanonicalRequest, BadWords) {
  const auto words = [](int count, int bytes) {
    std::string out = R"("bad_words":[)";
    for (int i = 0; i < count; ++i) {
      out += (i == 0 ? "\"" : ",\"") + std::string(static_cast<size_t>(bytes), 'x') + "\"";
    }
    return out + "]";
  };
  EXPECT_EQ(chat(words(128, 1)), "");
  EXPECT_EQ(chat(words(129, 1)), "bad_words invalid_argument");
  EXPECT_EQ(chat(words(1, 256)), "");
  EXPECT_EQ(chat(words(1, 257)), "bad_words[0] invalid_argument");
  EXPECT_EQ(chat(R"("bad_words":["a",""])"), "bad_words[1] invalid_argument");
  EXPECT_EQ(chat(R"("bad_words":["a",7])"), "bad_words[1] invalid_argument");
  EXPECT_EQ(good(kChat, R"("bad_words":["a","b"])").generation.bad_words,
            (std::vector<std::string>{"a", "b"}));
}

TEST(CanonicalRequest, StopStrings) {
  EXPECT_EQ(chat(R"("stop":"x")"), "");
  EXPECT_EQ(chat(R"("stop":[])"), "");
  EXPECT_EQ(chat(R"("stop":"")"), "stop invalid_argument");
  EXPECT_EQ(chat(R"("stop":["a",""])"), "stop[1] invalid_argument");
  EXPECT_EQ(chat(R"("stop":["a",1])"), "stop[1] invalid_argument");
  EXPECT_EQ(chat(R"("stop":7)"), "stop invalid_argument");
  std::string many = R"("x")";
  for (int i = 1; i < 16; ++i) {
    many += R"(,"x")";
  }
  EXPECT_EQ(chat(R"("stop":[)" + many + "]"), "");
  EXPECT_EQ(chat(R"("stop":[)" + many + R"(,"x"])"), "stop invalid_argument");
  EXPECT_EQ(chat(R"("stop":")" + std::string(4096, 'x') + "\""), "");
  EXPECT_EQ(chat(R"("stop":")" + std::string(4097, 'x') + "\""), "stop invalid_argument");
  for (const char* ids : {"[-1]", "[1000]", "[1.5]", R"(["1"])", "[1099511627776]", "[1e300]"}) {
    EXPECT_EQ(chat(std::string(R"("stop_token_ids":)") + ids),
              "stop_token_ids[0] invalid_argument");
  }
}

std::string messages(const std::string& text) {
  const auto parsed = parse(kChat, R"("messages":)" + text);
  return parsed.ok() ? to_string(parsed->chat.messages) : parsed.status().param();
}

TEST(CanonicalRequest, Messages) {
  EXPECT_EQ(messages("[]"), "messages");
  EXPECT_EQ(messages("[1]"), "messages[0]");
  EXPECT_EQ(messages("[{}]"), "messages[0].role");
  EXPECT_EQ(messages(R"([{"role":"user","content":"a"},{"role":7}])"), "messages[1].role");
  EXPECT_EQ(messages(R"([{"role":"king","content":"a"}])"), "messages[0].role");
  EXPECT_EQ(messages(R"([{"role":"function","content":"a"}])"), "messages[0].role");
  EXPECT_EQ(messages(R"([{"role":"tool"}])"), "messages[0].content");
  EXPECT_EQ(messages(R"([{"role":"tool","content":"a","tool_call_id":1}])"),
            "messages[0].tool_call_id");
  EXPECT_EQ(messages(R"([{"role":"user"}])"), "messages[0].content");
  EXPECT_EQ(messages(R"([{"role":"user","content":5}])"), "messages[0].content");
  EXPECT_EQ(messages(R"([{"role":"user","content":["a"]}])"), "messages[0].content[0]");
  EXPECT_EQ(messages(R"([{"role":"user","content":[{"type":"text"}]}])"),
            "messages[0].content[0].text");
  EXPECT_EQ(messages(R"([{"role":"user","content":[{"type":"text","text":"a"},)"
                     R"({"type":"image_url","image_url":{"url":"http://x"}}]}])"),
            "messages[0].content[1]");
  EXPECT_EQ(messages(R"([{"role":"user","content":[{"type":"x"}]}])"),
            "messages[0].content[0].type");
  const auto calls = [](const std::string& text) {
    return messages(R"([{"role":"assistant","content":null,"tool_calls":)" + text + "}]");
  };
  EXPECT_EQ(calls("{}"), "messages[0].tool_calls");
  EXPECT_EQ(calls("[1]"), "messages[0].tool_calls[0]");
  EXPECT_EQ(calls("[{}]"), "messages[0].tool_calls[0].function");
  EXPECT_EQ(calls(R"([{"type":"custom"}])"), "messages[0].tool_calls[0].type");
  EXPECT_EQ(calls(R"([{"function":{}}])"), "messages[0].tool_calls[0].function.name");
  EXPECT_EQ(calls(R"([{"function":{"name":"f","arguments":1}}])"),
            "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(messages(R"([{"role":"assistant","function_call":{}}])"), "messages[0].function_call");
  EXPECT_EQ(messages(R"([{"role":"user","content":"a","tool_calls":[{}]}])"),
            "messages[0].tool_calls");
  const std::string round =
      R"([{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",)"
      R"("function":{"name":"f","arguments":"{}"}}]},)"
      R"({"role":"tool","content":"x","tool_call_id":"1"}])";
  EXPECT_EQ(messages(round), round);
  EXPECT_EQ(messages(R"([{"role":"user","content":"a","name":1}])"), "messages[0].name");
  EXPECT_EQ(messages(R"([{"role":"developer","content":"a"},{"role":"assistant","content":null},)"
                     R"({"role":"user","content":[{"type":"text","text":"b"},)"
                     R"({"type":"text","text":"c"}],"name":"n"}])"),
            R"([{"role":"system","content":"a"},{"role":"assistant","content":""},)"
            R"({"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}],)"
            R"("name":"n"}])");
}

TEST(CanonicalRequest, Tools) {
  EXPECT_EQ(chat(R"("tools":{})"), "tools invalid_argument");
  EXPECT_EQ(chat(R"("tools":[1])"), "tools[0].type invalid_argument");
  EXPECT_EQ(chat(R"("tools":[{"type":"x"}])"), "tools[0].type unsupported");
  EXPECT_EQ(chat(R"("tools":[{"type":"function"}])"), "tools[0].function.name invalid_argument");
  EXPECT_EQ(chat(R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])"),
            "tools[0].function.parameters invalid_argument");
  const std::string tool = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_EQ(chat(tool), "");
  EXPECT_EQ(chat(tool + R"(,"tool_choice":"auto","parallel_tool_calls":true)"), "");
  EXPECT_TRUE(good(kChat, tool + R"(,"parallel_tool_calls":false)").chat.one_call);
  EXPECT_FALSE(good(kChat, tool + R"(,"parallel_tool_calls":true)").chat.one_call);
  EXPECT_FALSE(good(kChat, tool).chat.one_call);
  EXPECT_EQ(completion(tool), "tools unsupported");
  const auto with = parse(kChat, minimal(kChat) + "," + tool);
  EXPECT_TRUE(with.ok() && with->chat.tools != nullptr);
  const auto none = parse(kChat, minimal(kChat) + "," + tool + R"(,"tool_choice":"none")");
  EXPECT_TRUE(none.ok() && none->chat.tools == nullptr);
}

std::string prompts(const std::string& text) {
  const auto parsed = parse(kCompletions, R"("prompt":)" + text);
  if (!parsed.ok()) {
    return parsed.status().param() + " " + mapping(parsed.status().code()).name;
  }
  std::string out;
  for (const TextPrompt& prompt : parsed->prompts) {
    const auto* ids = std::get_if<std::vector<int32_t>>(&prompt);
    out += ids == nullptr ? "s" : fmt::format("{}", ids->size());
  }
  return out;
}

TEST(CanonicalRequest, Prompts) {
  EXPECT_EQ(prompts(R"("a")"), "s");
  EXPECT_EQ(prompts("[1,2,3]"), "3");
  EXPECT_EQ(prompts(R"(["a","b"])"), "ss");
  EXPECT_EQ(prompts("[[1],[2,3]]"), "12");
  EXPECT_EQ(prompts("[]"), "prompt invalid_argument");
  EXPECT_EQ(prompts("[[]]"), "prompt[0] invalid_argument");
  EXPECT_EQ(prompts("{}"), "prompt invalid_argument");
  EXPECT_EQ(prompts(R"([1,"a"])"), "prompt[1] invalid_argument");
  EXPECT_EQ(prompts(R"(["a",1])"), "prompt[1] invalid_argument");
  EXPECT_EQ(prompts("[-1]"), "prompt[0] invalid_argument");
  EXPECT_EQ(prompts("[999]"), "1");
  EXPECT_EQ(prompts("[1000]"), "prompt[0] invalid_argument");
  EXPECT_EQ(prompts("[1.5]"), "prompt[0] invalid_argument");
  const auto list = [](const std::string& item, int n) {
    std::string out = "[" + item;
    for (int i = 1; i < n; ++i) {
      out += "," + item;
    }
    return out + "]";
  };
  EXPECT_EQ(prompts(list("1", 4096)), "4096");
  EXPECT_EQ(prompts(list("1", 4097)), "prompt context_length_exceeded");
  EXPECT_EQ(prompts(list(R"("a")", 128)).size(), 128U);
  EXPECT_EQ(prompts(list(R"("a")", 129)), "prompt invalid_argument");
  const std::string two = R"("n":128,"prompt":["a","b"])";
  EXPECT_TRUE(parse(kCompletions, two).ok());
  EXPECT_EQ(parse(kCompletions, R"("n":128,"prompt":["a","b","c"])").status().param(), "n");
}

}  // namespace
}  // namespace tutti
