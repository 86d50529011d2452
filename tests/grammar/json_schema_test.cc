#include "grammar/json_schema.h"

#include <gtest/gtest.h>

#include "grammar_texts.h"

namespace tutti::grammar {
namespace {

struct Case {
  const char* schema;
  std::vector<const char*> valid;
  std::vector<const char*> invalid;
};

void check(const Case& one, const SchemaOptions& options = {}) {
  const auto core = core_of(schema_spec(one.schema, options));
  ASSERT_TRUE(core.ok()) << one.schema << ": " << core.status().message();
  for (const char* text : one.valid) {
    EXPECT_TRUE(matches(**core, text)) << one.schema << " and " << text;
  }
  for (const char* text : one.invalid) {
    EXPECT_FALSE(matches(**core, text)) << one.schema << " and " << text;
  }
}

std::string refusal(const char* schema) {
  const auto core = core_of(schema_spec(schema));
  EXPECT_FALSE(core.ok()) << schema;
  return core.ok() ? "" : core.status().message();
}

// What is valid is JSON Schema's, not ours: each row is an example of the specification's text or
// of its test suite, told in our own words.
TEST(JsonSchema, KeywordsSayWhatTheSpecificationSays) {
  const Case cases[] = {
      {"true", {"null", "[1,{\"a\":[]}]", "\"x\"", "-1.5e3"}, {"", "nul", "{a:1}", "[1,]"}},
      {"{}", {"{}", "[]"}, {"{"}},
      {R"({"type":"integer"})", {"0", "-12"}, {"1.5", "1e3", "\"1\"", "-0", "01"}},
      {R"({"type":["null","boolean"]})", {"null", "true", "false"}, {"0", "TRUE"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("日本語")", R"("\n\"")", R"("\u00e9x")"},
       {R"("a")", R"("abcd")", "ab"}},
      {R"({"type":"string","pattern":"^a.c$","maxLength":3})",
       {R"("abc")", R"("a\"c")"},
       {R"("ac")", R"("abbc")"}},
      {R"({"enum":["red",1,null,{"a":[1,2]}]})",
       {R"("red")", "1", "null", R"({"a":[1,2]})", R"({"a": [1, 2]})"},
       {R"("blue")", "2", R"({"a":[1]})"}},
      {R"({"const":"a\"b"})", {R"("a\"b")"}, {R"("ab")"}},
      {R"({"enum":["a","bb","ccc",5],"type":"string","minLength":2})",
       {R"("bb")"},
       {R"("a")", "5"}},
      {R"({"type":"number","exclusiveMinimum":0,"maximum":1.5})",
       {"0.1", "1", "1.5"},
       {"0", "1.51", "-1"}},
      {R"({"type":"integer","multipleOf":5,"minimum":10})", {"10", "125"}, {"5", "11"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":2})",
       {"[1]", "[1,2]", "[ 1, 2 ]", "[\n  1,\n  2\n]"},
       {"[]", "[1,2,3]", "[1.5]", "[1,]"}},
      {R"({"prefixItems":[{"type":"integer"},{"type":"string"}],"items":false,"type":"array"})",
       {"[]", "[1]", "[1,\"a\"]"},
       {"[\"a\"]", "[1,\"a\",2]"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"null"}})",
       {"[1,null,null]"},
       {"[1,2]"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["b"]})",
       {R"({"a":1,"b":"x"})", R"({"b":"x"})", R"({"b":"x","c":[true]})", R"({"a": 1, "b": ""})"},
       {R"({"a":1})", R"({"b":1})", "{}", R"({"b":"x","a":1})", R"({"b":"x","b":1})"}},
      {R"({"type":"object","properties":{"a":{}},"additionalProperties":false})",
       {"{}", R"({"a":1})"},
       {R"({"b":1})", R"({"a":1,"b":1})"}},
      {R"({"type":"object","patternProperties":{"^n_":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
       {R"({"n_a":1,"x":"y"})"},
       {R"({"n_a":"1"})", R"({"x":1})"}},
      {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"}})",
       {R"({"ab":1})"},
       {R"({"A":1})"}},
      {R"({"type":"object","propertyNames":{"enum":["x","y"]},"additionalProperties":{"type":"null"}})",
       {R"({"x":null})"},
       {R"({"z":null})"}},
      {R"({"type":"object","minProperties":1,"maxProperties":2,"additionalProperties":{"type":"integer"}})",
       {R"({"a":1})", R"({"a":1,"b":2})"},
       {"{}", R"({"a":1,"b":2,"c":3})"}},
      {R"({"type":"object","properties":{"a":{},"b":{},"c":{}},"maxProperties":2,"required":["c"],"additionalProperties":false})",
       {R"({"a":1,"c":1})", R"({"c":1})"},
       {R"({"a":1,"b":1,"c":1})", R"({"a":1,"b":1})"}},
      {R"({"type":"object","properties":{"card":{},"address":{}},"dependentRequired":{"card":["address"]},"additionalProperties":false})",
       {"{}", R"({"address":1})", R"({"card":1,"address":1})"},
       {R"({"card":1})"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
       {"5", R"("a")"},
       {"1.5", R"("ab")"}},
      {R"({"type":"object","properties":{"k":{"type":"string"}},"required":["k"],
           "oneOf":[{"properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["x"]},
                    {"properties":{"k":{"const":"b"}}}],"additionalProperties":{"type":"null"}})",
       {},
       {R"({"k":"c"})"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
                    {"properties":{"b":{"type":"boolean"}},"required":["b"]}]})",
       {R"({"a":1,"b":true})"},
       {R"({"a":1})", R"({"a":1,"b":1})"}},
      {R"({"allOf":[{"maximum":10},{"minimum":5}],"type":"integer"})", {"5", "10"}, {"4", "11"}},
      {R"({"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},
           "required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/node"})",
       {R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":{"v":2}})"}},
      {R"({"properties":{"a b/c~d%":{"const":1}},"$defs":{"r":{"$ref":"#/properties/a%20b~1c~0d%25"}},"type":"array","items":{"$ref":"#/$defs/r"}})",
       {"[1,1]"},
       {"[2]"}},
      {R"({"$defs":{"x":{"$anchor":"here","type":"null"}},"$ref":"#here"})", {"null"}, {"1"}},
      {R"({"not":{"type":"string"}})", {"1", "[]"}, {R"("a")"}},
      {R"({"type":"string","not":{"enum":["a","b"]}})",
       {R"("c")", R"("ab")", R"("")"},
       {R"("a")", R"("b")", R"("\u0061")"}},
      {R"({"type":"integer","nullable":true})", {"1", "null"}, {"1.5"}},
      {R"({"type":"string","format":"date"})", {R"("2024-02-29")"}, {R"("2023-02-29")", R"("x")"}},
      {R"({"type":"integer","format":"int32"})", {"2147483647", "-2147483648"}, {"2147483648"}},
  };
  for (const Case& one : cases) {
    check(one);
  }
}

TEST(JsonSchema, MembersInAnyOrderIfAsked) {
  const Case any = {
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{}},"required":["a","b"],"dependentRequired":{"c":["a"]}})",
      {R"({"b":"x","a":1})", R"({"a":1,"b":"x"})", R"({"z":1,"b":"","c":2,"a":1})"},
      {R"({"a":1})", R"({"a":1,"b":"x","a":1})", R"({"b":1,"a":1})"}};
  check(any, {.any_order = true});
}

TEST(JsonSchema, ClosedObjectsHaveWhatTheyDeclare) {
  const Case closed = {
      R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})",
      {R"({"a":1})"},
      {R"({"a":1,"b":1})", "{}"}};
  check(closed, {.closed = true});
  const Case open = {R"({"type":"object","properties":{"a":{"type":"object"}}})",
                     {R"({"a":{"anything":1}})"},
                     {R"({"b":1})"}};
  check(open, {.closed = true});
  const Case merged = {
      R"({"allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}],"type":"object"})",
      {R"({"a":1,"b":1})"},
      {R"({"c":1})"}};
  check(merged, {.closed = true});
}

TEST(JsonSchema, SpaceIsAsAsked) {
  const Case none = {R"({"type":"array"})", {"[1,2]"}, {"[1, 2]", "[ ]"}};
  check(none, {.space = ""});
  const Case two = {R"({"type":"array"})", {"[1,  2]", "[1, 2]"}, {"[1,   2]"}};
  check(two, {.space = " {0,2}"});
  const Case usual = {
      R"({"type":"array"})", {"[1, 2]", "[\n\t1,\n\t2\n]"}, {"[1,  2]", "[1,\n\n2]"}};
  check(usual);
}

TEST(JsonSchema, WhatCannotBeEnforcedIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type":"array","uniqueItems":true})", "\"uniqueItems\" cannot be enforced"},
      {R"({"properties":{"a":{"contains":{}}}})", "schema #/properties/a: \"contains\" cannot"},
      {R"({"if":{},"then":{}})", "\"if\" cannot be enforced"},
      {R"({"unevaluatedProperties":false})", "\"unevaluatedProperties\" cannot"},
      {R"({"dependentSchemas":{}})", "\"dependentSchemas\""},
      {R"({"$dynamicRef":"#x"})", "\"$dynamicRef\""},
      {R"({"not":{"minLength":2}})", "schema #/not: only type, enum and const"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})",
       "schema #/oneOf: numbers 0 and 1 may hold at once"},
      {R"({"type":"string","format":"binary"})", "schema #/format: \"binary\" is not enforced"},
      {R"~({"type":"string","pattern":"(?=a)"})~",
       "schema #/pattern: pattern \"(?=a)\": at byte 3: look-around"},
      {R"({"type":"integer","multipleOf":1234567})", "schema #/multipleOf: multiples of it cannot"},
      {R"({"$ref":"https://example.com/x.json"})", "nothing is fetched"},
      {R"({"$ref":"#/$defs/none"})", "names no part of it"},
      {R"({"type":"strin"})", "schema #/type: got \"strin\", wanted null, boolean"},
      {R"({"minLength":-1})", "schema #/minLength: got -1, wanted a whole number from 0"},
      {R"({"properties":[]})", "schema #/properties: got an array, wanted an object of schemas"},
      {R"({"properties":{"a":1}})",
       "schema #/properties/a: got an integer, wanted an object, true or false"},
      {R"({"type":"object","properties":{"a":false},"required":["a"]})", "no text can satisfy it"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
       "no text can satisfy it"},
      {R"({"enum":[]})", "no text can satisfy it"},
  };
  for (const auto& [schema, message] : cases) {
    EXPECT_NE(refusal(schema).find(message), std::string::npos)
        << schema << ": " << refusal(schema);
  }
}

TEST(JsonSchema, DeepAndWideSchemasStayWithinBounds) {
  // A chain of references, as long as a request may hold.
  std::string chain = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 5000; ++i) {
    chain += fmt::format(
        R"("d{}":{{"type":"object","properties":{{"x":{{"$ref":"#/$defs/d{}"}}}}}},)", i, i + 1);
  }
  chain += R"("d5000":{"type":"null"}}})";
  const auto deep = core_of(schema_spec(chain));
  ASSERT_TRUE(deep.ok()) << deep.status().message();
  EXPECT_TRUE(matches(**deep, R"({"x":{"x":{}}})"));
  // 2^20 combinations of anyOf.
  std::string wide = R"({"allOf":[)";
  for (int i = 0; i < 20; ++i) {
    wide += std::string(i == 0 ? "" : ",") + R"({"anyOf":[{"minimum":1},{"maximum":5}]})";
  }
  wide += "]}";
  EXPECT_NE(refusal(wide.c_str()).find("combinations"), std::string::npos);
  EXPECT_TRUE(core_of(schema_spec(R"({"type":"array","minItems":1000000000})")).ok());
  EXPECT_TRUE(core_of(schema_spec(R"({"type":"string","maxLength":2147483648})")).ok());
}

}  // namespace
}  // namespace tutti::grammar
