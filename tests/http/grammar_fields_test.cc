// Fields that say what an answer must be, and which tools are called.
#include <gtest/gtest.h>

#include "http/fake_language_model.h"
#include "serve/openai/fields.h"
#include "serve/openai/request.h"

namespace tutti {
namespace {

using grammar::GrammarSpec;
using Kind = GrammarSpec::Kind;

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g","strict":true}}])";

Result<CanonicalRequest> parse(const std::string& fields) {
  const std::string text = R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}";
  TUTTI_TRY(const Json body, parse_json(text));
  TUTTI_RETURN_IF_ERROR(check_fields(openai_fields(), 0, body.as_object()));
  const testing::FakeLanguageModel model({});
  return parse_openai_request(
      OpenAiRoute::kChat, body.as_object(), {.model = model, .random_seed = 1, .limits = {}});
}

GrammarSpec spec(const std::string& fields) {
  const auto parsed = parse(fields);
  EXPECT_TRUE(parsed.ok()) << fields << ": " << parsed.status().message();
  EXPECT_TRUE(parsed.ok() && parsed->wish.answer.has_value()) << fields;
  return parsed.ok() && parsed->wish.answer.has_value() ? *parsed->wish.answer : GrammarSpec();
}

std::string refusal(const std::string& fields) {
  const auto parsed = parse(fields);
  EXPECT_FALSE(parsed.ok()) << fields;
  return parsed.ok() ? "" : parsed.status().message();
}

TEST(GrammarFields, EveryNameMeansTheSame) {
  for (
      const char* field :
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"null"}}})",
       R"("response_format":{"type":"json_object","schema":{"type":"null"}})",
       R"("structured_outputs":{"json":{"type":"null"}})",
       R"("guided_json":{"type":"null"})",
       R"("guided_json":"{\"type\":\"null\"}")",
       R"("json_schema":"{\"type\":\"null\"}")",
       R"("grammar":{"type":"json","value":{"type":"null"}})"}) {
    const GrammarSpec made = spec(field);
    EXPECT_EQ(made.kind, Kind::kJsonSchema) << field;
    EXPECT_EQ(made.schema == nullptr ? "" : to_string(*made.schema), R"({"type":"null"})") << field;
    EXPECT_FALSE(made.options.closed);
  }
  EXPECT_EQ(spec(R"("response_format":{"type":"json_object"})").kind, Kind::kJsonObject);
  EXPECT_EQ(spec(R"("structured_outputs":{"json_object":true})").kind, Kind::kJsonObject);
  for (const char* field : {R"("guided_regex":"a+")",
                            R"("regex":"a+")",
                            R"("structured_outputs":{"regex":"a+"})",
                            R"("grammar":{"type":"regex","value":"a+"})"}) {
    EXPECT_EQ(spec(field).kind, Kind::kPattern) << field;
    EXPECT_EQ(spec(field).text, "a+") << field;
  }
  for (const char* field : {R"("guided_grammar":"root ::= \"a\"")",
                            R"("ebnf":"root ::= \"a\"")",
                            R"("grammar":"root ::= \"a\"")",
                            R"("structured_outputs":{"grammar":"root ::= \"a\""})"}) {
    EXPECT_EQ(spec(field).kind, Kind::kGbnf) << field;
  }
  EXPECT_EQ(spec(R"("guided_choice":["a","b"])").choices, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(spec(R"("structured_outputs":{"choice":["a"]})").kind, Kind::kChoice);
  const auto text = parse(R"("response_format":{"type":"text"},"guided_json":null)");
  EXPECT_TRUE(text.ok() && !text->wish.binds());
}

TEST(GrammarFields, OptionsGoWithTheSchema) {
  EXPECT_TRUE(
      spec(R"("response_format":{"type":"json_schema","json_schema":{"schema":{},"strict":true}})")
          .options.closed);
  EXPECT_TRUE(spec(R"("structured_outputs":{"json":{},"disable_additional_properties":true})")
                  .options.closed);
  EXPECT_EQ(spec(R"("structured_outputs":{"json":{},"disable_any_whitespace":true})").options.space,
            "");
  EXPECT_EQ(spec(R"("structured_outputs":{"json":{},"whitespace_pattern":" ?"})").options.space,
            " ?");
  EXPECT_EQ(spec(R"("guided_json":{},"guided_whitespace_pattern":"\n?")").options.space, "\n?");
  EXPECT_TRUE(spec(R"("structured_outputs":{"json":{},"key_order":"free"})").options.any_order);
  EXPECT_FALSE(
      spec(R"("structured_outputs":{"json":{},"key_order":"declared"})").options.any_order);
}

TEST(GrammarFields, WhatIsNoFormIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("response_format":{})", "response_format.type: got nothing, wanted"},
      {R"("response_format":{"type":"xml"})", "response_format.type: got \"xml\", wanted"},
      {R"("response_format":{"type":"json_schema"})",
       "response_format.json_schema.schema: missing"},
      {R"("guided_json":"{")", "guided_json: a text that is no JSON"},
      {R"("guided_json":[1])", "guided_json: got an array, wanted a JSON schema"},
      {R"("guided_choice":[])", "guided_choice: wanted a list of 1"},
      {R"("guided_choice":[1])", "guided_choice: got an integer in it"},
      {R"("guided_regex":"a","guided_choice":["a"])", "guided_choice: guided_regex is there too"},
      {R"("structured_outputs":{"regex":"a","choice":["a"]})",
       "structured_outputs.choice: structured_outputs.regex is there too"},
      {R"("structured_outputs":{"structural_tag":"x"})",
       "structured_outputs.structural_tag: not supported"},
      {R"("structured_outputs":{"json":{},"key_order":"any"})",
       "structured_outputs.key_order: wanted"},
      {R"("grammar":{"type":"cfg","value":"x"})", "grammar: wanted a text, or"},
  };
  for (const auto& [field, message] : cases) {
    EXPECT_NE(refusal(field).find(message), std::string::npos) << field << ": " << refusal(field);
  }
}

TEST(ToolChoice, SaysWhetherAndWhichToolsAreCalled) {
  const auto with = [](const std::string& choice) {
    const auto parsed = parse(std::string(kTools) + R"(,"tool_choice":)" + choice);
    EXPECT_TRUE(parsed.ok()) << choice << ": " << parsed.status().message();
    return parsed.ok() ? *parsed : CanonicalRequest();
  };
  EXPECT_FALSE(with(R"("auto")").wish.calls_required);
  EXPECT_TRUE(with(R"("auto")").wish.strict_calls);
  EXPECT_EQ(with(R"("none")").chat.tools, nullptr);
  EXPECT_TRUE(with(R"("required")").wish.calls_required);
  EXPECT_EQ(with(R"("required")").wish.callable, nullptr);
  for (const char* named :
       {R"({"type":"function","function":{"name":"g"}})", R"({"type":"function","name":"g"})"}) {
    const CanonicalRequest request = with(named);
    EXPECT_TRUE(request.wish.calls_required);
    EXPECT_TRUE(request.chat.one_call);
    EXPECT_EQ(request.chat.tools->as_array().size(), 2U);  // the model sees all of them
    ASSERT_NE(request.wish.callable, nullptr);
    EXPECT_EQ(request.wish.callable->as_array().size(), 1U);
  }
  const CanonicalRequest some = with(
      R"({"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}})");
  EXPECT_FALSE(some.wish.calls_required);
  EXPECT_TRUE(some.wish.strict_calls);
  EXPECT_EQ(some.wish.callable->as_array().size(), 1U);
}

TEST(ToolChoice, WhatCannotBeChosenIsRefused) {
  EXPECT_NE(refusal(R"("tool_choice":"required")").find("there are no tools"), std::string::npos);
  const auto with = [](const std::string& choice) {
    return refusal(std::string(kTools) + R"(,"tool_choice":)" + choice);
  };
  EXPECT_NE(with(R"("must")").find("got \"must\", wanted none, auto, required"), std::string::npos);
  EXPECT_NE(with(R"({"type":"function","function":{"name":"h"}})").find("none of the tools (f, g)"),
            std::string::npos);
  EXPECT_NE(with(R"({"type":"function"})").find("tool_choice: wanted"), std::string::npos);
  EXPECT_NE(with(R"({"type":"custom"})").find("tool_choice: wanted"), std::string::npos);
  EXPECT_NE(with("7").find("tool_choice: wanted"), std::string::npos);
}

}  // namespace
}  // namespace tutti
