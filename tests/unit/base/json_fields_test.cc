#include "base/json_fields.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

JsonObject object(const char* text) {
  return parse_json(text).value().as_object();
}

TEST(FieldReaderTest, ReadsEveryType) {
  const JsonObject o =
      object(R"({"i":7,"whole":1e3,"d":1.5,"s":"x","b":true,"o":{"k":1},"a":[1],"null":null})");
  FieldReader f(o, "");
  EXPECT_EQ(f.required_int("i"), 7);
  EXPECT_EQ(f.required_int("whole"), 1000) << "1e3 is an integer to writers that have only doubles";
  EXPECT_EQ(f.required_number("d"), 1.5);
  EXPECT_EQ(f.required_number("i"), 7.0);
  EXPECT_EQ(f.required_string("s"), "x");
  EXPECT_EQ(f.optional_bool("b"), true);
  ASSERT_NE(f.optional_object("o"), nullptr);
  EXPECT_EQ(f.optional_object("o")->find("k")->as_int(), 1);
  ASSERT_NE(f.optional_array("a"), nullptr);
  EXPECT_EQ(f.optional_array("a")->size(), 1U);
  EXPECT_TRUE(f.status().ok());
}

TEST(FieldReaderTest, NullMeansNotGiven) {
  const JsonObject o = object(R"({"null":null})");
  FieldReader f(o, "");
  for (const char* key : {"null", "absent"}) {
    EXPECT_EQ(f.optional_int(key), std::nullopt);
    EXPECT_EQ(f.optional_number(key), std::nullopt);
    EXPECT_EQ(f.optional_bool(key), std::nullopt);
    EXPECT_EQ(f.optional_string(key), std::nullopt);
    EXPECT_EQ(f.optional_object(key), nullptr);
    EXPECT_EQ(f.optional_array(key), nullptr);
    EXPECT_EQ(f.find(key), nullptr);
    EXPECT_EQ(f.int_or(key, 3), 3);
    EXPECT_EQ(f.number_or(key, 2.5), 2.5);
    EXPECT_TRUE(f.bool_or(key, true));
    EXPECT_EQ(f.string_or(key, "d"), "d");
  }
  EXPECT_TRUE(f.status().ok());
}

struct Wrong {
  const char* json;
  void (*read)(FieldReader&);
  const char* message;
};

TEST(FieldReaderTest, ErrorsNameFieldGotAndWanted) {
  const Wrong cases[] = {
      {R"({"k":"7"})",
       [](FieldReader& f) { f.required_int("k"); },
       "config.json: k: got a string, wanted an integer"},
      {R"({"k":1.5})",
       [](FieldReader& f) { f.optional_int("k"); },
       "config.json: k: got a number with a fraction or exponent, wanted an integer"},
      {R"({"k":1e300})",
       [](FieldReader& f) { f.optional_int("k"); },
       "config.json: k: got 1e300, wanted -9223372036854775808 to 9223372036854775807"},
      {R"({"k":9223372036854775808})",
       [](FieldReader& f) { f.optional_int("k", {.min = 1}); },
       "config.json: k: got 9223372036854775808, wanted 1 to 9223372036854775807"},
      {R"({})",
       [](FieldReader& f) { f.required_int("k"); },
       "config.json: k: missing; wanted an integer"},
      {R"({"k":null})",
       [](FieldReader& f) { f.required_number("k"); },
       "config.json: k: missing; wanted a number"},
      {R"({})",
       [](FieldReader& f) { f.required_string("k"); },
       "config.json: k: missing; wanted a string"},
      {R"({"k":0})",
       [](FieldReader& f) { f.required_int("k", {.min = 1}); },
       "config.json: k: got 0, wanted at least 1"},
      {R"({"k":11})",
       [](FieldReader& f) { f.required_int("k", {.min = 1, .max = 10}); },
       "config.json: k: got 11, wanted 1 to 10"},
      {R"({"k":3})",
       [](FieldReader& f) { f.optional_number("k", {.min = 0, .max = 2}); },
       "config.json: k: got 3, wanted 0 to 2"},
      {R"({"k":[]})",
       [](FieldReader& f) { f.number_or("k", 1); },
       "config.json: k: got an array, wanted a number"},
      {R"({"k":1})",
       [](FieldReader& f) { f.optional_bool("k"); },
       "config.json: k: got an integer, wanted true or false"},
      {R"({"k":{}})",
       [](FieldReader& f) { f.string_or("k", ""); },
       "config.json: k: got an object, wanted a string"},
      {R"({"k":true})",
       [](FieldReader& f) { f.optional_object("k"); },
       "config.json: k: got a boolean, wanted an object"},
      {R"({"k":"x"})",
       [](FieldReader& f) { f.optional_array("k"); },
       "config.json: k: got a string, wanted an array"},
  };
  for (const Wrong& c : cases) {
    const JsonObject o = object(c.json);
    FieldReader f(o, "config.json");
    c.read(f);
    EXPECT_EQ(f.status().code(), StatusCode::kInvalidArgument) << c.json;
    EXPECT_EQ(f.status().message(), c.message);
    EXPECT_EQ(f.status().param(), "k");
  }
}

TEST(FieldReaderTest, TheFirstErrorSticksAndValuesStayHarmless) {
  const JsonObject o = object(R"({"a":"x","b":-1})");
  FieldReader f(o, "");
  EXPECT_EQ(f.required_int("a"), 0);
  EXPECT_EQ(f.int_or("b", 5, {.min = 0}), 5);
  f.fail("c", "is odd");
  EXPECT_EQ(f.status().message(), "a: got a string, wanted an integer");
  EXPECT_EQ(f.path("a"), "a");
}

TEST(FieldReaderTest, BoundsAreInclusive) {
  const JsonObject o = object(R"({"low":1,"high":10,"x":2.0})");
  FieldReader f(o, "");
  EXPECT_EQ(f.required_int("low", {.min = 1, .max = 10}), 1);
  EXPECT_EQ(f.required_int("high", {.min = 1, .max = 10}), 10);
  EXPECT_EQ(f.optional_number("x", {.min = 0, .max = 2}), 2.0);
  EXPECT_TRUE(f.status().ok()) << f.status().message();
}

}  // namespace
}  // namespace tutti
