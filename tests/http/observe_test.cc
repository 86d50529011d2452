// Metrics in Prometheus' text format, and log lines: one per request, safe, without prompt text.
#include <chrono>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "base/log_event.h"
#include "base/utf8.h"
#include "http/test_server.h"
#include "serve/request_log.h"

namespace tutti::testing {
namespace {

constexpr const char* kChat = "/v1/chat/completions";

std::string metrics_of(const TestServer& s) {
  return s.send(make_request("GET", "/metrics")).body;
}

double sample(const std::string& metrics, const std::string& series) {
  const size_t at = metrics.find("\n" + series + " ");
  EXPECT_NE(at, std::string::npos) << series;
  return at == std::string::npos ? -1 : std::stod(metrics.substr(at + series.size() + 2));
}

// What a scraper demands of every line, and of every histogram.
void check_format(const std::string& metrics) {
  const std::regex line_pattern(
      R"(tutti:[a-z0-9_]+(\{[a-z_]+="(\\[\\"n]|[^\\"\n])*"(,[a-z_]+="(\\[\\"n]|[^\\"\n])*")*\})? \S+)");
  std::map<std::string, std::string> types;
  std::set<std::string> seen;
  std::map<std::string, double> last_bucket;
  std::istringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      std::istringstream words(line.substr(7));
      std::string name;
      std::string type;
      words >> name >> type;
      EXPECT_TRUE(types.emplace(name, type).second) << "two heads: " << line;
      continue;
    }
    if (line.starts_with("# HELP ")) {
      continue;
    }
    ASSERT_TRUE(std::regex_match(line, line_pattern)) << line;
    const std::string series = line.substr(0, line.rfind(' '));
    EXPECT_TRUE(seen.insert(series).second) << "twice: " << series;
    std::string name = series.substr(0, series.find('{'));
    const double value = std::stod(line.substr(line.rfind(' ') + 1));
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      if (!types.contains(name) && name.ends_with(suffix)) {
        name.resize(name.size() - std::string(suffix).size());
        EXPECT_EQ(types[name], "histogram") << line;
        if (std::string(suffix) == "_bucket") {
          EXPECT_GE(value, last_bucket[name]) << line;
          last_bucket[name] = value;
        } else if (std::string(suffix) == "_count") {
          EXPECT_EQ(value, last_bucket[name]) << line;
          last_bucket[name] = 0;
        }
        break;
      }
    }
    EXPECT_TRUE(types.contains(name)) << line;
    EXPECT_EQ(name.ends_with("_total"), types[name] == "counter") << name;
  }
}

TEST(Metrics, TheFormatIsWhatScrapersDemand) {
  FakeLanguageModel::Options options;
  options.id = "we\"ird\\mod\nel";
  TestServer s(options);
  EXPECT_EQ(s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}]})").status, 200);
  EXPECT_EQ(s.post(kChat, "{").status, 400);
  const RawResponse response = s.send(make_request("GET", "/metrics"));
  EXPECT_EQ(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  check_format(response.body);
  for (const MetricInfo& info : metric_rows()) {
    EXPECT_NE(response.body.find(fmt::format("# TYPE tutti:{} {}\n", info.name, info.type)),
              std::string::npos)
        << info.name;
  }
}

TEST(Metrics, CountWhatHappened) {
  TestServer s;
  const std::string model = "{model_name=\"fake/model 1\"}";
  const auto reason = [](const char* name) {
    return fmt::format(
        "tutti:request_success_total{{model_name=\"fake/model 1\",finished_reason=\"{}\"}}", name);
  };
  EXPECT_EQ(s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"n":2})").status, 200);
  EXPECT_EQ(
      s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stream":true})")
          .status,
      200);
  EXPECT_EQ(s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"n":129})").status, 400);
  s.model->fail_next(Status(StatusCode::kOverloaded, "full"));
  EXPECT_EQ(s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}]})").status, 429);
  const std::string metrics = metrics_of(s);
  EXPECT_EQ(sample(metrics, reason("stop")), 2);
  EXPECT_EQ(sample(metrics, reason("length")), 1);
  EXPECT_EQ(sample(metrics, reason("abort")), 0);
  EXPECT_EQ(sample(metrics, "tutti:time_to_first_token_seconds_count" + model), 2);
  EXPECT_EQ(sample(metrics, "tutti:e2e_request_latency_seconds_count" + model), 2);
  // Seven pieces for each of two choices, three for the other request: first tokens do not count.
  EXPECT_EQ(sample(metrics, "tutti:inter_token_latency_seconds_count" + model), 6 + 6 + 2);
  EXPECT_EQ(sample(metrics, "tutti:request_generation_tokens_sum" + model), 14 + 3);
  EXPECT_EQ(sample(metrics, "tutti:http_requests_rejected_total{reason=\"invalid_argument\"}"), 1);
  EXPECT_EQ(sample(metrics, "tutti:http_requests_rejected_total{reason=\"overloaded\"}"), 1);
  EXPECT_EQ(
      sample(metrics, "tutti:http_requests_total{route=\"/v1/chat/completions\",code=\"200\"}"), 2);
  EXPECT_GT(sample(metrics, "tutti:e2e_request_latency_seconds_sum" + model), 0);
}

TEST(Metrics, AbortsAndErrorsAreReasons) {
  TestServer s(manual_model());
  const auto reason = [](const char* name) {
    return fmt::format(
        "tutti:request_success_total{{model_name=\"fake/model 1\",finished_reason=\"{}\"}}", name);
  };
  const std::string body = R"({"messages":[{"role":"user","content":"hi"}]})";
  RawClient client(s.port());
  client.send(make_post(kChat, body));
  const auto left = s.model->wait_generation(0);
  ASSERT_NE(left, nullptr);
  client.close();
  ASSERT_TRUE(s.model->wait_cancelled(*left));
  left->sink->on_error(Status(StatusCode::kCancelled, "cancelled"));
  RawClient second(s.port());
  second.send(make_post(kChat, body));
  const auto failed = s.model->wait_generation(1);
  ASSERT_NE(failed, nullptr);
  failed->sink->on_error(Status(StatusCode::kInternal, "planted"));
  EXPECT_EQ(second.read_response().status, 500);
  const std::string metrics = metrics_of(s);
  EXPECT_EQ(sample(metrics, reason("abort")), 1);
  EXPECT_EQ(sample(metrics, reason("error")), 1);
}

TEST(RequestIds, SaneOnesAreKeptOthersReplaced) {
  TestServer s;
  const auto id_for = [&](const std::string& id) {
    return s.send(make_request("GET", "/health", "", {"X-Request-Id: " + id}))
        .header("x-request-id");
  };
  EXPECT_EQ(id_for("trace-1.a_B"), "trace-1.a_B");
  EXPECT_EQ(id_for(std::string(128, 'a')), std::string(128, 'a'));
  for (const std::string& bad : {std::string(129, 'a'),
                                 std::string("a b"),
                                 std::string("a\"b"),
                                 std::string("a{b}"),
                                 std::string("\xc3\xa9"),
                                 std::string()}) {
    EXPECT_TRUE(id_for(bad).starts_with("req-")) << bad;
  }
  EXPECT_NE(id_for(""), id_for(""));
}

RequestLine line_of(const std::string& path, const std::string& peer) {
  RequestLine line{.request_id = "req-1",
                   .method = "POST",
                   .path = path,
                   .peer = peer,
                   .status = 200,
                   .seconds = 0.75,
                   .model = "tiny"};
  line.facts = GenerationWatch::Facts{.prompt_tokens = 12,
                                      .cached_tokens = 8,
                                      .generated_tokens = 31,
                                      .first_token_seconds = 0.25,
                                      .decode_seconds = 0.5,
                                      .finish = "stop"};
  return line;
}

TEST(RequestLogLine, SaysWhatAnOperatorAsks) {
  const std::string text = describe(line_of(kChat, "127.0.0.1"));
  for (const char* part : {"POST /v1/chat/completions 200",
                           "req-1",
                           "tiny",
                           "12 prompt (8 cached)",
                           "31 generated",
                           "60.0 tok/s",
                           "stop"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(LogSafety, L01_NoTextForgesALineOrHidesInOne) {
  EXPECT_EQ(printable("a\r\nb\x1b[31m\x7f"), "a\\x0d\\x0ab\\x1b[31m\\x7f");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "evil\xe2\x80\xa8x"),
            "\\u202eevil\\u2028x");
  EXPECT_EQ(printable("\xc2\x85"), "\\x85");  // next line, of C1
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc3\xa9\xf0\x9f\x8e\x89"), "\xc3\xa9\xf0\x9f\x8e\x89");
}

TEST(LogSafety, L01_JsonLinesAreJsonAndBounded) {
  const std::string evil = "\"\\\n\xff\xe2\x80\xae" + std::string(1 << 20, '\\');
  for (const std::string& text :
       {std::string("plain"), evil, std::string(1 << 20, '\n'), std::string(100'000, '"')}) {
    const LogField fields[] = {{"request_id", std::string_view(text)},
                               {"path", std::string_view(text)},
                               {"model", std::string_view(text)},
                               {"status", int64_t{200}},
                               {"seconds", 0.5},
                               {"nan", std::nan("")}};
    const std::string line = json_log_line(LogLevel::kInfo, text, fields);
    EXPECT_LE(line.size(), kMaxLogLine);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto json = parse_json(line);
    ASSERT_TRUE(json.ok()) << json.status().message();
    EXPECT_EQ(json->find("level")->as_string(), "info");
    EXPECT_EQ(json->find("status")->as_int(), 200);
    EXPECT_TRUE(json->find("nan")->is_null());
  }
}

// The lines as they come out of the process.
TEST(LogSafety, L02_PromptsAndKeysAreInNoLine) {
  ServerConfig config;
  config.api_key = "sk-canary-key";
  TestServer s({}, config);
  const std::vector<std::string> auth{"Authorization: Bearer sk-canary-key"};
  ::testing::internal::CaptureStderr();
  set_log_level(LogLevel::kDebug);
  const std::string prompt = R"({"messages":[{"role":"user","content":"prompt-canary"}]})";
  EXPECT_EQ(s.send(make_post(kChat, prompt, auth)).status, 200);
  EXPECT_EQ(s.send(make_post(kChat, prompt)).status, 401);
  EXPECT_EQ(s.send(make_post(kChat, R"({"messages":"prompt-canary"})", auth)).status, 400);
  EXPECT_EQ(s.send(make_request("GET", "/" + std::string(4000, 'x'), "", auth)).status, 404);
  s.server->stop();
  set_log_level(LogLevel::kInfo);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("canary"), std::string::npos) << log;
  EXPECT_NE(log.find("POST /v1/chat/completions 200 req-"), std::string::npos) << log;
  EXPECT_NE(log.find("7 generated tokens"), std::string::npos) << log;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), kMaxLogLine);
  }
}

std::string log_of(const std::function<void(const TestServer&)>& requests,
                   ServerConfig config = {}) {
  TestServer s({}, std::move(config));
  ::testing::internal::CaptureStderr();
  requests(s);
  s.server->stop();
  return ::testing::internal::GetCapturedStderr();
}

// Route, peer, status, field and message: what an operator needs to tell a user what is wrong.
TEST(RefusalLog, EveryRefusedOrLostRequestLeavesALine) {
  ServerConfig config;
  config.api_key = "sk-1";
  const std::vector<std::string> auth{"Authorization: Bearer sk-1"};

  struct Refused {
    std::string request;
    std::vector<const char*> parts;
  };

  const Refused all[] = {
      {make_post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"n":129})", auth),
       {"POST /v1/chat/completions 400 ", "from 127.0.0.1", "n: got 129", "(invalid_argument)"}},
      {make_post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"model":"x"})", auth),
       {" 404 ", "model \"x\" is not served here", "(model_not_found)"}},
      {make_request("POST", "/api/pull", "", auth),
       {"POST /api/pull 404 ", "Ollama", "(not_found)"}},
      {make_request("GET", kChat, "", auth), {" 405 ", "this route takes POST"}},
      {make_request("GET", "/v1/models"), {"GET /v1/models 401 ", "no API key"}},
      {make_request("POST", kChat, "hi", auth), {" 415 ", "application/json"}},
      {"GET /health HTTP/1.1\r\nHost: evil.test\r\n\r\n", {" 403 ", "evil.test"}},
      {"\x16\x03\x01 and more", {"no request 400 ", "http://, not https://"}},
      {"PRI * HTTP/2.0\r\n\r\n", {"HTTP/2 is not spoken here"}},
      {make_request("GET", "/v1/models", "", {"Api-Key: sk-1"}), {"got the API key as api-key"}},
  };
  for (const Refused& one : all) {
    const std::string log = log_of([&](const TestServer& s) { (void)s.send(one.request); }, config);
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
    for (const char* part : one.parts) {
      EXPECT_NE(log.find(part), std::string::npos) << part << "\n" << log;
    }
    EXPECT_EQ(log.find("sk-1"), std::string::npos) << log;
  }
}

// An orchestrator asks every second while a model loads.
TEST(RefusalLog, AProbeThatIsToldToWaitLeavesNone) {
  const std::string log = log_of([](const TestServer& s) {
    s.model->fail_health(error(StatusCode::kUnavailable, "not now"));
    EXPECT_EQ(s.send(make_request("GET", "/ready")).status, 503);
    EXPECT_EQ(s.send(make_request("GET", "/")).status, 200);
  });
  EXPECT_EQ(log, "");
}

TEST(RefusalLog, WarningsAreInTheLineOfTheirRequest) {
  const std::string log = log_of([](const TestServer& s) {
    EXPECT_EQ(s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}],"steam":true})").status,
              200);
    EXPECT_EQ(s.post(kChat, R"({"messages":[{"role":"user","content":"hi"}]})").status, 200);
  });
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
  const size_t warned =
      log.find("warned of steam: no such field, so it has no effect; did you mean stream?");
  EXPECT_LT(warned, log.find('\n')) << log;
  EXPECT_EQ(log.find("warned", log.find('\n')), std::string::npos) << log;
}

TEST(RefusalLog, APrivateMessageIsForTheClientAlone) {
  const std::string log = log_of([](const TestServer& s) {
    s.model->fail_next(Status(StatusCode::kInvalidArgument, "you said canary").as_private());
    const RawResponse response =
        s.post(kChat, R"({"messages":[{"role":"user","content":"canary"}]})");
    EXPECT_EQ(response.status, 400);
    EXPECT_NE(response.body.find("canary"), std::string::npos);
  });
  EXPECT_NE(log.find("(invalid_argument)"), std::string::npos) << log;
  EXPECT_EQ(log.find("canary"), std::string::npos) << log;
}

TEST(LogSafety, AFloodOfRefusalsIsNoFloodOfLines) {
  TestServer s;
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(s.post(kChat, "{").status, 400);
  }
  s.server->stop();
  const std::string log = ::testing::internal::GetCapturedStderr();
  const auto lines = std::count(log.begin(), log.end(), '\n');
  EXPECT_GE(lines, 1);
  // What was left out is counted, to the last one.
  int64_t told = 0;
  std::istringstream in(log);
  for (std::string line; std::getline(in, line);) {
    const size_t end = line.find(" more refused requests were not logged");
    told += end == std::string::npos ? 1 : std::stoll(line.substr(line.rfind(' ', end - 1)));
  }
  EXPECT_EQ(told, 200);
  // A new second may begin a few times while this runs.
  EXPECT_LE(lines, 6 * (RequestLog::kRefusalsPerSecond + 1));
}

}  // namespace
}  // namespace tutti::testing
