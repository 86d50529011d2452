// What a server tells of its GPUs: GET /v1/cluster/gpus and /metrics.
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/test_server.h"
#include "serve/http_metrics.h"

namespace tutti::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string file_text(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(std::string(TUTTI_SOURCE_DIR) + "/" + path).rdbuf();
  return text.str();
}

GpuStatus recorded() {
  return parse_status(parse_json(file_text("tests/watch/eight_gpus.json")).value()).value();
}

TEST(Gpus, AreToldAsJson) {
  ServerConfig config;
  config.gpus = recorded;
  const TestServer s({}, std::move(config));
  const RawResponse response = s.send(make_request("GET", "/v1/cluster/gpus"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, to_string(status_json(recorded())));
}

TEST(Gpus, OfAServerThatWatchesNone) {
  const TestServer s;
  const RawResponse response = s.send(make_request("GET", "/v1/cluster/gpus"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"schema":1,"time":"","error":"","gpus":[],"notices":[]})");
  EXPECT_THAT(s.send(make_request("GET", "/metrics")).body, Not(HasSubstr("tutti:gpu_lost{")));
}

TEST(Gpus, WantTheKey) {
  ServerConfig config;
  config.api_key = "secret";
  config.gpus = recorded;
  const TestServer s({}, std::move(config));
  EXPECT_EQ(s.send(make_request("GET", "/v1/cluster/gpus")).status, 401);
}

TEST(Gpus, AreMetrics) {
  ServerConfig config;
  config.gpus = recorded;
  const TestServer s({}, std::move(config));
  const std::string metrics = s.send(make_request("GET", "/metrics")).body;
  const std::string of_6 =
      R"({gpu="6",uuid="GPU-00000007-0000-4000-8000-000000000000",name="NVIDIA H200")";
  EXPECT_THAT(metrics, HasSubstr("tutti:gpu_busy_ratio" + of_6 + "} 0.99\n"));
  EXPECT_THAT(metrics, HasSubstr("tutti:gpu_clock_hertz" + of_6 + "} 1890000000\n"));
  EXPECT_THAT(metrics,
              HasSubstr("tutti:gpu_slowed_seconds_total" + of_6 + R"(,reason="hw_thermal"} 12.5)"));
  EXPECT_THAT(metrics,
              HasSubstr(R"(tutti:gpu_xid_errors_total{gpu="7",uuid="",name="",xid="79"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(tutti:gpu_lost{gpu="7",uuid="",name=""} 1)"));
  EXPECT_THAT(metrics, Not(HasSubstr(R"(tutti:gpu_busy_ratio{gpu="7")")));
}

// A dashboard that asks for what there is not shows nothing, and nobody knows why.
TEST(Gpus, TheDashboardAsksForMetricsThatExist) {
  const Result<Json> dashboard = parse_json(file_text("docs/grafana-dashboard.json"));
  ASSERT_TRUE(dashboard.ok()) << dashboard.status().message();
  std::set<std::string> names;
  for (const MetricInfo& info : metric_rows()) {
    names.insert(info.name);
    if (std::string_view(info.type) == "histogram") {
      for (const char* part : {"_bucket", "_sum", "_count"}) {
        names.insert(std::string(info.name) + part);
      }
    }
  }
  int panels = 0;
  for (const Json& panel : dashboard->find("panels")->as_array()) {
    ++panels;
    for (const Json& target : panel.find("targets")->as_array()) {
      const std::string expression = target.find("expr")->as_string();
      const std::string prefix = "tutti:";
      size_t at = expression.find(prefix);
      EXPECT_NE(at, std::string::npos) << expression;
      for (; at != std::string::npos; at = expression.find(prefix, at + 1)) {
        const size_t first = at + prefix.size();
        const size_t end =
            expression.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_", first);
        EXPECT_TRUE(names.contains(expression.substr(first, end - first))) << expression;
      }
    }
  }
  EXPECT_GE(panels, 12);
}

}  // namespace
}  // namespace tutti::testing
