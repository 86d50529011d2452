// Who may do what with a server, as the catalogue has it: keys (A-…), browsers (W-…).
#include <algorithm>
#include <fstream>
#include <set>

#include "serve/http_api.h"
#include "supervise/managed_server.h"

namespace tutti {
namespace {

using testing::ask;
using testing::at;
using testing::body_json;
using testing::both_errors;
using testing::error_of;
using ::testing::HasSubstr;
using testing::make_post;
using testing::make_request;
using testing::RawClient;
using testing::RawResponse;
using testing::text_at;

class AccessTest : public testing::ManagedServerTest {};

// W-03: what a page may send without asking changes nothing.
TEST_F(AccessTest, PagesOfOthersChangeNothing) {
  ASSERT_EQ(launch(uid("m")).status, 200);
  const std::vector<std::string> page{"Origin: http://evil.example"};
  EXPECT_EQ(call("DELETE", "/v1/models/m", "", page).status, 403);
  EXPECT_EQ(call("POST", "/v1/models/m/cancel", "", page).status, 403);
  EXPECT_EQ(ask(server->port(), make_post("/v1/models", "{" + uid("n") + "}", page)).status, 403);
  EXPECT_EQ(
      ask(server->port(), "DELETE /v1/models/m HTTP/1.1\r\nHost: evil.example\r\n\r\n").status,
      403);
  EXPECT_EQ(launches->all().size(), 1U);
}

// A-01: everything but a few routes wants the key.
TEST_F(AccessTest, A01_TheKeyIsWantedEverywhere) {
  stop();
  server_config.api_key = "secret";
  start();
  const std::pair<const char*, const char*> routes[] = {
      {"POST", "/v1/models"},
      {"GET", "/v1/models/instances"},
      {"DELETE", "/v1/models/m"},
      {"GET", "/v1/models/m/progress"},
      {"GET", "/v1/models/m/replicas"},
      {"POST", "/v1/models/m/replicas"},
      {"DELETE", "/v1/models/m/replicas/1"},
      {"POST", "/v1/models/m/cancel"},
      {"GET", "/v1/models/m/events"},
      {"GET", "/v1/models/m/logs"},
      {"GET", "/v1/cluster/info"},
      {"GET", "/v1/cluster/version"},
      {"GET", "/v1/cluster/devices"},
      {"GET", "/v1/workers"},
      {"GET", "/v1/supervisor"},
      {"GET", "/v1/model_registrations/LLM"},
  };
  for (const auto& [method, path] : routes) {
    const RawResponse response = call(method, path);
    EXPECT_EQ(response.status, 401) << method << " " << path;
    (void)both_errors(response);
  }
  EXPECT_EQ(call("GET", "/v1/cluster/gpus").status, 401);
  for (const char* open : {"/status", "/v1/address", "/v1/cluster/auth"}) {
    EXPECT_EQ(call("GET", open).status, 200) << open;
  }
  EXPECT_TRUE(at(body_json(call("GET", "/v1/cluster/auth")), "auth").as_bool());
  EXPECT_EQ(call("GET", "/v1/cluster/devices", "", {"Authorization: Bearer secret"}).status, 200);
}

std::vector<std::string> bearer(const std::string& key) {
  return {"Authorization: Bearer " + key};
}

class KeysTest : public AccessTest {
 protected:
  // The key's text.
  std::string make(const std::string& fields, const std::vector<std::string>& headers = {}) const {
    const RawResponse made = call("POST", "/v1/admin/keys", "{" + fields + "}", headers);
    EXPECT_EQ(made.status, 200) << made.body;
    return made.status == 200 ? text_at(at(body_json(made), "key")) : "";
  }

  int chat(const std::vector<std::string>& headers, int tokens = 2) const {
    return call("POST",
                "/v1/chat/completions",
                R"({"model":"m","max_tokens":)" + std::to_string(tokens) +
                    R"(,"messages":[{"role":"user","content":"hi"}]})",
                headers)
        .status;
  }
};

TEST_F(KeysTest, ScopesSayWhatAKeyIsGoodFor) {
  ASSERT_EQ(launch(uid("m")).status, 200);
  const RawResponse lonely = call("POST", "/v1/admin/keys", R"({"name":"a"})");
  EXPECT_EQ(lonely.status, 400) << "nobody could manage the server any more";
  EXPECT_EQ(text_at(at(both_errors(lonely), "param")), "scopes");
  const auto boss = bearer(make(R"("name":"boss","scopes":["manage"])"));
  EXPECT_EQ(call("POST", "/v1/admin/keys", R"({"name":"a"})").status, 401);
  const auto user = bearer(make(R"("name":"user")", boss));
  const auto watcher = bearer(make(R"("name":"watcher","scopes":["metrics"])", boss));

  struct Case {
    const char* method;
    const char* path;
    const char* body;
    int boss;
    int user;
    int watcher;
  };

  const std::string chat =
      R"({"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":1})";
  const Case cases[] = {{"POST", "/v1/chat/completions", chat.c_str(), 403, 200, 403},
                        {"GET", "/v1/models", "", 200, 200, 200},
                        {"GET", "/v1/models/m", "", 200, 200, 200},
                        {"GET", "/metrics", "", 403, 403, 200},
                        {"GET", "/v1/cluster/gpus", "", 403, 403, 200},
                        {"GET", "/v1/models/m/replicas", "", 200, 403, 403},
                        {"GET", "/v1/workers", "", 200, 403, 403},
                        {"GET", "/v1/admin/keys", "", 200, 403, 403},
                        {"DELETE", "/v1/models/nobody", "", 404, 403, 403},
                        {"GET", "/health/ready", "", 200, 200, 200}};
  for (const Case& c : cases) {
    EXPECT_EQ(call(c.method, c.path, c.body, boss).status, c.boss) << c.path;
    EXPECT_EQ(call(c.method, c.path, c.body, user).status, c.user) << c.path;
    EXPECT_EQ(call(c.method, c.path, c.body, watcher).status, c.watcher) << c.path;
    EXPECT_EQ(call(c.method, c.path, c.body).status,
              c.path == std::string("/health/ready") ? 200 : 401)
        << c.path;
  }
}

TEST_F(KeysTest, OnlyDigestsAreKeptAndTheyOutliveARestart) {
  const std::string key = make(R"("name":"boss","scopes":["manage","inference"])");
  EXPECT_EQ(key.size(), 6U + 48U);
  std::string shown = call("GET", "/v1/admin/keys", "", bearer(key)).body;
  EXPECT_THAT(shown, HasSubstr(R"("name":"boss")"));
  EXPECT_EQ(shown.find(key.substr(6)), std::string::npos);
  stop();
  for (const auto& file : std::filesystem::directory_iterator(directory->path())) {
    if (file.is_regular_file()) {
      std::ifstream in(file.path(), std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(in)), {});
      EXPECT_EQ(bytes.find(key.substr(6)), std::string::npos) << file.path();
    }
  }
  start();
  EXPECT_EQ(call("GET", "/v1/admin/keys").status, 401);
  EXPECT_EQ(call("GET", "/v1/admin/keys", "", bearer(key)).status, 200);
}

// A-04: what only resembles a key.
TEST_F(KeysTest, A04_NearlyTheKeyIsNotTheKey) {
  const std::string key = make(R"("name":"boss","scopes":["manage"])");
  for (const std::string& wrong : {key.substr(0, key.size() - 1),
                                   key + "0",
                                   key.substr(1),
                                   " " + key + "x",
                                   std::string("tutti-"),
                                   std::string(2000, 'a')}) {
    EXPECT_EQ(call("GET", "/v1/workers", "", bearer(wrong)).status, 401) << wrong;
  }
  EXPECT_EQ(call("GET", "/v1/workers?key=" + key).status, 401);
  EXPECT_EQ(call("GET", "/v1/workers", "", {"Api-Key: " + key}).status, 401);
  EXPECT_EQ(call("GET", "/v1/workers", "", {"Authorization: Basic " + key}).status, 401);
  EXPECT_EQ(call("GET",
                 "/v1/workers",
                 "",
                 {"Authorization: Bearer " + key, "Authorization: Bearer " + key})
                .status,
            400);
}

// A-07: a key is replaced while the server runs, and the old one goes on for as long as was said.
TEST_F(KeysTest, A07_KeysAreRotated) {
  const std::string old_key = make(R"("name":"boss","scopes":["manage"])");
  const auto rotate = [&](const std::string& key, const std::string& body) {
    return text_at(
        at(body_json(call("POST", "/v1/admin/keys/boss/rotate", body, bearer(key))), "key"));
  };
  const std::string second = rotate(old_key, R"({"grace_seconds":3600})");
  EXPECT_EQ(call("GET", "/v1/workers", "", bearer(old_key)).status, 200);
  EXPECT_EQ(call("GET", "/v1/workers", "", bearer(second)).status, 200);
  const std::string third = rotate(second, "{}");
  EXPECT_EQ(call("GET", "/v1/workers", "", bearer(old_key)).status, 401);
  EXPECT_EQ(call("GET", "/v1/workers", "", bearer(second)).status, 401);
  EXPECT_EQ(call("GET", "/v1/workers", "", bearer(third)).status, 200);
  EXPECT_EQ(call("POST", "/v1/admin/keys/nobody/rotate", "{}", bearer(third)).status, 404);
}

TEST_F(KeysTest, TheLastManagerStays) {
  const auto boss = bearer(make(R"("name":"boss","scopes":["manage"])"));
  (void)make(R"("name":"user")", boss);
  EXPECT_EQ(call("DELETE", "/v1/admin/keys/boss", "", boss).status, 400);
  EXPECT_EQ(call("DELETE", "/v1/admin/keys/user", "", boss).status, 200);
  EXPECT_EQ(call("DELETE", "/v1/admin/keys/user", "", boss).status, 404);
  EXPECT_EQ(call("DELETE", "/v1/admin/keys/boss", "", boss).status, 200)
      << "none is left to want one";
  EXPECT_EQ(call("GET", "/v1/workers").status, 200);
}

TEST_F(KeysTest, LimitsOfAKeyAreItsOwn) {
  ASSERT_EQ(launch(uid("m")).status, 200);
  const auto boss = bearer(make(R"("name":"boss","scopes":["manage","inference"])"));
  const auto few = bearer(make(R"("name":"few","requests_per_minute":3)", boss));
  const auto little = bearer(make(R"("name":"little","tokens_per_minute":100)", boss));
  const auto streams = bearer(make(R"("name":"streams","tokens_per_minute":100)", boss));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(chat(few), 200);
  }
  const RawResponse full = call("POST",
                                "/v1/chat/completions",
                                R"({"model":"m","messages":[{"role":"user","content":"hi"}]})",
                                few);
  EXPECT_EQ(full.status, 429);
  EXPECT_THAT(text_at(at(error_of(full), "message")), HasSubstr("3 requests a minute"));
  EXPECT_FALSE(full.header("retry-after").empty());
  EXPECT_EQ(call("GET", "/v1/models", "", few).status, 200) << "no generation";
  // Of prompts and answers, whole ones and streams.
  for (const char* stream : {"false", "true"}) {
    int status = 200;
    int answered = 0;
    for (; status == 200 && answered < 100; ++answered) {
      status = call("POST",
                    "/v1/chat/completions",
                    std::string(R"({"model":"m","max_tokens":9,"stream":)") + stream +
                        R"(,"messages":[{"role":"user","content":"hi"}]})",
                    *stream == 't' ? streams : little)
                   .status;
    }
    EXPECT_EQ(status, 429) << stream;
    EXPECT_GT(answered, 2) << stream;
  }
  EXPECT_EQ(chat(boss), 200) << "others go on";
}

TEST_F(KeysTest, MistakesAreNamed) {
  for (const auto& [body, param] :
       {std::pair(R"({"scopes":["manage"]})", "name"),
        {R"({"name":"a b","scopes":["manage"]})", "name"},
        {R"({"name":"a","scopes":["god"]})", "scopes"},
        {R"({"name":"a","scopes":[]})", "scopes"},
        {R"({"name":"a","rate":1})", "rate"},
        {R"({"name":"a","requests_per_minute":-1})", "requests_per_minute"}}) {
    const RawResponse refused = call("POST", "/v1/admin/keys", body);
    EXPECT_EQ(refused.status, 400) << body;
    EXPECT_EQ(text_at(at(both_errors(refused), "param")), param) << body;
  }
  EXPECT_EQ(call("GET", "/v1/admin/keys").body, "[]");
  EXPECT_EQ(call("POST", "/v1/admin/keys/a/b", "{}").status, 404);
}

// Beyond this machine models are managed with a key alone, whatever else is allowed.
TEST_F(AccessTest, InsecureDoesNotCoverManagement) {
  stop();
  server_config.host = "0.0.0.0";
  server_config.insecure = true;
  start();
  EXPECT_EQ(call("GET", "/v1/models").status, 200);
  EXPECT_EQ(call("GET", "/v1/cluster/auth").status, 200);
  for (const auto& response :
       {launch(uid("m")), call("GET", "/v1/workers"), call("DELETE", "/v1/models/m")}) {
    EXPECT_EQ(response.status, 403);
    EXPECT_THAT(text_at(at(both_errors(response), "message")), HasSubstr("key"));
  }
  EXPECT_TRUE(launches->all().empty());
}

// A-01: of the routes that there are, only health and the pages about routes answer without a key.
TEST_F(KeysTest, A01_RoutesOfTheTable) {
  const std::string key = make(R"("name":"boss","scopes":["manage","inference","metrics"])");
  const std::set<std::string> open{"/",
                                   "/health",
                                   "/health/live",
                                   "/health/ready",
                                   "/ready",
                                   "/ping",
                                   "/readyz",
                                   "/healthz",
                                   "/livez",
                                   "/docs"};
  size_t closed = 0;
  for (const Route& route : route_table()) {
    const std::string path =
        std::string(route.path) + (route.takes_name() ? "m" : "") + route.after;
    for (const char* method : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
      const int status = ask(server->port(), make_request(method, path)).status;
      if (open.contains(path)) {
        EXPECT_NE(status, 401) << method << " " << path;
      } else {
        EXPECT_EQ(status, 401) << method << " " << path;
        ++closed;
      }
    }
  }
  EXPECT_GT(closed, 40U);
  EXPECT_EQ(call("GET", "/no/such/route").status, 401);
}

// A-02: a path that is written otherwise opens nothing.
TEST_F(KeysTest, A02_OtherWaysToWriteAPath) {
  (void)make(R"("name":"boss","scopes":["manage"])");
  for (const char* path : {"//v1/workers",
                           "/v1//workers",
                           "/v1/../v1/workers",
                           "/status/../v1/workers",
                           "/v1%2fworkers",
                           "/v1/workers;x",
                           "/v1/workers.",
                           "/V1/Workers",
                           "/v1/workers/",
                           "/status/",
                           "/status;/v1/workers",
                           "/status?/v1/workers/..",
                           "/./v1/workers",
                           "/%76%31/workers",
                           "http://127.0.0.1/v1/workers",
                           "/v1/cluster/auth/../info"}) {
    const RawResponse response = call("GET", path);
    if (std::string(path).starts_with("/status?")) {
      EXPECT_EQ(response.status, 200) << "what is behind ? is no path";
      continue;
    }
    EXPECT_TRUE(response.status == 401 || response.status == 404 || response.status == 400)
        << path << " " << response.status;
  }
  EXPECT_EQ(ask(server->port(), "GET /v1/workers HTTP/1.0\r\n\r\n").status, 401);
  EXPECT_EQ(ask(server->port(), "DELETE /v1/models/m HTTP/1.0\r\n\r\n").status, 401);
}

// A-06: many wrong keys cost little and leave a short log.
TEST_F(KeysTest, A06_ManyWrongKeys) {
  const std::string key = make(R"("name":"boss","scopes":["manage"])");
  ::testing::internal::CaptureStderr();
  constexpr int kTries = 2000;
  RawClient client(server->port());
  for (int i = 0; i < kTries; ++i) {
    ASSERT_TRUE(
        client.send(make_request("GET", "/v1/workers", "", bearer("tutti-" + std::to_string(i)))));
    ASSERT_EQ(client.read_response().status, 401) << i;
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_LT(std::count(log.begin(), log.end(), '\n'), kTries / 4);
  EXPECT_EQ(call("GET", "/v1/workers", "", bearer(key)).status, 200);
}

// A-09: beyond this machine only with a key, or where it is said that none is wanted.
TEST_F(AccessTest, A09_NothingIsOpenByMistake) {
  ServerConfig config;
  config.host = "0.0.0.0";
  config.port = 0;
  const auto refused = HttpServer::start(config, std::make_shared<ServedModels>());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr("without an API key"));
  // A stored key is one; when it is gone nobody gets in any more.
  config.keys = std::make_shared<KeyRing>();
  config.keys->set({{.name = "a", .digest = digest_of("secret")}});
  const auto started = HttpServer::start(config, std::make_shared<ServedModels>());
  ASSERT_TRUE(started.ok()) << started.status().message();
  const auto status = [&](const std::vector<std::string>& headers) {
    return ask((*started)->port(), make_request("GET", "/v1/models", "", headers)).status;
  };
  EXPECT_EQ(status({}), 401);
  EXPECT_EQ(status(bearer("secret")), 200);
  config.keys->set({});
  EXPECT_EQ(status({}), 401);
  EXPECT_EQ(status(bearer("secret")), 401);
}

// A-12: errors tell nothing of where and how the server runs.
TEST_F(KeysTest, A12_ErrorsLeakNothing) {
  const std::string key = make(R"("name":"boss","scopes":["manage","inference"])");
  for (const char* path :
       {"/v1/workers", "/v1/admin/keys/x", "/v1/models/x/replicas", "/x", "/v1/models/x"}) {
    for (const auto& headers : {bearer("wrong"), bearer(key), std::vector<std::string>()}) {
      for (const char* method : {"GET", "POST", "DELETE", "PUT"}) {
        const RawResponse response = ask(server->port(), make_request(method, path, "", headers));
        for (const char* leak :
             {"0x7f", "/home/", "/tmp/", ".cc:", "std::", "sqlite", "SQL", key.c_str() + 6}) {
          EXPECT_EQ(response.body.find(leak), std::string::npos) << response.body;
        }
      }
    }
  }
}

// W-01: a page whose name was pointed at this machine.
TEST_F(AccessTest, W01_OnlyNamesOfThisServer) {
  const auto status = [&](const std::string& host, const char* path = "/v1/models") {
    return ask(server->port(),
               std::string("GET ") + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
        .status;
  };
  for (const char* good : {"localhost", "127.0.0.1", "127.0.0.1:9997", "[::1]:9997"}) {
    EXPECT_EQ(status(good), 200) << good;
  }
  for (const char* bad :
       {"evil.test", "127.0.0.1.evil.test", "10.0.0.1", "chat.example", "localhost.evil.test"}) {
    EXPECT_EQ(status(bad), 403) << bad;
    EXPECT_EQ(status(bad, "/v1/models/instances"), 403) << bad;
  }
  stop();
  server_config.allowed_hosts = "chat.example";
  start();
  EXPECT_EQ(status("chat.example:9997"), 200);
  EXPECT_EQ(status("localhost"), 200);
  EXPECT_EQ(status("evil.test"), 403);
  stop();
  server_config.host = "0.0.0.0";
  server_config.insecure = true;
  start();
  EXPECT_EQ(status("chat.example"), 200);
  EXPECT_EQ(status("evil.test"), 403);
  stop();
  server_config.allowed_hosts = "";
  start();
  EXPECT_EQ(status("evil.test"), 200) << "who listens for others is called as they like";
}

// W-02: pages of allowed origins, those of others, and what a preflight asks.
TEST_F(AccessTest, W02_Origins) {
  stop();
  server_config.allowed_origins = "https://good.example";
  start();
  const auto preflight = [&](const std::string& origin) {
    return ask(server->port(),
               make_request("OPTIONS",
                            "/v1/models",
                            "",
                            {"Origin: " + origin,
                             "Access-Control-Request-Method: POST",
                             "Access-Control-Request-Headers: authorization, content-type, "
                             "x-stainless-arch, x-stainless-lang, x-stainless-os, "
                             "x-stainless-package-version, x-stainless-retry-count, "
                             "x-stainless-runtime, x-stainless-runtime-version, "
                             "x-stainless-timeout, x-stainless-helper-method, x-stainless-async"}));
  };
  const RawResponse good = preflight("https://good.example");
  EXPECT_EQ(good.status, 204);
  EXPECT_EQ(good.header("access-control-allow-origin"), "https://good.example");
  EXPECT_THAT(good.header("access-control-allow-headers"), HasSubstr("x-stainless-async"));
  EXPECT_TRUE(good.header("access-control-allow-credentials").empty());
  for (const char* origin : {"null", "https://evil.example", "https://good.example.evil.test"}) {
    const RawResponse evil = preflight(origin);
    EXPECT_EQ(evil.status, 403) << origin;
    EXPECT_TRUE(evil.header("access-control-allow-origin").empty()) << origin;
    EXPECT_TRUE(call("GET", "/v1/models", "", {std::string("Origin: ") + origin})
                    .header("access-control-allow-origin")
                    .empty());
  }
  EXPECT_EQ(
      call("POST", "/v1/models", "{" + uid("m") + "}", {"Origin: https://good.example"}).status,
      200);
}

// W-03: forms and such, which browsers send without asking.
TEST_F(AccessTest, W03_FormsChangeNothing) {
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"}) {
    for (const char* path : {"/v1/models", "/v1/admin/keys", "/v1/models/m/replicas"}) {
      const RawResponse response =
          ask(server->port(),
              make_request("POST",
                           path,
                           R"({"name":"a","scopes":["manage"],"model_name":"ready"})",
                           {std::string("Content-Type: ") + type}));
      EXPECT_EQ(response.status, 415) << type << " " << path;
    }
  }
  EXPECT_TRUE(launches->all().empty());
  EXPECT_TRUE(keys->all().empty());
}

// W-04: what is only asked for changes nothing.
TEST_F(AccessTest, W04_QuestionsChangeNothing) {
  ASSERT_EQ(launch(uid("m")).status, 200);
  const auto before = launches->all();
  for (const char* path : {"/v1/models",
                           "/v1/models/m",
                           "/v1/models/instances",
                           "/v1/models/m/replicas",
                           "/v1/models/m/progress",
                           "/v1/models/m/events",
                           "/v1/models/m/logs",
                           "/status",
                           "/v1/address",
                           "/v1/cluster/auth",
                           "/v1/cluster/info",
                           "/v1/cluster/version",
                           "/v1/cluster/devices",
                           "/v1/workers",
                           "/v1/supervisor",
                           "/v1/admin/keys",
                           "/v1/model_registrations/LLM",
                           "/v1/engines/m",
                           "/v1/models/prompts"}) {
    EXPECT_EQ(call("GET", path).status, 200) << path;
    EXPECT_EQ(ask(server->port(), make_request("HEAD", path)).status, 200) << path;
  }
  for (const char* path : {"/v1/models/m/cancel",
                           "/v1/models/m/replicas/1",
                           "/v1/admin/keys/a/rotate",
                           "/v1/admin/keys/a"}) {
    const int status = call("GET", path).status;
    EXPECT_TRUE(status == 404 || status == 405) << path << " " << status;
  }
  const auto after = launches->all();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].spec.replicas, before[0].spec.replicas);
  EXPECT_EQ(after[0].replicas[0].pid, before[0].replicas[0].pid);
}

}  // namespace
}  // namespace tutti
