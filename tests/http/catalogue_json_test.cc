// Cases of the catalogue of abuse with ids N-… (JSON and Unicode) and P-… (parameters). The edges
// of every number come from the table of fields, so a new field is tested without a line here.
#include <chrono>
#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "http/test_server.h"
#include "serve/dialect.h"
#include "serve/http_api.h"
#include "serve/limit_table.h"
#include "serve/openai/fields.h"

namespace tutti::testing {
namespace {

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kCompletions = "/v1/completions";

std::string chat_with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}])" + (fields.empty() ? "" : "," + fields) +
         "}";
}

std::string completion_with(const std::string& fields) {
  return R"({"prompt":"hi","max_tokens":2)" + (fields.empty() ? "" : "," + fields) + "}";
}

// "" for 200, else "<status> <param>".
std::string verdict(const TestServer& s, const std::string& path, const std::string& body) {
  const RawResponse response = s.post(path, body);
  if (response.status == 200) {
    return "";
  }
  const Json error = error_of(response);
  const Json& param = at(error, "param");
  return fmt::format("{} {}", response.status, param.is_null() ? "" : text_at(param));
}

std::string repeat(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) {
    out += text;
  }
  return out;
}

TEST(Catalogue, N01_JsonIsRfc8259AndNothingElse) {
  TestServer s;
  // Put where any value may stand: an unknown field.
  for (const char* value : {"[]",
                            "{}",
                            "\"\"",
                            "0",
                            "-0",
                            "1E+2",
                            "1e-9",
                            "true",
                            "null",
                            R"("\u0041\/\b")",
                            R"([1 , {"a" : [ ]}])",
                            R"("\uD83D\uDE00")",
                            "\"\xe2\x80\xa8\"",
                            "\"\x7f\""}) {
    EXPECT_EQ(verdict(s, kChat, chat_with(fmt::format(R"("x":{})", value))), "") << value;
  }
  for (const std::string& value : {std::string("[1,]"),
                                   std::string("[,1]"),
                                   std::string("[1 2]"),
                                   std::string("{\"a\":1,}"),
                                   std::string("{\"a\"}"),
                                   std::string("{a:1}"),
                                   std::string("{'a':1}"),
                                   std::string("{1:1}"),
                                   std::string("01"),
                                   std::string("1."),
                                   std::string(".1"),
                                   std::string("+1"),
                                   std::string("-"),
                                   std::string("0x1"),
                                   std::string("1e"),
                                   std::string("1e+"),
                                   std::string("NaN"),
                                   std::string("Infinity"),
                                   std::string("-Infinity"),
                                   std::string("nul"),
                                   std::string("True"),
                                   std::string("\"a"),
                                   std::string("\"\t\""),
                                   std::string("\"\n\""),
                                   std::string("\"\0\"", 3),
                                   std::string("\"\\x41\""),
                                   std::string("\"\\u12\""),
                                   std::string("\"\\\""),
                                   std::string("/*c*/1"),
                                   std::string("1//c"),
                                   std::string("\v1"),
                                   std::string("\xc2\xa0"
                                               "1"),
                                   std::string("[1"),
                                   std::string("]"),
                                   std::string("\"\\u00G0\""),
                                   std::string("\xef\xbb\xbf"
                                               "1")}) {
    EXPECT_EQ(verdict(s, kChat, chat_with("\"x\":" + value)), "400 ") << value;
  }
  for (const char* body : {"", " ", "[]", "1", "\"x\"", "null", "{\"x\":1"}) {
    EXPECT_EQ(s.send(make_post(kChat, body)).status, 400) << body;
  }
  EXPECT_EQ(verdict(s, kChat, chat_with("")), "");
}

TEST(Catalogue, N02_DepthIsBounded) {
  TestServer s;
  const auto nested = [](const std::string& open, const std::string& close, size_t depth) {
    return chat_with("\"x\":" + repeat(open, depth - 1) + "1" + repeat(close, depth - 1));
  };
  for (const auto& [open, close] : {std::pair{std::string("["), std::string("]")},
                                    {std::string(R"({"":)"), std::string("}")}}) {
    // The body's own object is the first level.
    for (const auto& [depth, status] : {std::pair{size_t{99}, 200}, {100, 200}, {101, 400}}) {
      EXPECT_EQ(s.post(kChat, nested(open, close, depth)).status, status) << open << depth;
    }
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ(s.post(kChat, chat_with("\"x\":" + repeat(open, 100'000))).status, 400);
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
  }
}

TEST(Catalogue, N03_NumbersAreExactOrRefused) {
  TestServer s;
  for (const char* bad : {"1e400",
                          "-1e400",
                          "-9223372036854775809",
                          "1e19",
                          "18446744073709551616",
                          "9007199254740993.0",
                          "1.5"}) {
    EXPECT_NE(verdict(s, kChat, chat_with(fmt::format(R"("seed":{})", bad))), "") << bad;
  }
  EXPECT_EQ(verdict(s, kChat, chat_with("\"seed\":1" + std::string(10'000, '0'))), "400 ");
  const size_t before = s.model->generations();
  for (const char* good :
       {"-0", "9007199254740993", "18446744073709551615", "-9223372036854775808"}) {
    EXPECT_EQ(verdict(s, kChat, chat_with(fmt::format(R"("seed":{},"max_tokens":1)", good))), "");
  }
  EXPECT_EQ(s.model->wait_generation(before + 1)->request.sampling.seed, 9007199254740993U);
  EXPECT_EQ(s.model->wait_generation(before + 2)->request.sampling.seed, UINT64_MAX);
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("temperature":1E-400)")), "");  // rounds to 0
  EXPECT_EQ(s.model->wait_generation(before + 4)->request.sampling.temperature, 0.0F);
}

TEST(Catalogue, N04_BrokenUtf8Is400BeforeTheModel) {
  TestServer s;
  for (const char* bytes : {"\xc0\xaf",
                            "\xed\xa0\x80",
                            "\xe2\x82",
                            "\xf4\x90\x80\x80",
                            "\x80",
                            "\xff",
                            "\xf8\x88\x80\x80\x80",
                            "\xe0\x80\x80"}) {
    const std::string text =
        fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}]}})", bytes);
    EXPECT_EQ(verdict(s, kChat, text), "400 ");
    EXPECT_EQ(verdict(s, kChat, chat_with(fmt::format(R"("{}":1)", bytes))), "400 ");
    EXPECT_EQ(verdict(s, kCompletions, fmt::format(R"({{"prompt":"{}"}})", bytes)), "400 ");
  }
  EXPECT_EQ(verdict(s, kChat, "\xef\xbb\xbf" + chat_with("")), "400 ");
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Catalogue, N05_LoneSurrogatesAreRefusedEverywhere) {
  TestServer s;
  for (const char* escape : {R"(\uD800)",
                             R"(\uDC00)",
                             R"(\uDC00\uD800)",
                             R"(\uD800x)",
                             R"(\uD800\u0041)",
                             R"(\uD800\uD800)"}) {
    for (const std::string& body :
         {fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}]}})", escape),
          chat_with(fmt::format(R"("user":"{}")", escape)),
          chat_with(fmt::format(R"("stop":"{}")", escape)),
          chat_with(fmt::format(R"("{}":1)", escape))}) {
      EXPECT_EQ(verdict(s, kChat, body), "400 ") << body;
    }
    EXPECT_EQ(verdict(s, kCompletions, fmt::format(R"({{"prompt":"{}"}})", escape)), "400 ");
  }
  EXPECT_EQ(s.model->generations(), 0U);
  // U+0000 is a character like others.
  EXPECT_EQ(verdict(s, kCompletions, R"({"prompt":"a\u0000b","stop":"\u0000"})"), "");
  EXPECT_EQ(s.model->wait_generation(0)->request.prompt, (std::vector<int32_t>{'a', 0, 'b'}));
  EXPECT_EQ(s.model->wait_generation(0)->request.stop.front(), std::string(1, '\0'));
}

TEST(Catalogue, N06_DuplicateKeysAreRefusedAtEveryLevel) {
  TestServer s;
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("n":1,"n":2)")), "400 ");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("n":1,"\u006e":1)")), "400 ");
  EXPECT_EQ(verdict(s, kChat, R"({"messages":[{"role":"user","role":"user","content":"hi"}]})"),
            "400 ");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("x":{"y":{"z":1,"z":1}})")), "400 ");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("":1,"":1)")), "400 ");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("":1,"__proto__":{"n":5},"N":7)")), "");
  EXPECT_EQ(verdict(s, kChat, chat_with("\"" + std::string(1 << 20, 'k') + "\":1")), "");
  EXPECT_EQ(s.model->wait_generation(0)->request.n, 1);
}

TEST(Catalogue, N07_EveryFieldRefusesEveryOtherTypeByName) {
  TestServer s;
  int checked = 0;
  for (const FieldRule& rule : openai_fields()) {
    const bool chat = rule.routes != kCompletionsOnly;
    for (const char* value : {"true", "\"1\"", "1.5", "[]", "{}", "1e999"}) {
      const bool fits =
          rule.type == ParameterType::kSeveral ||
          (rule.type == ParameterType::kBool && std::string_view(value) == "true") ||
          (rule.type == ParameterType::kString && std::string_view(value) == "\"1\"") ||
          (rule.type == ParameterType::kNumber && std::string_view(value) == "1.5") ||
          (rule.type == ParameterType::kList && std::string_view(value) == "[]") ||
          (rule.type == ParameterType::kObject && std::string_view(value) == "{}");
      if (fits) {
        continue;
      }
      const std::string field = fmt::format(R"("{}":{})", rule.name, value);
      const bool base = std::string_view(rule.name) != "messages" &&
                        std::string_view(rule.name) != "prompt" &&
                        std::string_view(rule.name) != "max_tokens";
      const std::string body = !base  ? "{" + field + "}"
                               : chat ? chat_with(field)
                                      : completion_with(field);
      const std::string got = verdict(s, chat ? kChat : kCompletions, body);
      // 1e999 is no number of JSON's here, whatever the field.
      const std::string want =
          std::string_view(value) == "1e999" ? "400 " : fmt::format("400 {}", rule.name);
      EXPECT_EQ(got, want) << field;
      ++checked;
    }
  }
  EXPECT_GT(checked, 300);
}

// Q-05 and the like: what is JSON, and what type a field has, is judged alike on every route.
TEST(Catalogue, N01_N07_TheOtherDialectsReadJsonAlike) {
  TestServer s;
  int checked = 0;
  for (const Route& route : route_table()) {
    if (!route.takes_body()) {
      continue;
    }
    for (const std::string& bad : {std::string("{"),
                                   std::string("[]"),
                                   std::string("7"),
                                   std::string(R"({"model":1,"model":2})"),
                                   std::string("\xef\xbb\xbf{}"),
                                   std::string(R"({"x":"\ud800"})"),
                                   std::string("{\"x\":\"\xff\"}"),
                                   std::string(R"({"x":NaN})"),
                                   R"({"x":)" + repeat("[", 200) + repeat("]", 200) + "}",
                                   R"({"x":)" + std::string(100, '1') + "}"}) {
      EXPECT_EQ(s.post(route.path, bad).status, 400) << route.path << " " << bad.substr(0, 40);
    }
    for (const FieldRule& rule : route.dialect->fields()) {
      if ((rule.routes >> static_cast<unsigned>(route.number) & 1U) == 0 ||
          rule.type == ParameterType::kSeveral) {
        continue;
      }
      const char* value = rule.type == ParameterType::kString ? "7" : R"("no")";
      const RawResponse response =
          s.post(route.path, fmt::format(R"({{"{}":{}}})", rule.name, value));
      EXPECT_EQ(response.status, 400) << route.path << rule.name;
      EXPECT_NE(response.body.find(rule.name), std::string::npos) << response.body;
      ++checked;
    }
  }
  EXPECT_GT(checked, 200);
  EXPECT_EQ(s.model->generations(), 0U);
}

// What a number may be is the same wherever it is said.
TEST(Catalogue, P01_NumbersOfOtherDialectsHaveTheirBounds) {
  TestServer s;
  int checked = 0;
  for (const Route& route : route_table()) {
    if (!route.takes_body() || route.dialect == dialects().front()) {
      continue;
    }
    for (const FieldRule& rule : route.dialect->fields()) {
      const bool number =
          rule.type == ParameterType::kInteger || rule.type == ParameterType::kNumber;
      if ((rule.routes >> static_cast<unsigned>(route.number) & 1U) == 0 || !number ||
          rule.range.max > 1e18) {
        continue;
      }
      for (const double value : {rule.range.min - 1, rule.range.max + 1}) {
        const RawResponse response =
            s.post(route.path, fmt::format(R"({{"{}":{}}})", rule.name, value));
        EXPECT_EQ(response.status, 400) << route.path << rule.name << value;
        EXPECT_NE(response.body.find(rule.name), std::string::npos) << response.body;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 40);
}

TEST(Catalogue, N08_BigBodiesAreRefusedOrServedInBoundedTime) {
  ServerConfig config;
  TestServer s({}, config);
  const auto timed = [&](const std::string& body) {
    const auto begun = std::chrono::steady_clock::now();
    const int status = s.post(kChat, body).status;
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
    return status;
  };
  std::string messages = R"({"role":"user","content":"a"})";
  messages = R"({"messages":[)" + repeat(messages + ",", 99'999) + messages + "]}";
  EXPECT_EQ(timed(messages), 400);
  std::string keys = "\"x\":{\"0\":0";
  for (int i = 1; i < 120'000; ++i) {
    keys += fmt::format(",\"{}\":0", i);
  }
  EXPECT_EQ(timed(chat_with(keys + "}")), 400);
  EXPECT_EQ(timed(chat_with("\"x\":[" + repeat("0,", 2'000'000) + "0]")), 400);
  // Under the limits of counts, near that of bytes. TSan is slower than the bounds on time allow.
#ifdef __SANITIZE_THREAD__
  constexpr size_t kLong = size_t{3} << 20;
#else
  constexpr size_t kLong = size_t{31} << 20;
#endif
  EXPECT_EQ(timed(chat_with("\"x\":\"" + std::string(kLong, 'a') + "\",\"max_tokens\":1")), 200);
}

TEST(Catalogue, N09_NothingButSpaceAfterTheDocument) {
  TestServer s;
  const std::string good = chat_with(R"("max_tokens":1)");
  EXPECT_EQ(verdict(s, kChat, good + "{}"), "400 ");
  EXPECT_EQ(verdict(s, kChat, good + good), "400 ");
  EXPECT_EQ(verdict(s, kChat, good + "x"), "400 ");
  EXPECT_EQ(verdict(s, kChat, good + std::string(1, '\0')), "400 ");
  EXPECT_EQ(verdict(s, kChat, good + std::string(1 << 20, ' ')), "");
  EXPECT_EQ(verdict(s, kChat, std::string(1 << 20, '\n') + good), "");
}

// ---- parameters ----

struct Edge {
  std::string json;
  bool ok;
};

// At, next to and far beyond both ends of a rule.
std::vector<Edge> edges_of(const FieldRule& rule) {
  if (rule.type == ParameterType::kInteger) {
    const auto min = static_cast<int64_t>(rule.range.min);
    const bool all = rule.range.max >= 9.2e18;  // int64 itself is the range
    const int64_t max = all ? INT64_MAX : static_cast<int64_t>(rule.range.max);
    std::vector<Edge> edges{{std::to_string(min), true}, {std::to_string(max), true}};
    if (!all) {
      edges.push_back({std::to_string(min - 1), false});
      edges.push_back({std::to_string(min + 1), true});
      edges.push_back({std::to_string(max - 1), true});
      edges.push_back({std::to_string(max + 1), false});
      edges.push_back({"9007199254740992", max >= 9007199254740992});
    }
    edges.push_back({"1e18", false});  // a double beyond 2^53 is no exact integer
    edges.push_back({"1e300", false});
    return edges;
  }
  const auto text = [](double value) { return fmt::format("{:.17g}", value); };
  const double up = std::nextafter(rule.range.min, 1e308);
  return {{text(rule.range.min), !rule.range.min_excluded},
          {text(up), true},
          {text(rule.range.min - 0.001), false},
          {text(rule.range.max), true},
          {text(std::nextafter(rule.range.max, -1e308)), true},
          {text(rule.range.max * 1.001), false},
          {"1e300", false},
          {"-1e300", false}};
}

TEST(Catalogue, P01_P02_P04_P05_EveryNumberAtItsBoundsPlusMinusOne) {
  FakeLanguageModel::Options options;
  options.max_context = 1 << 20;
  TestServer s(options);
  int checked = 0;
  for (const FieldRule& rule : openai_fields()) {
    const bool number = rule.type == ParameterType::kInteger || rule.type == ParameterType::kNumber;
    if (!number || rule.use != FieldUse::kUsed) {
      continue;
    }
    for (const bool chat : {true, false}) {
      if ((chat && rule.routes == kCompletionsOnly) || (!chat && rule.routes == kChatOnly)) {
        continue;
      }
      const std::string name = rule.name;
      for (const Edge& edge : edges_of(rule)) {
        // What the field needs beside it, and what keeps the reply short.
        const std::string beside = name == "top_logprobs"          ? R"(,"logprobs":true)"
                                   : name == "timeout"             ? ""
                                   : name == "min_tokens"          ? R"(,"max_tokens":2147483647)"
                                   : name == "max_tokens" && !chat ? R"(,"echo":true)"
                                   : name.find("max_") != std::string::npos ? ""
                                                                            : R"(,"max_tokens":1)";
        const std::string fields = fmt::format(R"("{}":{}{})", name, edge.json, beside);
        const std::string body =
            chat ? chat_with(fields) : fmt::format(R"({{"prompt":"hi",{}}})", fields);
        const RawResponse response = s.post(chat ? kChat : kCompletions, body);
        if (edge.ok) {
          // A time-out of next to nothing is legal, and over at once.
          EXPECT_TRUE(response.status == 200 || (name == "timeout" && response.status == 504))
              << fields << " " << response.status << response.body;
        } else {
          EXPECT_EQ(response.status, 400) << fields;
          EXPECT_EQ(text_at(at(error_of(response), "param")), name) << fields;
        }
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 150);
}

TEST(Catalogue, P02_TwoNamesForOneLimitMustAgree) {
  TestServer s;
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("max_tokens":3,"max_completion_tokens":4)")),
            "400 max_completion_tokens");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("max_tokens":3,"max_completion_tokens":3)")), "");
}

TEST(Catalogue, P04_PromptsTimesChoicesAreBounded) {
  TestServer s;
  const auto prompts = [](size_t count, int n) {
    return fmt::format(
        R"({{"max_tokens":1,"n":{},"prompt":[{}"a"]}})", n, repeat("\"a\",", count - 1));
  };
  EXPECT_EQ(verdict(s, kCompletions, prompts(2, 128)), "");
  EXPECT_EQ(verdict(s, kCompletions, prompts(3, 86)), "400 n");
  EXPECT_EQ(verdict(s, kCompletions, prompts(128, 2)), "");
  EXPECT_EQ(verdict(s, kCompletions, prompts(129, 1)), "400 prompt");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("n":2147483648)")), "400 n");
}

TEST(Catalogue, P06_BadLogitBiasIsRefusedByName) {
  FakeLanguageModel::Options options;
  options.vocab_size = 2000;
  TestServer s(options);
  std::string many = "\"0\":1";
  for (int i = 1; i < 1024; ++i) {
    many += fmt::format(",\"{}\":1", i);
  }
  EXPECT_EQ(
      verdict(s, kChat, chat_with(fmt::format(R"("max_tokens":1,"logit_bias":{{{}}})", many))), "");
  many += R"(,"1024":1)";
  for (const std::string& bias : {std::string(R"("-1":1)"),
                                  std::string(R"("1099511627776":1)"),
                                  std::string(R"("x":1)"),
                                  std::string(R"("1":"2")"),
                                  std::string(R"("1":null)"),
                                  std::string(R"("1":1e300)"),
                                  std::string(R"("1.5":1)"),
                                  std::string(R"("2000":1)"),
                                  std::string(R"("1":100.01)"),
                                  std::string(R"("1":-100.01)"),
                                  std::string(R"("":1)"),
                                  many}) {
    const std::string got =
        verdict(s, kChat, chat_with(fmt::format(R"("max_tokens":1,"logit_bias":{{{}}})", bias)));
    EXPECT_TRUE(got.starts_with("400 logit_bias")) << got << " " << bias.substr(0, 40);
  }
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("max_tokens":1,"logit_bias":{})")), "");
}

TEST(Catalogue, P07_StopStringsAreBounded) {
  TestServer s;
  const auto stops = [](size_t count) {
    return fmt::format(R"("max_tokens":1,"stop":[{}"x"])", repeat("\"x\",", count - 1));
  };
  EXPECT_EQ(verdict(s, kChat, chat_with(stops(16))), "");
  EXPECT_EQ(verdict(s, kChat, chat_with(stops(17))), "400 stop");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("stop":"")")), "400 stop");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("stop":["a",""])")), "400 stop[1]");
  EXPECT_EQ(verdict(s, kChat, chat_with(R"("stop":["a",1])")), "400 stop[1]");
  EXPECT_EQ(verdict(s, kChat, chat_with("\"stop\":\"" + std::string(4096, 'x') + "\"")), "");
  EXPECT_EQ(verdict(s, kChat, chat_with("\"stop\":\"" + std::string(4097, 'x') + "\"")),
            "400 stop");
  EXPECT_EQ(verdict(s, kChat, chat_with("\"stop\":\"" + std::string(1 << 20, 'x') + "\"")),
            "400 stop");
}

TEST(Catalogue, P08_TokenIdPrompts) {
  FakeLanguageModel::Options options;
  options.vocab_size = 1000;
  options.max_context = 64;
  TestServer s(options);
  const auto prompt = [&](const std::string& ids) {
    return verdict(s, kCompletions, fmt::format(R"({{"max_tokens":1,"prompt":[{}]}})", ids));
  };
  EXPECT_EQ(prompt("0,999"), "");
  EXPECT_EQ(prompt("0,1000"), "400 prompt[1]");
  EXPECT_EQ(prompt("-1"), "400 prompt[0]");
  EXPECT_EQ(prompt("1,2.0"), "400 prompt[1]");
  EXPECT_EQ(prompt("1,4294967296"), "400 prompt[1]");
  EXPECT_EQ(prompt("1,\"a\""), "400 prompt[1]");
  EXPECT_EQ(prompt(""), "400 prompt");
  EXPECT_EQ(prompt(repeat("1,", 64) + "1"), "400 prompt");
  EXPECT_EQ(s.post(kCompletions, R"({"prompt":[)" + repeat("1,", 3'000'000) + "1]}").status, 400);
}

// Every limit has a flag of its own, a default inside its bounds and survives being set.
TEST(Limits, TheTableCanSetEveryLimit) {
  std::map<std::string, int> flags;
  for (const LimitRow& row : limit_rows()) {
    EXPECT_EQ(++flags[row.name], 1) << row.name;
    HttpLimits http;
    RequestLimits request;
    const double standard = limit_value(row, http, request);
    EXPECT_GE(standard, row.min) << row.name;
    EXPECT_LE(standard, row.max) << row.name;
    for (const double value : {row.min, row.max}) {
      set_limit(row, value, http, request);
      EXPECT_NEAR(limit_value(row, http, request), value, 1e-3) << row.name;
    }
  }
}

}  // namespace
}  // namespace tutti::testing
