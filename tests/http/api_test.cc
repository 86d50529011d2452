// Routes, methods, keys, hosts, content types, models, metrics: everything but generation.
#include <gtest/gtest.h>

#include "http/test_server.h"
#include "serve/http_api.h"
#include "serve/route_guide.h"

namespace tutti::testing {
namespace {

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kHello = R"({"messages":[{"role":"user","content":"hi"}]})";

std::string code_of(const RawResponse& response) {
  return text_at(at(error_of(response), "code"));
}

TEST(Api, ListsAndShowsModels) {
  TestServer s;
  const RawResponse list = s.send(make_request("GET", "/v1/models"));
  EXPECT_EQ(list.status, 200);
  EXPECT_EQ(list.header("content-type"), "application/json");
  EXPECT_EQ(list.body,
            R"({"object":"list","data":[{"id":"fake/model 1","object":"model",)"
            R"("created":1700000000,"owned_by":"tutti","max_model_len":4096}]})");
  for (const char* path : {"/v1/models/fake%2Fmodel%201", "/v1/models/fake/model%201"}) {
    const RawResponse one = s.send(make_request("GET", path));
    EXPECT_EQ(one.status, 200) << path;
    EXPECT_EQ(text_at(at(body_json(one), "id")), "fake/model 1");
  }
  // Decoded once: %252F is the name "fake%2F…", which is not served.
  for (const char* path : {"/v1/models/fake%252Fmodel%201", "/v1/models/..%2Fx", "/v1/models/x"}) {
    const RawResponse none = s.send(make_request("GET", path));
    EXPECT_EQ(none.status, 404) << path;
    const Json error = error_of(none);
    EXPECT_EQ(text_at(at(error, "code")), "model_not_found");
    EXPECT_EQ(text_at(at(error, "param")), "model");
    EXPECT_NE(text_at(at(error, "message")).find("fake/model 1"), std::string::npos);
  }
}

TEST(Api, HeadHasTheHeadersOfGet) {
  TestServer s;
  RawClient client(s.port());
  client.send(make_request("HEAD", "/v1/models") + make_request("GET", "/v1/models"));
  const RawResponse head = client.read_response(/*head_only=*/true);
  const RawResponse get = client.read_response();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(get.status, 200);
  EXPECT_EQ(head.header("content-length"), get.header("content-length"));
  EXPECT_EQ(get.header("x-content-type-options"), "nosniff");
}

TEST(Api, UnknownRoutesAre404) {
  TestServer s;
  for (const char* path : {"//v1/models",
                           "//",
                           "/x",
                           "/v1/models/",
                           "/v1%2Fmodels",
                           "/V1/models",
                           "/v1/models;x",
                           "/v1/../v1/models",
                           "/health/",
                           "/v1/embeddings"}) {
    const RawResponse response = s.send(make_request("GET", path));
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(code_of(response), "not_found") << path;
  }
  EXPECT_EQ(s.send(make_request("GET", "/health?x=1")).status, 200);
}

TEST(Api, OtherMethodsAre405) {
  TestServer s;
  const RawResponse get = s.send(make_request("GET", kChat));
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.header("allow"), "POST");
  EXPECT_EQ(code_of(get), "method_not_allowed");
  for (const char* method : {"POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "FOO"}) {
    const RawResponse response = s.send(make_request(method, "/v1/models"));
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.header("allow"), "GET, HEAD");
    EXPECT_EQ(response.header("access-control-allow-origin"), "");
  }
  EXPECT_EQ(s.send("CONNECT a:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").status, 400);
}

TEST(Api, DemandsJson) {
  TestServer s;
  for (const char* type : {"Content-Type: text/plain",
                           "Content-Type: application/x-www-form-urlencoded",
                           "Content-Type: multipart/form-data; boundary=x",
                           "Content-Type: application/jsonx",
                           "X: no content type",
                           "Content-Type: application/json\r\nContent-Encoding: gzip"}) {
    const RawResponse response = s.send(make_request("POST", kChat, kHello, {type}));
    EXPECT_EQ(response.status, 415) << type;
    EXPECT_EQ(code_of(response), "unsupported_media_type");
  }
  EXPECT_EQ(s.model->generations(), 0U);
  EXPECT_EQ(
      s.send(make_request("POST", kChat, kHello, {"Content-Type: Application/JSON; charset=utf-8"}))
          .status,
      200);
}

TEST(Api, LoopbackServerAnswersOnlyToLoopbackNames) {
  TestServer s;
  for (const char* host : {"evil.test", "127.0.0.1.evil.test", "192.168.0.1:9997"}) {
    const RawResponse response =
        s.send(fmt::format("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", host));
    EXPECT_EQ(response.status, 403) << host;
    EXPECT_EQ(code_of(response), "forbidden");
    EXPECT_NE(response.body.find(host), std::string::npos) << response.body;
  }
  EXPECT_EQ(s.send("GET /health HTTP/1.1\r\nHost: localhost:9997\r\n\r\n").status, 200);
}

// A load balancer must send nothing to a server that takes nothing, whatever it asks by.
TEST(Api, ProbesSayWhetherTheServerIsReadyAndNeedNoKey) {
  ServerConfig config;
  config.api_key = "secret";
  TestServer s({}, config);
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
    EXPECT_EQ(s.send(make_request(method, "/ready")).status, method[0] == 'O' ? 204 : 200);
    EXPECT_EQ(s.send(make_request(method, "/v1/models")).status, 401);
  }
  s.model->fail_health(error(StatusCode::kUnavailable, "not now"));
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
    for (const char* path : {"/ping", "/readyz", "/ready"}) {
      EXPECT_EQ(s.send(make_request(method, path)).status, 503) << method << path;
    }
  }
}

// Default checks of HAProxy and others. What is no secret is told to a name that no page can have.
TEST(Api, ProbesOfLoadBalancersAreAnswered) {
  TestServer s;
  for (const char* path : {"/",
                           "/ping",
                           "/health",
                           "/healthz",
                           "/livez",
                           "/readyz",
                           "/health/live",
                           "/health/ready",
                           "/ready"}) {
    for (const char* rest : {" HTTP/1.0\r\n\r\n",
                             " HTTP/1.0\r\nHost: my_backend\r\n\r\n",
                             " HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
                             " HTTP/1.1\r\nHost: my_backend:9997\r\n\r\n",
                             " HTTP/1.1\r\nHost: tutti\r\n\r\n"}) {
      EXPECT_EQ(s.send(std::string("GET ") + path + rest).status, 200) << path << rest;
      EXPECT_EQ(s.send(std::string("HEAD ") + path + rest).status, 200) << path << rest;
      const RawResponse options = s.send(std::string("OPTIONS ") + path + rest);
      EXPECT_EQ(options.status, 204) << path << rest;
      EXPECT_EQ(options.header("allow"), "GET, HEAD, OPTIONS");
      EXPECT_EQ(options.body, "");
    }
    EXPECT_EQ(s.send(fmt::format("GET http://evil.test{} HTTP/1.0\r\n\r\n", path)).status, 403);
  }
  EXPECT_EQ(s.send("OPTIONS * HTTP/1.1\r\nHost: tutti\r\n\r\n").status, 204);
  EXPECT_EQ(s.send("GET * HTTP/1.1\r\nHost: tutti\r\n\r\n").status, 400);
  // Browsers always name a host: whoever does not is no rebound page.
  EXPECT_EQ(s.send("GET /v1/models HTTP/1.0\r\n\r\n").status, 200);
  for (const char* path : {"/v1/models", "/metrics", "/v1/models/x", "/nothing"}) {
    EXPECT_EQ(s.send(fmt::format("GET {} HTTP/1.1\r\nHost: my_backend\r\n\r\n", path)).status, 403);
  }
}

// Who types the address into a browser sees that the server runs, whatever it is doing.
TEST(Api, TheRootTellsTheRoutesAlways) {
  ServerConfig config;
  config.api_key = "secret";
  TestServer s({}, config);
  for (const bool ready : {true, false}) {
    const RawResponse json = s.send(make_request("GET", "/"));
    EXPECT_EQ(json.status, 200);
    EXPECT_EQ(json.header("content-type"), "application/json");
    const Json body = body_json(json);
    EXPECT_EQ(text_at(at(body, "status")), ready ? "ready" : "not ready");
    ASSERT_TRUE(at(body, "routes").is_array());
    EXPECT_EQ(at(body, "routes").as_array().size(), route_table().size());
    const RawResponse page =
        s.send(make_request("GET", "/", "", {"Accept: text/html,application/xhtml+xml,*/*;q=0.8"}));
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
    for (const Route& route : route_table()) {
      EXPECT_NE(page.body.find(route.path), std::string::npos) << route.path;
      EXPECT_NE(json.body.find(route.path), std::string::npos) << route.path;
    }
    EXPECT_EQ(page.body.find("not now<"), std::string::npos);
    EXPECT_EQ(page.body.find("not now&lt;b&gt;") != std::string::npos, !ready);
    EXPECT_EQ(s.send(make_request("HEAD", "/")).status, 200);
    EXPECT_EQ(s.send(make_request("OPTIONS", "/")).status, 204);
    s.model->fail_health(error(StatusCode::kUnavailable, "not now<b>"));
  }
}

TEST(Api, TheVersionIsToldToWhoeverHasTheKey) {
  ServerConfig config;
  config.api_key = "secret";
  config.version = "1.2.3";
  config.build = "abc";
  TestServer s({}, config);
  EXPECT_EQ(s.send(make_request("GET", "/version")).status, 401);
  EXPECT_EQ(s.send(make_request("GET", "/version", "", {"Authorization: Bearer secret"})).body,
            R"({"version":"1.2.3","build":"abc"})");
}

struct Lost {
  const char* method;
  const char* path;
  const char* hint;
};

TEST(Api, ALostRequestIsToldTheWay) {
  TestServer s;
  for (const Lost& lost :
       {Lost{"POST", "/api/pull", "hf download"},
        Lost{"POST", "/v1/messages/batches", "Anthropic's API; here: POST /v1/messages"},
        Lost{"POST", "/v1/threads", "here: POST /v1/chat/completions"},
        Lost{"POST", "/v1/embeddings", "embeddings"},
        Lost{"POST", "/generate", "here: POST /v1/completions"},
        Lost{"POST", "/completion", "here: POST /v1/completions"},
        Lost{"GET", "/props", "here: GET /v1/models"},
        Lost{"POST", "/v1/tokenize", "here: POST /tokenize"},
        Lost{"GET", "/redoc", "here: GET /docs"},
        Lost{"GET", "/v1/model_registrations/LLM", "Xinference"},
        Lost{"POST", "/chat/completions", "The base URL for clients ends with /v1"},
        Lost{"POST", "/completions", "The base URL for clients ends with /v1"},
        Lost{"GET", "/models", "did you mean GET /v1/models?"},
        Lost{"POST", "/v1/v1/chat/completions", "did you mean POST /v1/chat/completions?"},
        Lost{"POST", "/api/v1/chat/completions", "did you mean POST /v1/chat/completions?"},
        Lost{"POST", "/v1/chat/completions/", "none at the end"},
        Lost{"POST", "//v1/chat/completions", "single slashes"},
        Lost{"POST", "/V1/chat/completions", "small letters"},
        Lost{"POST", "/v1/chat/completion", "did you mean POST /v1/chat/completions?"},
        Lost{"POST", "/v1/chat", "did you mean POST /v1/chat/completions?"},
        Lost{"POST", "/v1/chat/complete", "did you mean POST /v1/chat/completions?"},
        Lost{"GET", "/api/v0/models", "LM Studio's API; here: GET /v1/models"},
        Lost{"GET", "/v1", "base URL"},
        Lost{"GET", "/v1/model", "did you mean GET /v1/models?"},
        Lost{"GET", "/quite/other", "no such route. This server has POST /v1/chat/completions"}}) {
    const RawResponse response = s.send(make_request(lost.method, lost.path));
    EXPECT_EQ(response.status, 404) << lost.path;
    const std::string message = text_at(at(error_of(response), "message"));
    EXPECT_TRUE(message.starts_with(fmt::format("{} {}: ", lost.method, lost.path))) << message;
    EXPECT_NE(message.find(lost.hint), std::string::npos) << message;
    for (const char* has : {"This server has POST /v1/chat/completions, POST /v1/completions, POST",
                            "GET /v1/models, GET /v1/models/{model}"}) {
      EXPECT_NE(message.find(has), std::string::npos) << message;
    }
  }
  const RawResponse odd = s.send(make_request("GET", "/" + std::string(4000, 'x') + "%ff%0a"));
  EXPECT_EQ(odd.status, 400);
  const RawResponse longer = s.send(make_request("GET", "/" + std::string(4000, 'x') + "%0a"));
  EXPECT_EQ(longer.status, 404);
  EXPECT_LT(longer.body.size(), 1000U);
  EXPECT_LT(odd.body.size(), 1000U);
}

// A pointer must point at what exists, and be about what does not.
TEST(Api, PointersOfOtherApisAreTrue) {
  for (const ForeignPath& row : foreign_paths()) {
    const std::string_view advice = row.advice;
    const bool route = advice.starts_with("POST /") || advice.starts_with("GET /");
    bool exists = false;
    for (const Route& known : route_table()) {
      exists |= advice == fmt::format("{} {}", known.method, known.path);
      EXPECT_EQ(fmt::format(" {} ", row.paths).find(fmt::format(" {} ", known.path)),
                std::string::npos)
          << known.path;
    }
    EXPECT_EQ(exists, route) << row.paths;
  }
}

// A page that loads nothing: its policy lets in its own style alone.
TEST(Api, TheRoutesAreAPageToo) {
  ServerConfig config;
  config.api_key = "secret";
  TestServer s({}, config);
  const RawResponse page = s.send(make_request("GET", "/docs"));
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  const std::string policy = page.header("content-security-policy");
  EXPECT_TRUE(policy.starts_with("default-src 'none'; style-src 'sha256-")) << policy;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  for (const char* forbidden : {"<script", "http://", "https://", "style=", "src="}) {
    EXPECT_EQ(page.body.find(forbidden), std::string::npos) << forbidden;
  }
  for (const Route& route : route_table()) {
    EXPECT_NE(page.body.find(fmt::format("{} {}<", route.method, route.pattern())),
              std::string::npos)
        << route.path;
  }
  for (const char* field : {"max_output_tokens", "stop_sequences", "return_token_ids"}) {
    EXPECT_NE(page.body.find(field), std::string::npos) << field;
  }
}

TEST(Api, AWrongMethodIsToldTheRightOnes) {
  TestServer s;
  for (const Lost& lost :
       {Lost{"GET", kChat, "this route takes POST"},
        Lost{"PUT", kChat, "this route takes POST"},
        Lost{"POST", "/health", "this route takes GET, HEAD, OPTIONS"},
        Lost{"POST", "/v1/models", "this route takes GET, HEAD; a model is chosen at start: tutti"},
        Lost{"DELETE", "/v1/models/x", "Ctrl-C"}}) {
    const RawResponse response = s.send(make_request(lost.method, lost.path));
    EXPECT_EQ(response.status, 405) << lost.path;
    EXPECT_FALSE(response.header("allow").empty());
    const std::string message = text_at(at(error_of(response), "message"));
    EXPECT_NE(message.find(lost.hint), std::string::npos) << message;
    EXPECT_TRUE(message.starts_with(lost.method)) << message;
  }
}

TEST(Api, EveryReplyHasARequestId) {
  TestServer s;
  const RawResponse made = s.send(make_request("GET", "/health"));
  EXPECT_TRUE(made.header("x-request-id").starts_with("req-"));
  EXPECT_NE(made.header("x-request-id"),
            s.send(make_request("GET", "/health")).header("x-request-id"));
  const RawResponse given = s.send(make_request("GET", "/x", "", {"X-Request-Id: my.id_1-2"}));
  EXPECT_EQ(given.header("x-request-id"), "my.id_1-2");
  const RawResponse odd = s.send(make_request("GET", "/x", "", {"X-Request-Id: <b>\""}));
  EXPECT_TRUE(odd.header("x-request-id").starts_with("req-"));
  EXPECT_FALSE(s.send("nonsense\r\n\r\n").header("x-request-id").empty());
}

TEST(Api, KeyGuardsAllButTheProbes) {
  ServerConfig config;
  config.api_key = "sk-test-123";
  TestServer s({}, config);
  for (const char* path : {"/v1/models", "/metrics", "/v1/models/x", "/nope"}) {
    const RawResponse response = s.send(make_request("GET", path));
    EXPECT_EQ(response.status, 401) << path;
    EXPECT_EQ(response.header("www-authenticate"), "Bearer");
    EXPECT_EQ(text_at(at(error_of(response), "type")), "authentication_error");
    EXPECT_EQ(code_of(response), "invalid_api_key");
  }
  EXPECT_EQ(s.post(kChat, kHello).status, 401);
  EXPECT_EQ(s.send(make_request("GET", "/health")).status, 200);
  EXPECT_EQ(s.send(make_request("GET", "/ready")).status, 200);

  struct Form {
    const char* header;
    int status;
  };

  for (const Form& form :
       {Form{"Authorization: Bearer sk-test-123", 200},
        Form{"Authorization: bearer sk-test-123", 200},
        Form{"authorization: BEARER sk-test-123", 200},
        Form{"Authorization: Bearer  sk-test-123", 401},
        Form{"Authorization: Bearer sk-test-12", 401},
        Form{"Authorization: Bearer sk-test-1234", 401},
        Form{"Authorization: Bearer", 401},
        Form{"Authorization: sk-test-123", 401},
        Form{"Authorization: Basic sk-test-123", 401},
        Form{"Authorization: Bearer sk-t\xC3\xA9st-123", 401},
        Form{"X-Api-Key: sk-test-123", 200},
        Form{"X-Api-Key: sk-test-12", 401},
        Form{"Api-Key: sk-test-123", 401},
        Form{"X-Api-Key: sk-test-123\r\nAuthorization: Bearer sk-test-123", 200},
        Form{"X-Api-Key: sk-test-12\r\nAuthorization: Bearer sk-test-123", 401},
        Form{"X-Api-Key: sk-test-123\r\nX-Api-Key: sk-test-123", 400},
        Form{"Authorization: Bearer sk-test-123\r\nAuthorization: Bearer x", 400}}) {
    EXPECT_EQ(s.send(make_request("GET", "/v1/models", "", {form.header})).status, form.status)
        << form.header;
  }
  EXPECT_EQ(s.send(make_request("GET", "/v1/models?api_key=sk-test-123")).status, 401);
}

TEST(Api, TellsWhileTheModelLoads) {
  auto models = std::make_shared<ServedModels>();
  ServerConfig config;
  config.port = 0;
  auto server = HttpServer::start(config, models);
  ASSERT_TRUE(server.ok()) << server.status().message();
  const uint16_t port = (*server)->port();
  EXPECT_EQ(ask(port, make_request("GET", "/health")).body, R"({"status":"ok"})");
  EXPECT_EQ(ask(port, make_request("GET", "/v1/models")).body, R"({"object":"list","data":[]})");
  for (const std::string& request : {make_request("GET", "/ready"), make_post(kChat, kHello)}) {
    const RawResponse response = ask(port, request);
    EXPECT_EQ(response.status, 503);
    EXPECT_TRUE(retry_within(response, 2, 8)) << response.header("retry-after");
    EXPECT_NE(text_at(at(error_of(response), "message")).find("still loading"), std::string::npos);
  }
  models->set_reason(Status(StatusCode::kUnavailable, "loading failed: no such file"));
  EXPECT_NE(ask(port, make_request("GET", "/ready")).body.find("no such file"), std::string::npos);
  auto model = std::make_shared<FakeLanguageModel>(FakeLanguageModel::Options{});
  ASSERT_TRUE(models->add(model).ok());
  EXPECT_EQ(ask(port, make_request("GET", "/ready")).status, 200);
  model->fail_health(Status(StatusCode::kDevice, "rank 3 is gone"));
  const RawResponse sick = ask(port, make_request("GET", "/ready"));
  EXPECT_EQ(sick.status, 503);
  EXPECT_NE(sick.body.find("rank 3 is gone"), std::string::npos);
  for (const char* path : {"/health", "/health/live"}) {
    const RawResponse dead = ask(port, make_request("GET", path));
    EXPECT_EQ(dead.status, 503);
    EXPECT_NE(dead.body.find("rank 3 is gone"), std::string::npos);
  }
  // One that merely takes no requests lives.
  model->fail_health(Status(StatusCode::kUnavailable, "shutting down"));
  EXPECT_EQ(ask(port, make_request("GET", "/ready")).status, 503);
  EXPECT_EQ(ask(port, make_request("GET", "/health/live")).body, R"({"status":"ok"})");
  EXPECT_FALSE(models->add(model).ok());
  EXPECT_TRUE(models->remove("fake/model 1"));
  EXPECT_FALSE(models->remove("fake/model 1"));
}

TEST(Api, SeveralModelsNeedAName) {
  TestServer s;
  FakeLanguageModel::Options other;
  other.id = "other";
  ASSERT_TRUE(s.models->add(std::make_shared<FakeLanguageModel>(other)).ok());
  const RawResponse none = s.post(kChat, kHello);
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(text_at(at(error_of(none), "param")), "model");
  const RawResponse named =
      s.post(kChat, R"({"model":"other","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(text_at(at(body_json(named), "model")), "other");
  const RawResponse unknown =
      s.post(kChat, R"({"model":"nope","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(code_of(unknown), "model_not_found");
  EXPECT_NE(unknown.body.find("fake/model 1, other"), std::string::npos);
}

TEST(Api, StatusesOfTheModelReachTheClient) {
  TestServer s;

  struct Case {
    StatusCode code;
    int http;
    int from;  // of Retry-After; 0: none
    int to;
  };

  for (const Case& c : {Case{StatusCode::kContextLength, 400, 0, 0},
                        Case{StatusCode::kOverloaded, 429, 1, 4},
                        Case{StatusCode::kUnavailable, 503, 2, 8},
                        Case{StatusCode::kDevice, 503, 2, 8},
                        Case{StatusCode::kInternal, 500, 0, 0}}) {
    for (const char* stream : {"false", "true"}) {
      s.model->fail_next(Status(c.code, "because"));
      const RawResponse response = s.post(
          kChat,
          fmt::format(R"({{"stream":{},"messages":[{{"role":"user","content":"hi"}}]}})", stream));
      EXPECT_EQ(response.status, c.http);
      EXPECT_TRUE(c.from == 0 ? response.header("retry-after").empty()
                              : retry_within(response, c.from, c.to));
      EXPECT_EQ(response.header("x-should-retry"), c.http == 500 ? "false" : "");
      EXPECT_EQ(code_of(response), mapping(c.code).name);
    }
  }
}

TEST(Api, AnExceptionIsOneFailedRequest) {
  TestServer s;
  const RawResponse response = s.post(kChat, R"({"messages":[{"role":"user","content":"throw"}]})");
  EXPECT_EQ(response.status, 500);
  // Nothing of the exception's text goes out, only the id under which it was logged.
  EXPECT_EQ(response.body.find("secret"), std::string::npos);
  EXPECT_NE(response.body.find(response.header("x-request-id")), std::string::npos);
  EXPECT_EQ(s.post(kChat, kHello).status, 200);
}

TEST(Api, MalformedJsonIs400) {
  TestServer s;
  std::string deep(100, '[');
  for (const std::string& body : {std::string("{"),
                                  std::string("[]"),
                                  std::string("null"),
                                  std::string("{}{}"),
                                  std::string("{'a':1}"),
                                  std::string(R"({"temperature":NaN})"),
                                  std::string(R"({"temperature":Infinity})"),
                                  std::string(R"({"temperature":1e400})"),
                                  std::string(R"({"n":01})"),
                                  std::string(R"({"model":"a","model":"b"})"),
                                  std::string("{\"model\":\"\xC0\xAF\"}"),
                                  std::string("{\"model\":\"\xED\xA0\x80\"}"),
                                  std::string(R"({"model":"\ud800"})"),
                                  std::string("\xEF\xBB\xBF{}"),
                                  R"({"x":)" + deep,
                                  R"({"x":)" + std::string(65, '1') + "}",
                                  R"({"x":[)" + std::string(2'000'000, ',') + "]}",
                                  std::string(R"({"x":1} x)")}) {
    const RawResponse response = s.post(kChat, body);
    EXPECT_EQ(response.status, 400) << body.substr(0, 80);
    EXPECT_EQ(text_at(at(error_of(response), "type")), "invalid_request_error");
  }
  EXPECT_EQ(s.model->generations(), 0U);
  EXPECT_EQ(s.send(make_post(kChat, kHello)).status, 200);
  EXPECT_EQ(s.send(make_request("POST", kChat, "", {"Content-Type: application/json"})).status,
            400);
}

TEST(Api, MetricsArePrometheusText) {
  TestServer s;
  EXPECT_EQ(s.post(kChat, R"({"x":1,"messages":[{"role":"user","content":"hi"}]})").status, 200);
  EXPECT_EQ(s.send(make_request("GET", "/nope")).status, 404);
  const RawResponse response = s.send(make_request("GET", "/metrics"));
  EXPECT_EQ(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line :
       {"# TYPE tutti:num_requests_running gauge\n",
        "tutti:num_requests_waiting{model_name=\"fake/model 1\"} 0\n",
        "tutti:kv_cache_usage_perc{model_name=\"fake/model 1\"} 0.25\n",
        "# TYPE tutti:generation_tokens_total counter\n",
        "tutti:generation_tokens_total{model_name=\"fake/model 1\"} 7\n",
        "# HELP tutti:prompt_tokens_total ",
        "# TYPE tutti:request_success_total counter\n",
        "tutti:http_requests_total{route=\"/v1/chat/completions\",code=\"200\"} 1\n",
        "tutti:http_requests_total{route=\"other\",code=\"404\"} 1\n",
        "tutti:http_unknown_fields_total 1\n",
        "tutti:http_connections 1\n"}) {
    EXPECT_NE(response.body.find(line), std::string::npos) << line << "\n" << response.body;
  }
}

}  // namespace
}  // namespace tutti::testing
