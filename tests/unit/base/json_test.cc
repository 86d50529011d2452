#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::HasSubstr;

struct Refused {
  const char* name;
  std::string text;
  const char* message;  // part of it
};

class JsonRefusesTest : public ::testing::TestWithParam<Refused> {};

TEST_P(JsonRefusesTest, WithLineColumnAndCause) {
  const Result<Json> json = parse_json(GetParam().text);
  ASSERT_FALSE(json.ok()) << to_string(*json);
  EXPECT_EQ(json.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(json.status().message(), HasSubstr("invalid JSON at line "));
  EXPECT_THAT(json.status().message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Strict,
    JsonRefusesTest,
    ::testing::Values(
        Refused{"empty", "", "empty"},
        Refused{"only_space", " \n", "line 2, column 1"},
        Refused{"trailing_comma_array", "[1,]", "column 4"},
        Refused{"trailing_comma_object", "{\"a\":1,}", "column 8"},
        Refused{"two_documents", "{} {}", "column 4"},
        Refused{"comment", "[1 /* c */]", "column 4"},
        Refused{"nan", "NaN", "column 1"},
        Refused{"infinity", "[Infinity]", "column 2"},
        Refused{"single_quotes", "{'a':1}", "column 2"},
        Refused{"bare_key", "{a:1}", "column 2"},
        Refused{"plus", "[+1]", "column 2"},
        Refused{"leading_zero", "[01]", "column 3"},
        Refused{"no_fraction", "[1.]", "line 1"},
        Refused{"no_integer", "[.5]", "column 2"},
        Refused{"no_exponent", "[1e]", "line 1"},
        Refused{"hex", "[0x10]", "column 3"},
        Refused{"too_big", "1e400", "too big"},
        Refused{"too_small", "[-1e400]", "too big"},
        Refused{"lone_high_surrogate", R"(["\ud800"])", "surrogate"},
        Refused{"lone_high_surrogate_then_text", R"(["\ud800abcdef"])", "surrogate"},
        Refused{"two_high_surrogates", R"(["\ud800\ud800"])", "surrogate"},
        Refused{"lone_low_surrogate", R"(["\udc00"])", "surrogate"},
        Refused{"lone_low_surrogate_key", R"({"\udfff":1})", "surrogate"},
        Refused{"bad_escape", R"(["\x41"])", "escape"},
        Refused{"short_unicode_escape", R"(["\u12"])", "line 1"},
        Refused{"raw_newline", "[\"a\nb\"]", "line 1"},
        Refused{"raw_control", "[\"a\x01\"]", "line 1"},
        Refused{"bad_utf8_lead", "[\"\xff\"]", "ncoding"},
        Refused{"bad_utf8_overlong", "[\"\xc0\xaf\"]", "ncoding"},
        Refused{"bad_utf8_surrogate", "[\"\xed\xa0\x80\"]", "ncoding"},
        Refused{"bad_utf8_truncated", "[\"\xe2\x82\"]", "ncoding"},
        Refused{"bad_utf8_above_range", "[\"\xf4\x90\x80\x80\"]", "ncoding"},
        Refused{"bad_utf8_key", "{\"\x80\":1}", "ncoding"},
        Refused{"nul_in_text", std::string("[1]\0", 4), "NUL byte"},
        Refused{"nul_in_string", std::string("[\"a\0b\"]", 7), "NUL byte"},
        Refused{"duplicate_key", R"({"a":1,"b":2,"a":3})", "duplicate key \"a\""},
        Refused{"duplicate_key_by_escape", R"({"a":1,"\u0061":3})", "duplicate key \"a\""},
        Refused{"duplicate_key_nested", R"([{"x":{"k":1,"k":1}}])", "duplicate key \"k\""},
        Refused{"unclosed_array", "[1,2", "line 1"},
        Refused{"unclosed_string", "\"abc", "line 1"},
        Refused{"mismatched", "[1}", "column 3"},
        Refused{"second_line", "{\n \"a\": x}", "line 2, column 7"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(JsonTest, AcceptsTheWholeGrammar) {
  const Json json = parse_json(
                        " {\"s\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000\","
                        "\"n\":[0,-0,1.5,-2e3,1E+2,true,false,null],\"o\":{},\"a\":[]}\r\n")
                        .value();
  EXPECT_EQ(json.find("s")->as_string(),
            std::string("\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\0", 15));
  const JsonArray& n = json.find("n")->as_array();
  ASSERT_EQ(n.size(), 8U);
  EXPECT_EQ(n[1].as_number(), 0.0);
  EXPECT_EQ(n[2].as_number(), 1.5);
  EXPECT_EQ(n[3].as_number(), -2000.0);
  EXPECT_EQ(n[4].as_number(), 100.0);
  EXPECT_TRUE(n[5].as_bool());
  EXPECT_FALSE(n[6].as_bool());
  EXPECT_TRUE(n[7].is_null());
  EXPECT_TRUE(json.find("o")->as_object().empty());
  EXPECT_TRUE(json.find("a")->as_array().empty());
  EXPECT_EQ(json.find("missing"), nullptr);
  EXPECT_EQ(n[0].find("no object"), nullptr);
}

TEST(JsonTest, IntegersAreExactIn64Bits) {
  const JsonArray n = parse_json(
                          "[9223372036854775807,-9223372036854775808,9223372036854775808,"
                          "-9223372036854775809,18446744073709551616,9007199254740993,1.0,"
                          "18446744073709551615]")
                          .value()
                          .as_array();
  EXPECT_EQ(n[0].as_int(), INT64_MAX);
  EXPECT_EQ(n[1].as_int(), INT64_MIN);
  EXPECT_TRUE(n[2].is_uint());
  EXPECT_FALSE(n[2].is_int() || n[2].is_double());
  EXPECT_EQ(n[2].as_number(), 0x1p63);
  EXPECT_TRUE(n[3].is_double());
  EXPECT_EQ(n[3].as_number(), -0x1p63);
  EXPECT_EQ(n[4].as_number(), 0x1p64);
  EXPECT_EQ(n[5].as_int(), 9007199254740993);  // not a double
  EXPECT_TRUE(n[6].is_double());
  EXPECT_EQ(n[7].as_uint(), UINT64_MAX);
  EXPECT_EQ(to_string(n[7]), "18446744073709551615");
  EXPECT_TRUE(Json(uint64_t{7}).is_int());
}

TEST(JsonTest, DoublesAreRoundedCorrectly) {
  const JsonArray n = parse_json(
                          "[0.1,2.2250738585072014e-308,4.9e-324,1e-400,1.7976931348623157e308,"
                          "0.500000000000000166533453693773481063544750213623046875]")
                          .value()
                          .as_array();
  EXPECT_EQ(n[0].as_number(), 0.1);
  EXPECT_EQ(n[1].as_number(), 2.2250738585072014e-308);
  EXPECT_EQ(n[2].as_number(), 4.9e-324);
  EXPECT_EQ(n[3].as_number(), 0.0);
  EXPECT_EQ(n[4].as_number(), 1.7976931348623157e308);
  EXPECT_EQ(n[5].as_number(), 0.500000000000000166533453693773481063544750213623046875);
}

TEST(JsonTest, DepthIsLimited) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_TRUE(parse_json(nested(256)).ok());
  EXPECT_THAT(parse_json(nested(257)).status().message(), HasSubstr("deeper than 256"));
  EXPECT_TRUE(parse_json(nested(3), {.max_depth = 3}).ok());
  EXPECT_FALSE(parse_json(nested(4), {.max_depth = 3}).ok());
  // A million opening brackets must neither overflow the stack nor take memory.
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')).ok());
  EXPECT_FALSE(parse_json("{\"a\":" + nested(300) + "}").ok());
}

TEST(JsonTest, SizeIsLimited) {
  const Result<Json> json = parse_json("[1,2,3]", {.max_bytes = 6});
  ASSERT_FALSE(json.ok());
  EXPECT_EQ(json.status().code(), StatusCode::kPayloadTooLarge);
}

TEST(JsonTest, ObjectsKeepTheirOrderAndFindEveryKey) {
  for (const int members : {1, 15, 16, 17, 32, 33, 64, 65, 500}) {
    std::string text = "{";
    for (int i = 0; i < members; ++i) {
      // A stride that visits every key once, out of order.
      text += (i == 0 ? "" : ",") + fmt::format("\"k{}\":{}", (i * 7919) % members, i);
    }
    const Json json = parse_json(text + "}").value();
    const JsonObject& object = json.as_object();
    ASSERT_EQ(object.size(), static_cast<size_t>(members));
    int i = 0;
    for (const JsonMember& member : object) {
      EXPECT_EQ(member.key, fmt::format("k{}", (i * 7919) % members));
      EXPECT_EQ(member.value.as_int(), i);
      ASSERT_NE(object.find(member.key), nullptr) << member.key << " of " << members;
      EXPECT_EQ(object.find(member.key)->as_int(), i);
      ++i;
    }
    EXPECT_EQ(object.find("k"), nullptr);
    EXPECT_FALSE(object.contains("k" + std::to_string(members)));
    JsonObject copy = object;
    EXPECT_EQ(copy.set("k0", "new").as_string(), "new");
    EXPECT_EQ(copy.size(), object.size());
    copy.set("another", true);
    EXPECT_EQ(copy.members().back().key, "another");
    EXPECT_TRUE(object.find("k0")->is_int());
  }
}

TEST(JsonTest, DuplicateKeyBehindTheHashTable) {
  std::string text = "{";
  for (int i = 0; i < 40; ++i) {
    text += fmt::format("\"k{}\":0,", i);
  }
  EXPECT_THAT(parse_json(text + "\"k3\":1}").status().message(), HasSubstr("duplicate key \"k3\""));
}

TEST(JsonTest, WriterRoundTrips) {
  const std::string compact =
      "{\"z\":null,\"a\":[true,false,-1,9223372036854775807,0.1,1e+300,-0.0],"
      "\"text\":\"\\\"\\\\\\n\\u0001\xc3\xa9\xf0\x9f\x98\x80/\",\"o\":{\"\":[]}}";
  const Json json = parse_json(compact).value();
  const std::string written = to_string(json);
  EXPECT_EQ(to_string(parse_json(written).value()), written);
  EXPECT_EQ(parse_json(written).value().find("text")->as_string(), json.find("text")->as_string());
  EXPECT_EQ(to_string(Json::object({{"b", 1}, {"a", Json::array({1.5, nullptr, "x"})}})),
            "{\"b\":1,\"a\":[1.5,null,\"x\"]}");
  EXPECT_EQ(to_string(Json("\xe2\x82\xac")), "\"\xe2\x82\xac\"") << "UTF-8 is not escaped";
}

TEST(JsonTest, WrittenDoublesReadBackEqual) {
  for (const double value : {0.1,
                             1.0 / 3.0,
                             5e-324,
                             2.2250738585072014e-308,
                             1.7976931348623157e308,
                             -123456.789,
                             1e22,
                             9007199254740993.0}) {
    const Json back = parse_json(to_string(Json(value))).value();
    EXPECT_EQ(back.as_number(), value) << to_string(Json(value));
  }
}

TEST(JsonTest, QuotedStrings) {
  std::string out = "x=";
  append_json_string(out, "a\"b\\\t\x7f\xc3\xa9");
  EXPECT_EQ(out, "x=\"a\\\"b\\\\\\t\x7f\xc3\xa9\"");
}

TEST(JsonTest, FileErrorsBeginWithThePath) {
  const Result<Json> missing = parse_json_file("/nonexistent/a.json");
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(missing.status().message(), HasSubstr("/nonexistent/a.json: no such file"));
  EXPECT_THAT(parse_json_file("/dev/null").status().message(), HasSubstr("not a regular file"));
  EXPECT_THAT(parse_json_file("/tmp").status().message(), HasSubstr("not a regular file"));
}

TEST(JsonTest, TypeNames) {
  const JsonArray all =
      parse_json("[null,true,1,9223372036854775808,1.5,1e19,\"\",[],{}]").value().as_array();
  const std::vector<std::string> names{"null",
                                       "a boolean",
                                       "an integer",
                                       "an integer",
                                       "a number with a fraction or exponent",
                                       "a number beyond 64 bits",
                                       "a string",
                                       "an array",
                                       "an object"};
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(all[i].type_name(), names[i]);
  }
}

// "" or what was too much.
std::string excess(const std::string& text) {
  const auto json = parse_json(text, {.max_values = 5, .max_keys = 3, .max_number_chars = 4});
  return json.ok() ? "" : json.status().message();
}

TEST(JsonLimits, CountValues) {
  for (const char* good : {"[1,2,3,4]", "[[[[[]]]]]", "{}", R"({"a":[1,{"b":""}]})", "1"}) {
    EXPECT_EQ(excess(good), "") << good;
  }
  EXPECT_EQ(excess("[1,2,\n3,4,5]"),
            "too much in the JSON text: there are more than 5 values (line 2, column 5)");
  for (const char* bad : {"[[[[[[]]]]]]", "[[],[],[],[],[]]", R"([{},"a",null,true,1.5])"}) {
    EXPECT_NE(excess(bad).find("more than 5 values"), std::string::npos) << bad;
  }
}

TEST(JsonLimits, CountKeysOfAllObjects) {
  EXPECT_EQ(excess(R"({"a":1,"b":{"c":2}})"), "");
  EXPECT_NE(excess(R"({"a":1,"b":{"c":2,"d":3}})").find("more than 3 keys"), std::string::npos);
}

TEST(JsonLimits, MeasureNumbers) {
  EXPECT_EQ(excess("[123,-1.5]"), "");
  EXPECT_EQ(excess("1234"), "");
  for (const char* bad : {"12345", "[1e100]", "-1234"}) {
    EXPECT_NE(excess(bad).find("more than 4 characters"), std::string::npos) << bad;
  }
}

TEST(JsonLimits, LookIntoNoString) {
  EXPECT_EQ(excess(R"(["[[[[[,,,,,123456789","\"1234567890,,,,,,"])"), "");
  EXPECT_EQ(excess(R"("\\")"), "");
}

}  // namespace
}  // namespace tutti
