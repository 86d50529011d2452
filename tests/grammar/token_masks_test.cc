#include "grammar/token_masks.h"

#include <random>

#include <gtest/gtest.h>

#include "grammar_texts.h"

namespace tutti::grammar {
namespace {

using Kind = GrammarSpec::Kind;

// Tokens that cross the pieces of JSON in every way, besides the bytes.
std::vector<std::string> crossing_tokens() {
  std::vector<std::string> tokens;
  const char* pieces[] = {"{\"",  "\":",  "\",\"", "\"}",   "\":\"", " \"", "],",  "},{", "name",
                          "a",    "ab",   "abc",   " the",  "1",     "12",  ".5",  "e",   "true",
                          ",",    ", ",   "\n  ",  "\n",    "\\n",   "\\",  "\\u", "00",  "é",
                          "\xC3", "日本", "\"a\"", "null}", "}}",    "[[",  "\"\""};
  for (const char* a : pieces) {
    tokens.emplace_back(a);
    for (const char* b : pieces) {
      tokens.push_back(std::string(a) + b);
      tokens.push_back(std::string(a) + b + "\"");
    }
  }
  tokens.push_back(std::string(30, 'x'));
  tokens.push_back(std::string(24, 'y'));
  return tokens;
}

const std::vector<GrammarSpec>& specs() {
  static const std::vector<GrammarSpec> all = {
      {.kind = Kind::kJsonObject, .field = "x"},
      schema_spec("true"),
      schema_spec(R"({"type":"object","properties":{"name":{"type":"string","maxLength":5},
                  "a":{"type":"integer","minimum":3,"maximum":120},"b":{"enum":["ab","abc",null,12]}},
                  "required":["a"],"additionalProperties":false})"),
      schema_spec(
          R"({"type":"array","items":{"type":"string","minLength":2,"maxLength":40},"maxItems":3})"),
      schema_spec(
          R"({"$defs":{"t":{"type":"object","properties":{"a":{"$ref":"#/$defs/t"},"ab":{"type":"number"}},
                  "additionalProperties":false}},"$ref":"#/$defs/t"})"),
      schema_spec(R"({"type":"string","pattern":"^[a-c]+(the|name)?$"})"),
      schema_spec(
          R"({"type":"object","patternProperties":{"^a":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
          {.any_order = true}),
      text_spec(Kind::kPattern, "(abc|name)+ the.{0,30}"),
      text_spec(Kind::kGbnf, "root ::= item (\", \" item)*\nitem ::= [a-z]+ | \"[\" root? \"]\"\n"),
  };
  return all;
}

// The mask says of each token what reading its bytes one by one says.
TEST(TokenMasks, AreWhatReadingEachTokenSays) {
  const std::vector<std::string> texts = byte_texts(crossing_tokens());
  std::mt19937 random(7);
  int64_t allowed = 0;
  for (const GrammarSpec& spec : specs()) {
    Syntax syntax;
    const auto root = add_spec(spec, syntax);
    ASSERT_TRUE(root.ok()) << root.status().message();
    syntax.set_root(*root);
    const GrammarBudget budget;
    const auto made = Machine::make(std::move(syntax), budget);
    ASSERT_TRUE(made.ok()) << made.status().message();
    Machine& machine = **made;
    const Vocabulary vocabulary(texts);
    TokenMasks masks(machine, vocabulary, budget);
    PlaceId place = machine.start();
    for (int step = 0; step < 120; ++step) {
      std::vector<uint32_t> mask(vocabulary.mask_words());
      masks.fill(place, mask);
      std::vector<int32_t> some;
      for (size_t id = 0; id < texts.size(); ++id) {
        PlaceId next = place;
        for (const char byte : texts[id]) {
          next = machine.step(next, static_cast<uint8_t>(byte));
        }
        const bool right = !texts[id].empty() && next != Machine::kNowhere;
        ASSERT_EQ(mask[id / 32] >> (id % 32) & 1U, right ? 1U : 0U)
            << spec.text << " step " << step << ", token \"" << texts[id] << '"';
        if (right) {
          some.push_back(static_cast<int32_t>(id));
        }
      }
      allowed += static_cast<int64_t>(some.size());
      if (some.empty()) {
        ASSERT_TRUE(machine.may_end(place));
        place = machine.start();
        continue;
      }
      for (const char byte : texts[static_cast<size_t>(some[random() % some.size()])]) {
        place = machine.step(place, static_cast<uint8_t>(byte));
      }
    }
  }
  EXPECT_GT(allowed, 10000);
}

TEST(TokenMasks, WhatIsDrawnIsATextOfTheGrammar) {
  const std::vector<std::string> tokens = crossing_tokens();
  const std::vector<std::string> texts = byte_texts(tokens);
  std::mt19937 random(11);
  for (const GrammarSpec& spec : specs()) {
    const auto core = core_of(spec, tokens);
    ASSERT_TRUE(core.ok());
    const auto grammar = make_token_grammar(*core, {static_cast<int32_t>(texts.size() - 1)});
    int ended = 0;
    for (int i = 0; i < 40; ++i) {
      const std::string text = draw(*grammar, texts, random);
      if (!text.empty()) {
        EXPECT_TRUE(matches(**core, text)) << text;
        ++ended;
      }
    }
    EXPECT_GT(ended, 2) << spec.text;
  }
}

TEST(TokenMasks, ATokenThatMayNotComeIsRefused) {
  const auto core = core_of(text_spec(Kind::kPattern, "abc"));
  ASSERT_TRUE(core.ok());
  const auto state = make_token_grammar(*core, {256})->start();
  EXPECT_TRUE(state->accept('a'));
  EXPECT_FALSE(state->accept('x'));
}

}  // namespace
}  // namespace tutti::grammar
