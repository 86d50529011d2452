// Xinference's management routes over launches of fake engines: routes, fields, errors.
#include "supervise/xinference_api.h"

#include "supervise/managed_server.h"

namespace tutti {
namespace {

using namespace std::chrono_literals;
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
using testing::wait_until;

class XinferenceApiTest : public testing::ManagedServerTest {};

TEST_F(XinferenceApiTest, LaunchesDescribesAndTerminates) {
  const RawResponse launched = launch(uid("m") + R"(,"model_engine":"vllm","replica":2)");
  ASSERT_EQ(launched.status, 200) << launched.body;
  const Json answer = body_json(launched);
  EXPECT_EQ(text_at(at(answer, "model_uid")), "m");
  EXPECT_THAT(text_at(at(answer, "tutti", "warnings", 0)), HasSubstr("model_engine"));
  EXPECT_EQ(text_at(at(answer, "tutti", "plan")), "a fake");
  // It is ready by now.
  EXPECT_EQ(call("POST",
                 "/v1/chat/completions",
                 R"({"model":"m","messages":[{"role":"user","content":"hi"}]})")
                .status,
            200);
  const Json described = body_json(call("GET", "/v1/models/m"));
  EXPECT_EQ(text_at(at(described, "model_type")), "LLM");
  EXPECT_EQ(text_at(at(described, "model_ability", 1)), "chat");
  EXPECT_EQ(at(described, "replica").as_int(), 2);
  EXPECT_EQ(text_at(at(body_json(call("GET", "/v1/models")), "data", 0, "id")), "m");
  const Json instances = body_json(call("GET", "/v1/models/instances"));
  EXPECT_EQ(text_at(at(instances, 0, "status")), "READY");
  EXPECT_EQ(at(instances, 0, "replica_statuses").as_array().size(), 2U);
  EXPECT_EQ(body_json(call("GET", "/v1/models/instances?model_uid=x")).as_array().size(), 0U);
  EXPECT_EQ(
      body_json(call("GET", "/v1/models/instances?model_name=ready&model_uid=m")).as_array().size(),
      1U);
  const Json progress = body_json(call("GET", "/v1/models/m/progress"));
  EXPECT_EQ(at(progress, "progress").as_number(), 1.0);
  const RawResponse gone = call("DELETE", "/v1/models/m");
  EXPECT_EQ(gone.status, 200);
  EXPECT_EQ(gone.body, "null");
  EXPECT_EQ(call("GET", "/v1/models/m").status, 404);
  EXPECT_EQ(call("DELETE", "/v1/models/m").status, 404);
  ASSERT_TRUE(wait_until([&] { return gateway->engines().empty(); }));
}

TEST_F(XinferenceApiTest, NamesWithSlashes) {
  ASSERT_EQ(launch(uid("org/name")).status, 200);
  for (const char* name : {"org/name", "org%2Fname"}) {
    EXPECT_EQ(call("GET", std::string("/v1/models/") + name).status, 200) << name;
    EXPECT_EQ(call("GET", std::string("/v1/models/") + name + "/progress").status, 200) << name;
    EXPECT_EQ(call("GET", std::string("/v1/models/") + name + "/replicas").status, 200) << name;
  }
  EXPECT_EQ(call("DELETE", "/v1/models/org/name").status, 200);
}

TEST_F(XinferenceApiTest, NamesItselfAfterTheModel) {
  EXPECT_EQ(text_at(at(body_json(launch(R"("model_name":"ready")")), "model_uid")), "ready");
  const std::string second = text_at(at(body_json(launch(R"("model_name":"ready")")), "model_uid"));
  EXPECT_THAT(second, ::testing::MatchesRegex("ready-[0-9a-f]{8}"));
  const RawResponse taken = launch(uid("ready"));
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(text_at(at(both_errors(taken), "param")), "model_uid");
}

TEST_F(XinferenceApiTest, ReturnsAtOnceIfAsked) {
  const RawResponse launched =
      launch(R"("model_uid":"m","model_name":"stuck")", "?wait_ready=False");
  EXPECT_EQ(launched.status, 200);
  ASSERT_TRUE(wait_until([&] {
    return text_at(at(body_json(call("GET", "/v1/models/instances")), 0, "status")) == "LOADING";
  }));
  const Json progress = body_json(call("GET", "/v1/models/m/progress"));
  EXPECT_LT(at(progress, "progress").as_number(), 1.0);
  EXPECT_EQ(text_at(at(progress, "stage")), "loading");
  EXPECT_EQ(text_at(at(progress, "replicas", 0, "tutti", "state")), "loading");
  EXPECT_EQ(call("POST", "/v1/models/m/cancel").status, 200);
  EXPECT_EQ(call("GET", "/v1/models/m/progress").status, 404);
}

TEST_F(XinferenceApiTest, WhoWaitsForACancelledLaunchIsTold) {
  RawClient waiting(server->port());
  ASSERT_TRUE(waiting.send(make_post("/v1/models", R"({"model_uid":"m","model_name":"stuck"})")));
  ASSERT_TRUE(wait_until([&] { return call("GET", "/v1/models/m/progress").status == 200; }));
  EXPECT_EQ(call("POST", "/v1/models/m/cancel").status, 200);
  const RawResponse answer = waiting.read_response();
  EXPECT_EQ(answer.status, 499);
  (void)both_errors(answer);
}

TEST_F(XinferenceApiTest, WhatDoesNotFitIsRefusedAndGone) {
  const RawResponse refused = launch(R"("model_uid":"m","model_name":"refuse")");
  EXPECT_EQ(refused.status, 400);
  const Json error = both_errors(refused);
  EXPECT_EQ(text_at(at(error, "code")), "does_not_fit");
  EXPECT_THAT(text_at(at(error, "plan")), HasSubstr("9 GB short"));
  EXPECT_THAT(text_at(at(error, "message")), HasSubstr("9 GB short"));
  EXPECT_EQ(call("GET", "/v1/models/m/progress").status, 404);
  EXPECT_EQ(launch(uid("m")).status, 200) << "the name is free again";
}

TEST_F(XinferenceApiTest, ACrashLoopIsTheAnswerOfItsLaunch) {
  const RawResponse failed = launch(R"("model_uid":"m","model_name":"signal:11")");
  EXPECT_EQ(failed.status, 503);
  EXPECT_THAT(text_at(at(both_errors(failed), "message")), HasSubstr("SIGSEGV"));
  EXPECT_FALSE(failed.header("retry-after").empty());
  const std::string events = call("GET", "/v1/models/m/events").body;
  EXPECT_THAT(events, HasSubstr(R"("event_type":"Error")"));
  EXPECT_THAT(events, HasSubstr("launched"));
}

TEST_F(XinferenceApiTest, ReplicasComeAndGo) {
  ASSERT_EQ(launch(uid("m")).status, 200);
  const RawResponse added = call("POST", "/v1/models/m/replicas", "{}");
  ASSERT_EQ(added.status, 200) << added.body;
  const int64_t second = at(body_json(added), "replica_id").as_int();
  ASSERT_TRUE(wait_until([&] { return gateway->engines().size() == 2; }));
  const Json replicas = body_json(call("GET", "/v1/models/m/replicas"));
  ASSERT_EQ(replicas.as_array().size(), 2U);
  const int64_t first = at(replicas, 0, "replica_id").as_int();
  EXPECT_EQ(text_at(at(replicas, 1, "status")), "READY");
  EXPECT_TRUE(at(replicas, 1, "error_message").is_null());
  const std::string path = "/v1/models/m/replicas/";
  EXPECT_EQ(call("DELETE", path + "999").status, 404);
  EXPECT_EQ(call("DELETE", path + "x").status, 400);
  const Json left = body_json(call("DELETE", path + std::to_string(first)));
  EXPECT_EQ(at(left, "remaining_replicas").as_int(), 1);
  EXPECT_EQ(call("DELETE", path + std::to_string(second)).status, 400) << "the last one";
  EXPECT_EQ(call("POST", "/v1/models/x/replicas", "{}").status, 404);
}

TEST_F(XinferenceApiTest, LaunchesAreThereAfterARestart) {
  ASSERT_EQ(launch(uid("kept")).status, 200);
  ASSERT_EQ(launch(uid("dropped")).status, 200);
  ASSERT_EQ(call("DELETE", "/v1/models/dropped").status, 200);
  stop();
  start();
  ASSERT_TRUE(wait_until([&] { return call("GET", "/v1/models/kept").status == 200; }));
  EXPECT_EQ(call("GET", "/v1/models/dropped/progress").status, 404);
  EXPECT_EQ(launches->all().size(), 1U);
}

TEST_F(XinferenceApiTest, RequestsLoadAndSilenceUnloads) {
  ASSERT_TRUE(
      launches
          ->add({.uid = "lazy", .model = "ready", .on_demand = true, .unload_after_seconds = 1},
                false)
          .ok());
  EXPECT_TRUE(gateway->engines().empty());
  EXPECT_EQ(call("GET", "/health/ready").status, 200);
  EXPECT_EQ(text_at(at(body_json(call("GET", "/v1/models")), "data", 0, "id")), "lazy");
  const std::string chat = R"({"model":"lazy","messages":[{"role":"user","content":"hi"}]})";
  // Many at once load it once.
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    ASSERT_TRUE(clients.back()->send(make_post("/v1/chat/completions", chat)));
  }
  for (const auto& client : clients) {
    EXPECT_EQ(client->read_response().status, 200);
  }
  EXPECT_EQ(gateway->engines().size(), 1U);
  ASSERT_TRUE(wait_until([&] {
    launches->unload_idle();
    return gateway->engines().empty();
  }));
  EXPECT_EQ(call("POST", "/v1/chat/completions", chat).status, 200) << "loaded again";
}

TEST_F(XinferenceApiTest, AnUnloadableModelIsNotWaitedForForEver) {
  ASSERT_TRUE(launches->add({.uid = "bad", .model = "refuse", .on_demand = true}, false).ok());
  const RawResponse answer = call("POST",
                                  "/v1/chat/completions",
                                  R"({"model":"bad","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("9 GB short"));
}

TEST_F(XinferenceApiTest, TheClusterIsThisMachine) {
  EXPECT_TRUE(at(body_json(call("GET", "/status")), "uptime").is_int());
  EXPECT_EQ(call("GET", "/v1/address").body, "\"127.0.0.1:9997\"");
  EXPECT_FALSE(at(body_json(call("GET", "/v1/cluster/auth")), "auth").as_bool());
  const Json info = body_json(call("GET", "/v1/cluster/info?detailed=true"));
  EXPECT_EQ(text_at(at(info, 1, "node_type")), "Worker");
  EXPECT_EQ(at(info, 1, "mem_used").as_int(), 6);
  EXPECT_EQ(body_json(call("GET", "/v1/cluster/info")).as_array().front().find("mem_used"),
            nullptr);
  EXPECT_EQ(call("GET", "/v1/cluster/devices").body, "2");
  EXPECT_EQ(text_at(at(body_json(call("GET", "/v1/cluster/version")), "version")), "1.2");
  EXPECT_EQ(text_at(at(body_json(call("GET", "/v1/supervisor")), "supervisor_ip")),
            "127.0.0.1:9997");
  ASSERT_EQ(launch(uid("m")).status, 200);
  EXPECT_NE(at(body_json(call("GET", "/v1/workers")), 0, "models").find("m"), nullptr);
  EXPECT_EQ(text_at(at(body_json(call("GET", "/v1/model_registrations/LLM")), 0, "model_name")),
            "ready");
  EXPECT_EQ(call("GET", "/v1/model_registrations/LLM/ready").status, 200);
  EXPECT_EQ(call("GET", "/v1/model_registrations/LLM/other").status, 404);
  EXPECT_EQ(call("GET", "/v1/models/m/logs").status, 200);
}

TEST_F(XinferenceApiTest, MistakesAreRefusedInBothShapes) {
  EXPECT_EQ(text_at(at(both_errors(launch(R"("model_name":"ready","swap_space":4)")), "param")),
            "swap_space");
  const RawResponse method = call("POST", "/v1/models/m/progress", "{}");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.header("allow"), "GET");
  (void)both_errors(method);
  const RawResponse form = ask(server->port(),
                               make_request("POST",
                                            "/v1/models",
                                            "model_name=ready",
                                            {"Content-Type: application/x-www-form-urlencoded"}));
  EXPECT_EQ(form.status, 415);
  (void)both_errors(form);
  const RawResponse broken = call("POST", "/v1/models", "{");
  EXPECT_EQ(broken.status, 400);
  (void)both_errors(broken);
  EXPECT_EQ(call("POST", "/v1/models", "[]").status, 400);
  EXPECT_EQ(text_at(at(both_errors(launch(uid("a b"))), "param")), "model_uid");
}

}  // namespace
}  // namespace tutti
