// What a launch may say (YAML files, Xinference's fields), and what is kept of it.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "supervise/launch_spec.h"
#include "supervise/store.h"
#include "supervise/xinference_api.h"
#include "supervise/yaml.h"

namespace tutti {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string yaml_as_json(const std::string& text) {
  const Result<Json> json = parse_yaml(text);
  return json.ok() ? to_string(*json) : json.status().message();
}

TEST(Yaml, ReadsWhatPeopleWrite) {
  EXPECT_EQ(yaml_as_json("a: 1\nb:\n  - x\n  - 'y'\n  - 2.5\nc: {d: true, e: null, f: ~}\n# end\n"),
            R"({"a":1,"b":["x","y",2.5],"c":{"d":true,"e":null,"f":null}})");
  EXPECT_EQ(yaml_as_json("\"1\": \"true\"\nv: -3\nt: 1_5\nz: 0x10\nn: yes\nw: 1.2.3\n"),
            R"({"1":"true","v":-3,"t":"1_5","z":"0x10","n":"yes","w":"1.2.3"})");
  EXPECT_EQ(yaml_as_json(R"({"json": ["is", {"yaml": 1e3}]})"),
            R"({"json":["is",{"yaml":1000.0}]})");
  EXPECT_EQ(yaml_as_json(""), "null");
  EXPECT_EQ(yaml_as_json("- |\n  two\n  lines\n"), R"(["two\nlines\n"])");
}

TEST(Yaml, RefusesWithLineAndColumn) {
  EXPECT_THAT(yaml_as_json("a: 1\na: 2\n"), HasSubstr("line 2, column 1: \"a\" is there twice"));
  EXPECT_THAT(yaml_as_json("a: &x 1\nb: *x\n"), HasSubstr("line 2"));
  EXPECT_THAT(yaml_as_json("a: !!int 1\n"), HasSubstr("tags"));
  EXPECT_THAT(yaml_as_json("a: [1\n"), HasSubstr("line 2"));
  EXPECT_THAT(yaml_as_json("--- 1\n--- 2\n"), HasSubstr("second document"));
  EXPECT_THAT(yaml_as_json("? [a]\n: 1\n"), HasSubstr("key must be a word"));
  EXPECT_THAT(yaml_as_json(std::string(200, '[')), HasSubstr("too deep"));
}

std::string file_error(const std::string& text) {
  const auto specs = read_models_file(text);
  return specs.ok() ? "ok" : specs.status().message();
}

TEST(ModelsFile, SaysWhatIsServed) {
  const auto specs = read_models_file(R"(
models:
  - model: /srv/models/DeepSeek-R1/
    replicas: 2
    gpus: 0,1
    context: 32768
    flags: [--max-batch-tokens, 1024]
  - {model: org/small, name: small, device: cpu, load: on-demand, unload-after: 600}
)");
  ASSERT_TRUE(specs.ok()) << specs.status().message();
  ASSERT_EQ(specs->size(), 2U);
  const LaunchSpec& r1 = specs->front();
  EXPECT_EQ(r1.uid, "DeepSeek-R1");
  EXPECT_EQ(r1.model, "/srv/models/DeepSeek-R1/");
  EXPECT_EQ(r1.replicas, 2);
  EXPECT_THAT(r1.flags,
              ElementsAre("--gpus", "0,1", "--context", "32768", "--max-batch-tokens", "1024"));
  EXPECT_FALSE(r1.loads_itself());
  const LaunchSpec& small = specs->back();
  EXPECT_EQ(small.uid, "small");
  EXPECT_TRUE(small.on_demand);
  EXPECT_EQ(small.unload_after_seconds, 600);
  EXPECT_THAT(small.flags, ElementsAre("--device", "cpu"));
  EXPECT_TRUE(read_models_file("models:\n")->empty());
}

TEST(ModelsFile, NamesWhatIsWrong) {
  EXPECT_THAT(file_error("model: x\n"), HasSubstr("models:"));
  EXPECT_THAT(file_error("models: x\n"), HasSubstr("wanted a list"));
  EXPECT_THAT(file_error("models: [x]\n"), HasSubstr("models[0]: got a string"));
  EXPECT_THAT(file_error("models: [{name: a}]\n"), HasSubstr("models[0]: model: missing"));
  EXPECT_THAT(file_error("models: [{model: a, replicas: 0}]\n"),
              HasSubstr("models[0]: replicas: got 0"));
  EXPECT_THAT(file_error("models: [{model: a, contxt: 5}]\n"), HasSubstr("did you mean context?"));
  EXPECT_THAT(file_error("models: [{model: a}, {model: a}]\n"),
              HasSubstr("models[1].name: \"a\" is there twice"));
  EXPECT_THAT(file_error("models: [{model: a, load: later}]\n"), HasSubstr("on-demand"));
  EXPECT_THAT(file_error("models: [{model: a, name: 'b c'}]\n"), HasSubstr("models[0].name"));
  EXPECT_THAT(file_error("models: [{model: a, gpus: [0]}]\n"), HasSubstr("models[0].gpus"));
}

TEST(LaunchSpec, ReadsBackWhatIsKept) {
  LaunchSpec spec{.uid = "a/b",
                  .model = "/m",
                  .replicas = 3,
                  .flags = {"--context", "5"},
                  .on_demand = true,
                  .unload_after_seconds = 9};
  spec.given.set("quantization", "none");
  const Json json = to_json(spec);
  const Result<LaunchSpec> read = read_launch_spec(json.as_object());
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(to_string(to_json(*read)), to_string(json));
}

TEST(LaunchSpec, UidsAreHarmless) {
  for (const char* good : {"a", "org/Name-1.5_x:latest@2+b"}) {
    EXPECT_TRUE(check_uid(good).ok()) << good;
  }
  for (const std::string& bad : {std::string(),
                                 std::string("a b"),
                                 std::string("/a"),
                                 std::string("-a"),
                                 std::string("a\n"),
                                 std::string("a?b"),
                                 std::string("\xC3\xA9"),
                                 std::string(129, 'a')}) {
    EXPECT_FALSE(check_uid(bad).ok()) << bad;
  }
}

struct Read {
  Result<LaunchSpec> spec;
  std::vector<std::string> warnings;
};

Read read_launch(const std::string& text) {
  std::vector<std::string> warnings;
  const Result<Json> json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text;
  Result<LaunchSpec> spec = read_xinference_launch(json->as_object(), warnings);
  return {std::move(spec), std::move(warnings)};
}

TEST(XinferenceLaunch, WhatItsClientSends) {
  const Read read = read_launch(R"({"model_uid":null,"model_name":"deepseek-r1",
    "model_engine":"vllm","peft_model_config":null,"model_type":"LLM","model_size_in_billions":671,
    "model_format":"pytorch","quantization":"none","replica":2,"n_worker":1,"n_gpu":"auto",
    "request_limits":null,"worker_ip":null,"gpu_idx":null,"replica_config":null,
    "model_path":"/srv/r1","enable_thinking":false,"enable_virtual_env":null,
    "virtual_env_packages":null,"virtual_env_find_links":null,"envs":null})");
  ASSERT_TRUE(read.spec.ok()) << read.spec.status().message();
  EXPECT_EQ(read.spec->model, "/srv/r1") << "model_path goes before the name";
  EXPECT_EQ(read.spec->uid, "");
  EXPECT_EQ(read.spec->replicas, 2);
  EXPECT_TRUE(read.spec->flags.empty()) << "auto: all GPUs that help";
  EXPECT_THAT(read.warnings,
              ElementsAre(HasSubstr("model_engine"),
                          HasSubstr("model_type"),
                          HasSubstr("model_size_in_billions"),
                          HasSubstr("model_format")));
}

TEST(XinferenceLaunch, GpusAsTheySay) {
  const auto flags = [](const std::string& fields) {
    const Read read = read_launch(R"({"model_name":"m")" + fields + "}");
    EXPECT_TRUE(read.spec.ok()) << fields << ": " << read.spec.status().message();
    return read.spec.ok() ? read.spec->flags : std::vector<std::string>();
  };
  EXPECT_THAT(flags(""), ElementsAre());
  EXPECT_THAT(flags(R"(,"n_gpu":"auto")"), ElementsAre());
  EXPECT_THAT(flags(R"(,"n_gpu":4)"), ElementsAre("--gpus", "4"));
  EXPECT_THAT(flags(R"(,"n_gpu":null)"), ElementsAre("--device", "cpu"));
  EXPECT_THAT(flags(R"(,"n_gpu":"none")"), ElementsAre("--device", "cpu"));
  EXPECT_THAT(flags(R"(,"n_gpu":1,"gpu_idx":[2,3])"), ElementsAre("--gpus", "2,3,"));
  EXPECT_THAT(flags(R"(,"gpu_idx":0)"), ElementsAre("--gpus", "0,"));
  EXPECT_THAT(flags(R"(,"max_model_len":4096,"tensor_parallel_size":2)"),
              ElementsAre("--context", "4096", "--tp", "2"));
}

TEST(XinferenceLaunch, RefusesByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "model_name"},
      {R"({"model_name":"m","n_gpu":0})", "n_gpu"},
      {R"({"model_name":"m","n_gpu":"8"})", "n_gpu"},
      {R"({"model_name":"m","n_gpu":true})", "n_gpu"},
      {R"({"model_name":"m","gpu_idx":"0"})", "gpu_idx"},
      {R"({"model_name":"m","gpu_idx":[-1]})", "gpu_idx"},
      {R"({"model_name":"m","replica":0})", "replica"},
      {R"({"model_name":"m","replica":1.5})", "replica"},
      {R"({"model_name":"m","replica":true})", "replica"},
      {R"({"model_name":"m","n_worker":2})", "n_worker"},
      {R"({"model_name":"m","model_type":"embedding"})", "model_type"},
      {R"({"model_name":"m","peft_model_config":{"lora_list":[]}})", "peft_model_config"},
      {R"({"model_name":"m","envs":{"A":"b"}})", "envs"},
      {R"({"model_name":"m","swap_space":4})", "swap_space"},
      {R"({"model_name":"m","max_model_len":"4k"})", "max_model_len"},
      {R"({"model_name":"m","n_ctx":5,"max_model_len":5})", "n_ctx"},
      {R"({"model_name":"--help"})", "model_name"},
      {R"({"model_name":"m","device":"tpu"})", "device"},
  };
  for (const auto& [text, field] : cases) {
    const Read read = read_launch(text);
    ASSERT_FALSE(read.spec.ok()) << text;
    EXPECT_THAT(read.spec.status().message(), HasSubstr(field)) << text;
  }
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::remove(path); }

  void TearDown() override { fs::remove(path); }

  std::unique_ptr<Store> open() const {
    auto store = Store::open(path);
    EXPECT_TRUE(store.ok()) << store.status().message();
    return store.ok() ? std::move(store).value() : nullptr;
  }

  void run_sql(const char* sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
  }

  const std::string path = ::testing::TempDir() + "tutti_store_test.db";
};

TEST_F(StoreTest, KeepsLaunchesInTheirOrder) {
  {
    const auto store = open();
    ASSERT_TRUE(store->put({.uid = "b", .spec = "{}", .created_unix = 5}).ok());
    ASSERT_TRUE(store->put({.uid = "a", .spec = "[]", .created_unix = 6}).ok());
    ASSERT_TRUE(store->put({.uid = "c", .spec = "", .created_unix = 7}).ok());
    ASSERT_TRUE(store->put({.uid = "b", .spec = "{\"x\":1}", .created_unix = 8}).ok());
    ASSERT_TRUE(store->remove("c").ok());
    ASSERT_TRUE(store->remove("nobody").ok());
  }
  const auto store = open();
  const auto launches = store->launches();
  ASSERT_TRUE(launches.ok());
  ASSERT_EQ(launches->size(), 2U);
  EXPECT_EQ(launches->front().uid, "b");
  EXPECT_EQ(launches->front().spec, "{\"x\":1}");
  EXPECT_EQ(launches->front().created_unix, 5);
  EXPECT_EQ(launches->back().uid, "a");

  struct stat about {};

  ASSERT_EQ(stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
}

TEST_F(StoreTest, KeepsTheLastEvents) {
  const auto store = open();
  for (int i = 0; i < Store::kEvents + 20; ++i) {
    store->add_event("a", {.time_unix = i, .kind = "Normal", .text = std::to_string(i)});
    store->add_event("b", {.time_unix = i, .kind = "Error", .text = "x"});
  }
  const auto events = store->events("a");
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), static_cast<size_t>(Store::kEvents));
  EXPECT_EQ(events->front().text, "20");
  EXPECT_EQ(events->back().text, std::to_string(Store::kEvents + 19));
  EXPECT_EQ(store->events("b")->size(), static_cast<size_t>(Store::kEvents));
  EXPECT_TRUE(store->events("nobody")->empty());
}

TEST_F(StoreTest, HasOneServerAtATime) {
  auto first = open();
  const auto second = Store::open(path);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr("in use by another server"));
  first.reset();
  EXPECT_NE(open(), nullptr);
}

// As the first version made it.
constexpr const char* kFirstVersion =
    "CREATE TABLE launches(uid TEXT PRIMARY KEY, spec TEXT NOT NULL, created INTEGER NOT NULL);"
    "CREATE TABLE events(id INTEGER PRIMARY KEY, uid TEXT NOT NULL, time INTEGER NOT NULL,"
    " kind TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE INDEX events_of ON events(uid, id);"
    "INSERT INTO launches VALUES('old', '{}', 7);"
    "INSERT INTO events(uid, time, kind, text) VALUES('old', 7, 'Normal', 'launched');"
    "PRAGMA user_version = 1;";

TEST_F(StoreTest, BringsAnOlderVersionUpToDate) {
  run_sql(kFirstVersion);
  {
    const auto store = open();
    ASSERT_EQ(store->launches()->size(), 1U);
    EXPECT_EQ(store->launches()->front().uid, "old");
    EXPECT_EQ(store->events("old")->front().text, "launched");
    EXPECT_TRUE(store->keys()->empty());
    ASSERT_TRUE(
        store->put_key({.name = "k", .digest = "d", .scopes = "manage", .created_unix = 3}).ok());
  }
  const auto again = open();
  ASSERT_EQ(again->keys()->size(), 1U);
  EXPECT_EQ(again->keys()->front().scopes, "manage");
  EXPECT_TRUE(again->remove_key("k").ok());
  EXPECT_TRUE(again->keys()->empty());
}

TEST_F(StoreTest, AnUpdateThatFailsChangesNothing) {
  run_sql(kFirstVersion);
  run_sql("CREATE TABLE keys(mine TEXT)");
  EXPECT_FALSE(Store::open(path).ok());
  run_sql("DROP TABLE keys");
  EXPECT_EQ(open()->launches()->size(), 1U) << "it still was of the first version";
}

TEST_F(StoreTest, RefusesWhatANewerVersionWrote) {
  (void)open();
  run_sql("PRAGMA user_version = 99");
  const auto store = Store::open(path);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(store.status().message(), HasSubstr("newer version of tutti"));
  EXPECT_THAT(store.status().message(), HasSubstr("99"));
  run_sql(("PRAGMA user_version = " + std::to_string(Store::version())).c_str());
  EXPECT_NE(open(), nullptr) << "the file was left as it was";
}

TEST_F(StoreTest, SaysWhatIsNoSuchFile) {
  std::ofstream(path) << std::string(4096, 'x');
  const auto store = Store::open(path);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kCorrupt);
  EXPECT_THAT(store.status().message(), HasSubstr(path));
  const auto nowhere = Store::open("/nonexistent/state.db");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.status().message(), HasSubstr("/nonexistent/state.db"));
}

}  // namespace
}  // namespace tutti
