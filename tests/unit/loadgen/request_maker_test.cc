#include "loadgen/request_maker.h"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "loadgen/target.h"

namespace tutti::loadgen {
namespace {

Target target() {
  auto parsed = Target::parse("http://127.0.0.1:8000");
  EXPECT_TRUE(parsed.ok());
  return *std::move(parsed);
}

Json body_of(const MadeRequest& made) {
  const size_t at = made.bytes.find("\r\n\r\n") + 4;
  const std::string length = fmt::format("Content-Length: {}\r\n", made.bytes.size() - at);
  EXPECT_NE(made.bytes.find(length), std::string::npos) << made.bytes.substr(0, at);
  auto json = parse_json(std::string_view(made.bytes).substr(at));
  EXPECT_TRUE(json.ok()) << json.status().message();
  return json.ok() ? *std::move(json) : Json::object();
}

const Json& field(const Json& json, const char* key) {
  static const Json kNone;
  const Json* found = json.find(key);
  return found == nullptr ? kNone : *found;
}

TEST(RequestMakerTest, SameSeedSameBytesInAnyOrder) {
  const Target at = target();
  RequestOptions options;
  options.seed = 11;
  options.input_length = *LengthDistribution::parse("", "uniform:1:50");
  const RequestMaker a(at, options);
  const RequestMaker b(at, options);
  EXPECT_EQ(a.make(5).bytes, b.make(5).bytes);
  EXPECT_EQ(a.make(3).bytes, b.make(3).bytes);
  EXPECT_NE(a.make(3).bytes, a.make(4).bytes);
  options.seed = 12;
  EXPECT_NE(RequestMaker(at, options).make(3).bytes, a.make(3).bytes);
}

TEST(RequestMakerTest, IdsHaveTheLengthsAndTheRangeAskedFor) {
  const Target at = target();
  RequestOptions options;
  options.model = "m";
  options.first_token_id = 10;
  options.last_token_id = 12;
  options.input_length = LengthDistribution(7);
  options.output_length = LengthDistribution(9);
  options.ignore_eos = true;
  options.min_tokens = true;
  options.temperature = 0.5;
  const MadeRequest made = RequestMaker(at, options).make(0);
  EXPECT_TRUE(made.bytes.starts_with("POST /v1/completions HTTP/1.1\r\n"));
  const Json body = body_of(made);
  EXPECT_EQ(field(body, "model").as_string(), "m");
  ASSERT_EQ(field(body, "prompt").as_array().size(), 7U);
  for (const Json& id : field(body, "prompt").as_array()) {
    EXPECT_GE(id.as_int(), 10);
    EXPECT_LE(id.as_int(), 12);
  }
  EXPECT_EQ(field(body, "max_tokens").as_int(), 9);
  EXPECT_EQ(field(body, "min_tokens").as_int(), 9);
  EXPECT_TRUE(field(body, "ignore_eos").as_bool());
  EXPECT_TRUE(field(body, "stream").as_bool());
  EXPECT_TRUE(field(field(body, "stream_options"), "include_usage").as_bool());
  EXPECT_EQ(field(body, "temperature").as_number(), 0.5);
  EXPECT_EQ(made.prompt_length, 7);
}

TEST(RequestMakerTest, GroupsShareTheirPrefixAndNothingElse) {
  const Target at = target();
  RequestOptions options;
  options.input_length = LengthDistribution(20);
  options.shared_prefix = 30;
  options.prefix_groups = 3;
  const RequestMaker maker(at, options);
  std::map<std::string, int> prefixes;
  std::map<std::string, int> suffixes;
  for (int i = 0; i < 300; ++i) {
    const MadeRequest made = maker.make(i);
    EXPECT_EQ(made.prompt_length, 50);
    const Json body = body_of(made);
    const JsonArray& ids = field(body, "prompt").as_array();
    ASSERT_EQ(ids.size(), 50U);
    ++prefixes[to_string(Json(JsonArray(ids.begin(), ids.begin() + 30)))];
    ++suffixes[to_string(Json(JsonArray(ids.begin() + 30, ids.end())))];
  }
  EXPECT_EQ(prefixes.size(), 3U);
  for (const auto& [prefix, count] : prefixes) {
    EXPECT_GT(count, 60) << "seed=" << options.seed;
  }
  EXPECT_EQ(suffixes.size(), 300U);
}

TEST(RequestMakerTest, WordsForAChatAndExtraFields) {
  const Target at = target();
  RequestOptions options;
  options.endpoint = Endpoint::kChat;
  options.token_ids = false;
  options.stream = false;
  options.input_length = LengthDistribution(5);
  options.extra.set("max_tokens", 3);
  options.extra.set("top_p", 0.25);
  const MadeRequest made = RequestMaker(at, options).make(1);
  EXPECT_TRUE(made.bytes.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
  const Json body = body_of(made);
  const std::string text = field(field(body, "messages").as_array().at(0), "content").as_string();
  EXPECT_EQ(std::count(text.begin(), text.end(), ' '), 4) << text;
  EXPECT_EQ(field(body, "max_tokens").as_int(), 3);
  EXPECT_EQ(field(body, "top_p").as_number(), 0.25);
  EXPECT_EQ(body.find("stream"), nullptr);
}

TEST(RequestMakerTest, DatasetPromptsAndTheirLengths) {
  const Target at = target();
  RequestOptions options;
  options.token_ids = false;
  options.dataset = std::make_shared<const std::vector<DatasetEntry>>(
      std::vector<DatasetEntry>{{.prompt = "say \"hi\"", .messages = {}, .output_tokens = 17}});
  const Json body = body_of(RequestMaker(at, options).make(0));
  EXPECT_EQ(field(body, "prompt").as_string(), "say \"hi\"");
  EXPECT_EQ(field(body, "max_tokens").as_int(), 17);
}

}  // namespace
}  // namespace tutti::loadgen
