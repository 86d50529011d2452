#include "grammar/gbnf.h"

#include <gtest/gtest.h>

#include "grammar_texts.h"

namespace tutti::grammar {
namespace {

using Kind = GrammarSpec::Kind;

std::shared_ptr<GrammarCore> core_or_fail(const std::string& text) {
  const auto made = core_of(text_spec(Kind::kGbnf, text));
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? *made : nullptr;
}

std::string refusal(const std::string& text) {
  const auto made = core_of(text_spec(Kind::kGbnf, text));
  EXPECT_FALSE(made.ok()) << text;
  return made.ok() ? "" : made.status().message();
}

TEST(Gbnf, RecursionIsFollowedAsDeepAsItGoes) {
  const auto core = core_or_fail(R"~(
# sums in brackets
root  ::= sum
sum   ::= term (" + " term)*
term  ::= number | "(" sum ")"
number ::= [1-9] [0-9]{0,3} | "0"
)~");
  ASSERT_NE(core, nullptr);
  EXPECT_TRUE(matches(*core, "1 + (20 + 300) + 0"));
  EXPECT_TRUE(matches(*core, std::string(2000, '(') + "1" + std::string(2000, ')')));
  EXPECT_FALSE(matches(*core, std::string(2000, '(') + "1" + std::string(1999, ')')));
  EXPECT_FALSE(matches(*core, "12345"));
  EXPECT_FALSE(matches(*core, "1 +"));
  EXPECT_FALSE(matches(*core, "01"));
}

TEST(Gbnf, NotationIsRead) {
  const auto core = core_or_fail(
      "root ::= a-1 | (\n  b_2  # nested: lines may break\n  \"!\"\n)\n  | "
      "\"\\x41\\u00e9\\n\\\"\"\n"
      "a-1 ::= [^a-z\\]]{2,3}\nb_2 ::= .?\n");
  ASSERT_NE(core, nullptr);
  for (const char* good : {"AB", "12é", "!", "x!", "😀!", "A\xC3\xA9\n\""}) {
    EXPECT_TRUE(matches(*core, good)) << good;
  }
  for (const char* bad : {"A", "ab", "]]", "ABCD", "xy!"}) {
    EXPECT_FALSE(matches(*core, bad)) << bad;
  }
}

TEST(Gbnf, EmptyLoopsEnd) {
  const auto core =
      core_or_fail("root ::= (a? b*)* c{0,1000000} \"x\"\na ::= \"a\"\nb ::= \"\"\nc ::= b\n");
  ASSERT_NE(core, nullptr);
  EXPECT_TRUE(matches(*core, "x"));
  EXPECT_TRUE(matches(*core, "aaax"));
  EXPECT_FALSE(matches(*core, "aaa"));
}

TEST(Gbnf, ErrorsSayWhereAndWhat) {
  const std::pair<const char*, const char*> cases[] = {
      {"x ::= \"a\"\n", "there is no rule root"},
      {"root ::= y\n", "line 1, column 10: there is no rule y"},
      {"root ::= \"a\nb\"\n", "a \" without its other one"},
      {"root ::= \"a\"\nroot ::= \"b\"\n", "line 2, column 1: a second rule root"},
      {"root = \"a\"\n", "wanted ::= behind root"},
      {"root ::= (\"a\"\n", "a ( without its )"},
      {"root ::= \"a\" )\n", "\")\" belongs to no rule"},
      {"root ::= [z-a]\n", "a range that ends before it begins"},
      {"root ::= \"\\q\"\n", "no such escape"},
      {"root ::= a{3,1}\na ::= \"a\"\n", "wanted a count"},
      {"root ::= root \"a\" | \"b\"\n", "begins with itself"},
      {"root ::= x \"b\"\nx ::= y? z\ny ::= \"y\"\nz ::= root\n", "begins with itself"},
      {"root ::= \"a\" root\n", "no text can satisfy it"},
      {"root ::= %\n", "begins nothing that a rule may hold"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_NE(refusal(text).find(message), std::string::npos) << text << ": " << refusal(text);
  }
  EXPECT_NE(refusal("root ::= " + std::string(30000, '(')).find("nested deeper"),
            std::string::npos);
}

}  // namespace
}  // namespace tutti::grammar
