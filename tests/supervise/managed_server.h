// A server whose models are managed, over fake engines, for one test.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/test_server.h"
#include "supervise/engine_processes.h"
#include "supervise/keys_api.h"
#include "supervise/xinference_api.h"
#include "supervise/xinference_json.h"

namespace tutti::testing {

class ManagedServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = make_runtime_directory();
    ASSERT_NE(directory, nullptr);
    state = directory->path() + "/state.db";
    server_config.port = 0;
    start();
  }

  void TearDown() override { stop(); }

  // What a launch's model is called says how its engine behaves.
  void start() {
    SupervisorConfig engines = fake_engines(TUTTI_FAKE_ENGINE, directory->path());
    engines.arguments = [](const EngineSpec& spec, const std::string& socket) {
      return std::vector<std::string>{
          spec.arguments.front(), "--name", spec.model, "--socket", socket};
    };
    gateway = std::make_shared<Gateway>();
    auto opened = Store::open(state);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const std::shared_ptr<Store> store = std::move(opened).value();
    auto ring = std::make_shared<KeyRing>();
    keys = *Keys::open(store, ring);
    auto started = Launches::start(
        {.supervisor = std::move(engines), .store = store, .gateway = gateway, .on_change = {}});
    ASSERT_TRUE(started.ok()) << started.status().message();
    launches = std::move(started).value();
    gateway->describe_with([this](const std::string& model) {
      const auto launch = launches->find(model);
      return launch ? xinference_members(*launch) : "";
    });
    XinferenceApiConfig config{.address = "127.0.0.1:9997", .version = "1.2", .build = "b"};
    config.needs_key = [ring] { return ring->required(); };
    config.machine = [](const std::shared_ptr<Waker>&) {
      return MachineFacts{
          .gpus = 2, .gpu_bytes = 100, .cpus = 4, .memory_bytes = 9, .memory_available_bytes = 3};
    };
    ServerConfig with_models = server_config;
    with_models.remote = gateway;
    with_models.keys = ring;
    with_models.management = std::make_shared<KeysApi>(
        *keys, std::make_shared<XinferenceApi>(std::move(config), *launches));
    auto listening = HttpServer::start(with_models, std::make_shared<ServedModels>());
    ASSERT_TRUE(listening.ok()) << listening.status().message();
    server = std::move(listening).value();
    ASSERT_TRUE(launches->restore({}).ok());
  }

  void stop() {
    if (server != nullptr) {
      server->stop();
      launches->shut_down();
      server.reset();
      launches.reset();
      keys.reset();
    }
  }

  RawResponse call(const std::string& method,
                   const std::string& path,
                   const std::string& body = "",
                   const std::vector<std::string>& headers = {}) const {
    return ask(
        server->port(),
        body.empty() ? make_request(method, path, "", headers) : make_post(path, body, headers));
  }

  RawResponse launch(const std::string& fields, const std::string& query = "") const {
    return call("POST", "/v1/models" + query, "{" + fields + "}");
  }

  static std::string uid(const std::string& name) {
    return R"("model_uid":")" + name + R"(","model_name":"ready")";
  }

  std::unique_ptr<RuntimeDirectory> directory;
  std::string state;
  ServerConfig server_config;
  std::shared_ptr<Gateway> gateway;
  std::unique_ptr<Keys> keys;
  std::unique_ptr<Launches> launches;
  std::unique_ptr<HttpServer> server;
};

// Both shapes: what Xinference's clients read, and what OpenAI's do.
inline Json both_errors(const RawResponse& response) {
  const Json error = error_of(response);
  EXPECT_EQ(text_at(at(body_json(response), "detail")), text_at(at(error, "message")));
  return error;
}

}  // namespace tutti::testing
